"""Feature losses that PISR is compared with (its table 1 and, in the supplement, D).

All take features [N, C, H, W] of equal shape, the student's first.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class MaeLoss(nn.Module):
    """Mean absolute difference (PISR, table 1)."""

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean over all elements."""
        return (student - teacher).abs().mean()


class FitNetLoss(nn.Module):
    """Mean squared difference after a learnt 1x1 convolution (Romero et al., ICLR 2015, eq. 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.regressor = nn.Conv2d(channels, channels, 1)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean over all elements."""
        difference: Tensor = self.regressor(student) - teacher
        return difference.square().mean()


class AttentionLoss(nn.Module):
    """Mean squared difference of attention maps: the channels' mean square, normalised per sample.

    AT of Zagoruyko and Komodakis, ICLR 2017, equation 2.
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean over samples and positions."""
        maps = [
            functional.normalize(features.square().mean(dim=1).flatten(1))
            for features in (student, teacher)
        ]
        return (maps[0] - maps[1]).square().mean()


class StatisticalMapLoss(nn.Module):
    """Mean squared difference of the channels' mean (SRKD, Gao et al., ACCV 2018)."""

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean over samples and positions."""
        return (student.mean(dim=1) - teacher.mean(dim=1)).square().mean()


def distillation_loss(name: str, channels: int, *, scale_map: str) -> nn.Module:
    """The loss of a name in ``config.FEATURE_LOSSES`` for features of ``channels`` channels."""
    from edge_sr.distillation.vid import VidLoss

    if name in ("laplace", "gaussian"):
        return VidLoss(channels, density=name, scale_map=scale_map)
    if name == "fitnet":
        return FitNetLoss(channels)
    losses = {"mae": MaeLoss, "at": AttentionLoss, "srkd": StatisticalMapLoss}
    if name not in losses:
        raise ValueError(f"imitation loss {name!r} is unknown")
    return losses[name]()
