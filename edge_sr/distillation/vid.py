"""Variational information distillation (Ahn et al., CVPR 2019) as PISR uses it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class VidLoss(nn.Module):
    """Negative log-likelihood of the teacher's features given the student's (PISR, equation 10).

    Two branches of conv1x1, PReLU, conv1x1 on the student's [N, C, H, W] features estimate the
    location and the scale of a Laplace or Gaussian density of the teacher's, whose channels are as
    many unless ``teacher_channels`` says otherwise. ``scale_map`` is the shape of the scale: CxHxW,
    Cx1x1, 1xHxW or 1x1x1 (PISR, table A). Constants and factors follow the released code:
    b = 0.1 softplus + 1e-8 for Laplace, variance = 0.001 softplus + 1e-8 for Gaussian.
    """

    def __init__(
        self,
        channels: int,
        teacher_channels: int | None = None,
        *,
        density: str = "laplace",
        scale_map: str = "CxHxW",
    ) -> None:
        super().__init__()
        if density not in ("laplace", "gaussian"):
            raise ValueError(f"density {density!r} is not laplace or gaussian")
        per_channel, over_space = scale_map.startswith("C"), scale_map.endswith("HxW")
        if scale_map not in ("CxHxW", "Cx1x1", "1xHxW", "1x1x1"):
            raise ValueError(f"scale map {scale_map!r} is not offered")
        self.density, self.over_space = density, over_space

        def branch(outputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(channels, channels, 1), nn.PReLU(), nn.Conv2d(channels, outputs, 1)
            )

        outputs = channels if teacher_channels is None else teacher_channels
        self.location = branch(outputs)
        self.scale = branch(outputs if per_channel else 1)

    def spread(self, student: Tensor) -> Tensor:
        """Laplace scale b or Gaussian variance, in the shape of the scale map."""
        raw: Tensor = self.scale(student)
        if not self.over_space:
            raw = raw.mean(dim=(2, 3), keepdim=True)
        factor = 0.1 if self.density == "laplace" else 0.001
        return factor * functional.softplus(raw) + 1e-8

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean over all elements of the negative log-likelihood, without its constant."""
        location: Tensor = self.location(student)
        error, spread = teacher - location, self.spread(student)
        if self.density == "laplace":
            return torch.log(2 * spread).mean() + (error.abs() / spread).mean()
        return (0.5 * torch.log(spread)).mean() + (0.5 * error.square() / spread).mean()
