"""RCAN (Zhang et al., ECCV 2018): residual groups of blocks with channel attention."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from edge_sr.models.edsr_frame import EdsrFrame, check_count, conv3x3, run_and_keep
from edge_sr.models.spec import ModelSpec

REDUCTION = 16


class ChannelWeights(nn.Sequential):
    """Statistics of channels, [N, C, 1, 1], to their weights in (0, 1) by C/16 numbers between."""

    def __init__(self, width: int) -> None:
        squeezed = max(1, width // REDUCTION)
        super().__init__(
            nn.Conv2d(width, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, width, 1),
            nn.Sigmoid(),
        )


class AttentionBlock(nn.Module):
    """conv3x3, ReLU, conv3x3, channels weighted by their means, plus the input (RCAN, figure 4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv3x3(width, width), nn.ReLU(), conv3x3(width, width))
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.weights = ChannelWeights(width)

    def forward(self, features: Tensor) -> Tensor:
        """[N, width, H, W] to the same."""
        inner = self.layers(features)
        out: Tensor = inner * self.weights(self.mean(inner)) + features
        return out


class ResidualGroup(nn.Module):
    """Blocks and a conv3x3, plus the input."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        attention = (AttentionBlock(width) for _ in range(blocks))
        self.layers = nn.Sequential(*attention, conv3x3(width, width))

    def forward(self, features: Tensor) -> Tensor:
        """[N, width, H, W] to the same."""
        out: Tensor = self.layers(features) + features
        return out


class Rcan(EdsrFrame):
    """Residual groups, a conv3x3 and the long skip inside the frame.

    The features are those after a third and two thirds of the groups, and the body's output with
    the long skip, which FAKD's code adds in place before it compares. Every block weighs channels
    by means over the whole picture, so the network cannot run in tiles.
    """

    def __init__(
        self,
        scale: int,
        *,
        groups: int = 10,
        blocks: int = 6,
        width: int = 64,
        name: str = "rcan_s",
    ) -> None:
        super().__init__(scale, width)
        check_count("groups", groups)
        self.options: dict[str, Any] = {
            "groups": groups,
            "blocks": blocks,
            "width": width,
        }
        self.groups = nn.ModuleList(ResidualGroup(width, blocks) for _ in range(groups))
        self.body_end = conv3x3(width, width)
        self.spec = ModelSpec(name, scale, "rgb", receptive_field_radius=0, tileable=False)
        self.places = (round(groups / 3), round(2 * groups / 3))

    def body(self, shallow: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The groups, the convolution after them, and the head's output added."""
        deep, kept = run_and_keep(self.groups, shallow, self.places)
        deep = self.body_end(deep) + shallow
        return deep, (*kept, deep)
