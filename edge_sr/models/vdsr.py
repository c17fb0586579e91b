"""VDSR (Kim et al., CVPR 2016): a deep chain on the upscaled picture."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from edge_sr.models.bicubic_base import BicubicBase
from edge_sr.models.network import Network
from edge_sr.models.receptive_field import radius_of
from edge_sr.models.spec import ModelSpec


class Vdsr(Network):
    """VDSR on luminance: [N, 1, H, W] in [0, 1] to [N, 1, scale*H, scale*W], unclamped.

    The input is upscaled by MATLAB bicubic; ``depth`` convolutions 3x3 of ``width`` channels, ReLUs
    between them, predict what is added to that (paper, section 3.1). They pad with zeros on the HR
    grid. ``bias`` False is the form of the common PyTorch port. He-normal weights, zero biases, as
    in the paper. No layer belongs to a scale: the paper trains one network for all of them.
    """

    scale_layers = ()

    def __init__(
        self,
        scale: int,
        *,
        width: int = 64,
        depth: int = 20,
        bias: bool = True,
        name: str = "vdsr",
    ) -> None:
        super().__init__()
        if scale not in (2, 3, 4):
            raise ValueError(f"scale {scale} is not offered; use 2, 3 or 4")
        if depth < 2:
            raise ValueError(f"depth {depth} is too small; 2 or more is needed")
        self.options: dict[str, Any] = {"width": width, "depth": depth, "bias": bias}

        def layer(in_channels: int) -> nn.Sequential:
            conv = nn.Conv2d(in_channels, width, 3, padding=1, bias=bias)
            return nn.Sequential(conv, nn.ReLU())

        self.base = BicubicBase(scale)
        self.layers = nn.Sequential(layer(1), *(layer(width) for _ in range(depth - 2)))
        self.tail = nn.Conv2d(width, 1, 3, padding=1, bias=bias)
        self._initialise()
        radius = radius_of(self.base, self.layers, self.tail)
        self.spec = ModelSpec(name, scale, "y", receptive_field_radius=radius)
        self.feature_channels = (width,)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def picture_and_features(self, lr: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The picture, and what its last convolution reads: [N, width, scale*H, scale*W]."""
        base = self.base(lr)
        features = self.layers(base)
        return base + self.tail(features), (features,)
