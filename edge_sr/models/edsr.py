"""EDSR (Lim et al., CVPRW 2017): the teacher of 32 blocks and LSFD's student of 16."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from edge_sr.models.edsr_frame import EdsrFrame, check_count, conv3x3, run_and_keep
from edge_sr.models.receptive_field import radius_of
from edge_sr.models.spec import ModelSpec


class ResidualBlock(nn.Module):
    """conv3x3, ReLU, conv3x3, scaled and added to the input (EDSR, figure 2c)."""

    def __init__(self, width: int, residual_scale: float = 1.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv3x3(width, width), nn.ReLU(), conv3x3(width, width))
        self.residual_scale = residual_scale

    def forward(self, features: Tensor) -> Tensor:
        """[N, width, H, W] to the same."""
        return torch.add(features, self.layers(features), alpha=self.residual_scale)


class Edsr(EdsrFrame):
    """Residual blocks, a conv3x3 and the long skip inside the frame, for ``channels`` rgb or y.

    The features are those after a third and two thirds of the blocks, and the body's output with
    the long skip, which FAKD's code adds in place before it compares.
    """

    def __init__(
        self,
        scale: int,
        *,
        blocks: int = 16,
        width: int = 64,
        residual_scale: float = 1.0,
        channels: str = "rgb",
        name: str = "edsr_s",
    ) -> None:
        super().__init__(scale, width, channels=channels)
        check_count("blocks", blocks)
        self.options: dict[str, Any] = {
            "blocks": blocks,
            "width": width,
            "residual_scale": residual_scale,
            "channels": channels,
        }
        self.blocks = nn.ModuleList(ResidualBlock(width, residual_scale) for _ in range(blocks))
        self.body_end = conv3x3(width, width)
        chain = (self.head, self.blocks, self.body_end, self.upsampler, self.tail)
        self.spec = ModelSpec(name, scale, channels, receptive_field_radius=radius_of(*chain))
        self.places = (blocks // 3, 2 * blocks // 3)

    def body(self, shallow: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The blocks, the convolution after them, and the head's output added."""
        deep, kept = run_and_keep(self.blocks, shallow, self.places)
        deep = self.body_end(deep) + shallow
        return deep, (*kept, deep)
