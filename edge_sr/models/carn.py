"""CARN and CARN-M (Ahn et al., ECCV 2018): cascades of residual units, on RGB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_sr.models.edsr_frame import DIV2K_MEAN
from edge_sr.models.network import Network
from edge_sr.models.receptive_field import radius_of
from edge_sr.models.spec import ModelSpec

# Units of a cascade, both of blocks in the network and of residual units in a block.
UNITS = 3
MOBILE_GROUPS = 4


class ResidualUnit(nn.Module):
    """Convolutions with ReLUs between them; ReLU of their sum with the input (paper, fig. 4).

    Two of 3x3; in CARN-M two of 3x3 in groups, then one of 1x1.
    """

    def __init__(self, width: int, *, mobile: bool) -> None:
        super().__init__()
        groups = MOBILE_GROUPS if mobile else 1
        layers: list[nn.Module] = [
            nn.Conv2d(width, width, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, groups=groups),
        ]
        if mobile:
            layers += [nn.ReLU(), nn.Conv2d(width, width, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, unit_input: Tensor) -> Tensor:
        """[N, width, H, W] to the same."""
        return functional.relu(unit_input + self.layers(unit_input))


class Cascade(nn.Module):
    """Units in a row; after each, a 1x1 convolution fuses all outputs so far and the input.

    The fused features, after a ReLU, go to the next unit (paper, eq. 4 to 7). Fewer ``units`` than
    UNITS take turns: CARN-M's blocks use one residual unit three times.
    """

    def __init__(self, units: Sequence[nn.Module], width: int) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)
        self.fusions = nn.ModuleList(
            nn.Sequential(nn.Conv2d((turn + 2) * width, width, 1), nn.ReLU())
            for turn in range(UNITS)
        )

    def unit(self, turn: int) -> nn.Module:
        """The unit that runs at a turn."""
        return self.units[turn % len(self.units)]

    def chain(self) -> list[nn.Module]:
        """What runs one after another, with a shared unit as often as it runs."""
        parts: list[nn.Module] = []
        for turn, fusion in enumerate(self.fusions):
            unit = self.unit(turn)
            parts += [*(unit.chain() if isinstance(unit, Cascade) else [unit]), fusion]
        return parts

    def forward(self, cascade_input: Tensor) -> Tensor:
        """[N, width, H, W] to the same."""
        together = fused = cascade_input
        for turn, fusion in enumerate(self.fusions):
            together = torch.cat((together, self.unit(turn)(fused)), dim=1)
            fused = fusion(together)
        return fused


class Carn(Network):
    """CARN: RGB [N, 3, H, W] in [0, 1] to [N, 3, scale*H, scale*W], unclamped.

    A convolution, three cascading blocks of three residual units, themselves in a cascade, an
    upsampler with ReLUs, a convolution. The mean colour of DIV2K is taken off before and put on
    after. ``mobile`` is CARN-M in the form of the authors' release: residual units and upsampler in
    four groups, one residual unit for the whole of a block. PyTorch's default weights, as there.

    One network serves one scale. The published checkpoints hold the upsamplers of x2, x3 and x4
    beside layers that they share (1,591,963 values, 24 of them the mean's): each scale of them is a
    network of this class with its own ``upsample``.
    """

    scale_layers = ("upsample",)
    mean: Tensor

    def __init__(
        self, scale: int, *, width: int = 64, mobile: bool = False, name: str = "carn"
    ) -> None:
        super().__init__()
        if scale not in (2, 3, 4):
            raise ValueError(f"scale {scale} is not offered; use 2, 3 or 4")
        if mobile and width % MOBILE_GROUPS:
            raise ValueError(f"width {width} of {name} does not divide by {MOBILE_GROUPS}")
        self.options: dict[str, Any] = {"width": width}

        def block() -> Cascade:
            different = 1 if mobile else UNITS
            return Cascade([ResidualUnit(width, mobile=mobile) for _ in range(different)], width)

        self.entry = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = Cascade([block() for _ in range(UNITS)], width)
        self.upsample = _upsampler(width, scale, MOBILE_GROUPS if mobile else 1)
        self.exit = nn.Conv2d(width, 3, 3, padding=1)
        self.register_buffer("mean", torch.tensor(DIV2K_MEAN).reshape(1, 3, 1, 1), persistent=False)
        radius = radius_of(self.entry, *self.blocks.chain(), self.upsample, self.exit)
        self.spec = ModelSpec(name, scale, "rgb", receptive_field_radius=radius)
        self.feature_channels = (width,)

    def picture_and_features(self, lr: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The picture, and the last fusion's output, [N, width, H, W]."""
        features = self.blocks(self.entry(lr - self.mean))
        return self.exit(self.upsample(features)) + self.mean, (features,)


def _upsampler(width: int, scale: int, groups: int) -> nn.Sequential:
    """Convolution, ReLU and pixel shuffle for each step: x2, x3, or twice x2."""
    steps: list[nn.Module] = []
    for factor in (2, 2) if scale == 4 else (scale,):
        conv = nn.Conv2d(width, width * factor**2, 3, padding=1, groups=groups)
        steps += [conv, nn.ReLU(), nn.PixelShuffle(factor)]
    return nn.Sequential(*steps)
