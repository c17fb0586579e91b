"""The class of networks that the native engine runs: a plain chain of convolutions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_KERNEL, LARGEST_CHANNELS, LARGEST_LAYERS, LARGEST_RADIUS = 15, 256, 64, 256

Pads = tuple[int, int, int, int]


class NotAPlainChainError(ValueError):
    """The graph is outside the native engine's class; the message says why."""


@dataclass(frozen=True)
class ChainActivation:
    """What follows a convolution: PReLU with a slope per channel, a clip, or nothing."""

    slope: NDArray[np.float32] | None = None
    clip: tuple[float, float] | None = None


@dataclass(frozen=True)
class ChainLayer:
    """A convolution [out, in, k, k] with zero padding k//2, its bias and activation.

    ``output`` is the tensor that the convolution writes, ``pads`` the graph's own padding.
    """

    name: str
    output: str
    pads: Pads
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    activation: ChainActivation = field(default_factory=ChainActivation)


@dataclass(frozen=True)
class PlainChain:
    """Layers from the picture to the scale*scale phases; ``has_base`` adds bicubic upscaling.

    With ``upsamples_first`` they lead from bicubic upscaling of the picture to one channel.
    """

    scale: int
    has_base: bool
    layers: tuple[ChainLayer, ...]
    upsamples_first: bool = False


def to_odd_square(weight: NDArray[Any], pads: Pads) -> NDArray[Any]:
    """The kernel [out, in, h, w] amid zeros, so that equal odd sides and padding do the same.

    ``pads`` are top, left, bottom, right and keep the size; x3's sub-pixel tail has 1, 1, 2, 2.
    """
    radius, (top, left, _, _) = max(pads), pads
    height, width = weight.shape[2:]
    square = np.zeros((*weight.shape[:2], 2 * radius + 1, 2 * radius + 1), weight.dtype)
    rows, columns = radius - top, radius - left
    square[:, :, rows : rows + height, columns : columns + width] = weight
    return square


def check_chain(chain: PlainChain) -> None:
    """NotAPlainChainError unless the layers lead from one channel to the phases, within bounds."""
    layers, phases = chain.layers, 1 if chain.upsamples_first else chain.scale**2
    if len(layers) < 2:
        raise NotAPlainChainError("it has no convolution before its tail")
    last = layers[-1]
    if last.activation.slope is not None or last.activation.clip is not None:
        raise NotAPlainChainError(f"its last layer {last.name} has an activation")
    if len(last.weight) != phases:
        raise NotAPlainChainError(
            f"its last layer {last.name} has {len(last.weight)} outputs; one channel "
            f"{'behind an enlargement' if chain.upsamples_first else f'at x{chain.scale}'} "
            f"has {phases}"
        )
    radius = sum(layer.weight.shape[-1] // 2 for layer in layers)
    if radius > LARGEST_RADIUS:
        raise NotAPlainChainError(f"it sees {radius} pixels far, more than {LARGEST_RADIUS}")
