"""DRN and DRN+ (arXiv 1907.02843): dense blocks inside residual blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edge_sr.models.edsr_frame import EdsrFrame, conv3x3, run_and_keep
from edge_sr.models.receptive_field import radius_of
from edge_sr.models.spec import ModelSpec

GROUPS, GROWTH, ELU_ALPHA = 6, 8, 0.2
# Where an ELU can stand: after a block's three convolutions, after a group's last one.
ELU_PLACES = ("reduce", "spatial", "expand", "group")
_BOTTLENECK = re.compile(r"([1-9]\d*)?([CD])(?:/([1-9]\d*))?|([1-9]\d*)")


def bottleneck_width(rule: str, width: int, channels: int) -> int:
    """Width of a block's 3x3 convolution: a number, or a share of the network's width or D.

    ``rule`` is such as ``D/2``, ``3C/8`` or ``64``, with C for ``width`` and D for ``channels``,
    what the block reads. Raises ValueError for another text and for a share below one channel.
    """
    match = _BOTTLENECK.fullmatch(rule)
    if match is None:
        raise ValueError(f"bottleneck {rule!r} is no width; use one such as D/2, 3C/8 or 64")
    factor, whole, divisor, number = match.groups()
    if number is not None:
        return int(number)
    share = int(factor or 1) * (channels if whole == "D" else width) // int(divisor or 1)
    if not share:
        raise ValueError(f"bottleneck {rule!r} leaves no channel of a network of width {width}")
    return share


def _elu(place: str, elu_after: Sequence[str]) -> nn.Module:
    return nn.ELU(ELU_ALPHA) if place in elu_after else nn.Identity()


class ResidualDenseBlock(nn.Module):
    """[N, D, H, W] to [N, D + 8, H, W] by 1x1 to ``bottleneck`` channels, 3x3 and 1x1.

    The first D channels of the last are added to the input, the others appended.
    """

    def __init__(self, channels: int, bottleneck: int, elu_after: Sequence[str]) -> None:
        super().__init__()
        self.channels = channels
        self.layers = nn.Sequential(
            nn.Conv2d(channels, bottleneck, 1),
            _elu("reduce", elu_after),
            conv3x3(bottleneck, bottleneck),
            _elu("spatial", elu_after),
            nn.Conv2d(bottleneck, channels + GROWTH, 1),
            _elu("expand", elu_after),
        )

    def forward(self, features: Tensor) -> Tensor:
        """One block on."""
        added, appended = self.layers(features).split((self.channels, GROWTH), 1)
        return torch.cat([features + added, appended], 1)


class ResidualDenseGroup(nn.Module):
    """Blocks of growing width, a 1x1 convolution back to ``width``, plus the input."""

    def __init__(self, width: int, bottlenecks: Sequence[int], elu_after: Sequence[str]) -> None:
        super().__init__()
        blocks = [
            ResidualDenseBlock(width + GROWTH * k, bottleneck, elu_after)
            for k, bottleneck in enumerate(bottlenecks)
        ]
        fusion = nn.Conv2d(width + GROWTH * len(blocks), width, 1)
        self.layers = nn.Sequential(*blocks, fusion, _elu("group", elu_after))

    def forward(self, features: Tensor) -> Tensor:
        """[N, width, H, W] to the same."""
        out: Tensor = self.layers(features) + features
        return out


class Drn(EdsrFrame):
    """Groups of dense residual blocks and the long skip inside the frame; ``width`` 256 is DRN+.

    The paper leaves three things open. ``bottleneck`` is the width of a block's 3x3 convolution
    (``bottleneck_width``); D/2 is the one choice that gives DRN+ the parameters that the paper
    states. ``elu_after`` names the layers with an ELU, separated by commas: ``reduce``, ``spatial``
    and ``expand`` of a block, ``group``. ``single_step`` upscales by 4 at once. No distillation
    was published for it: the features are those after a third and two thirds of the groups, and
    the body's output.
    """

    def __init__(
        self,
        scale: int,
        *,
        blocks: int = 9,
        width: int = 64,
        bottleneck: str | int = "D/2",
        elu_after: str = "reduce,spatial,group",
        single_step: bool = False,
        name: str = "drn",
    ) -> None:
        super().__init__(scale, width, single_step=single_step)
        self.options: dict[str, Any] = {
            "blocks": blocks,
            "width": width,
            "bottleneck": str(bottleneck),
            "elu_after": elu_after,
            "single_step": single_step,
        }
        places = [place for place in elu_after.split(",") if place]
        for place in places:
            if place not in ELU_PLACES:
                raise ValueError(f"elu_after {place!r} is unknown; use {','.join(ELU_PLACES)}")
        bottlenecks = [
            bottleneck_width(str(bottleneck), width, width + GROWTH * k) for k in range(blocks)
        ]
        self.groups = nn.ModuleList(
            ResidualDenseGroup(width, bottlenecks, places) for _ in range(GROUPS)
        )
        chain = (self.head, self.groups, self.upsampler, self.tail)
        self.spec = ModelSpec(name, scale, "rgb", receptive_field_radius=radius_of(*chain))
        self.places = (GROUPS // 3, 2 * GROUPS // 3)

    def body(self, shallow: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The groups, and the head's output added."""
        deep, kept = run_and_keep(self.groups, shallow, self.places)
        deep = deep + shallow
        return deep, (*kept, deep)
