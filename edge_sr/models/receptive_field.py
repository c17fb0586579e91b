"""Receptive field of a chain of layers, computed from the layers."""

from __future__ import annotations

from math import prod

import numpy as np
from torch import nn

from edge_sr.data.resample import bicubic_phases
from edge_sr.models.bicubic_base import BicubicBase

Layer = nn.Conv2d | nn.ConvTranspose2d | nn.PixelShuffle | BicubicBase


def tail_offsets(scale: int, kernel_size: int, padding: int) -> tuple[int, int]:
    """First and last LR offset that a transposed convolution's output block can see.

    HR pixel ``scale*y + p`` takes tap ``p + padding - scale*d`` from LR row ``y + d``.
    """
    return -((kernel_size - 1 - padding) // scale), (scale - 1 + padding) // scale


def radius_of(*layers: nn.Module) -> int:
    """Largest distance, in LR pixels, at which an input pixel can change an output pixel."""
    return max(reach_of(*layers))


def reach_of(*layers: nn.Module) -> tuple[int, int]:
    """How many LR rows before and after its own the output block of an LR pixel can see.

    ``layers`` run one after another, in this order; one that runs twice stands twice. Those inside
    a module run in the order of its children. Only what moves samples counts: convolutions,
    transposed convolutions, pixel shuffles and the bicubic base. Raises ValueError for a
    convolution that does not keep the size of its input.
    """
    chain = [part for layer in layers for part in layer.modules() if isinstance(part, Layer)]
    first, last = 0, prod(_factor(layer) for layer in chain) - 1
    for layer in reversed(chain):
        first, last = _rows_read(layer, first, last)
    return -first, last


def _factor(layer: Layer) -> int:
    """How many times as large the layer's output is as its input."""
    if isinstance(layer, nn.Conv2d):
        return 1
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.stride[0]
    return layer.upscale_factor if isinstance(layer, nn.PixelShuffle) else layer.scale


def _rows_read(layer: Layer, first: int, last: int) -> tuple[int, int]:
    """First and last input row that output rows ``first`` to ``last`` are made from."""
    if isinstance(layer, nn.Conv2d):
        radius = layer.dilation[0] * (layer.kernel_size[0] - 1) // 2
        if layer.stride[0] != 1 or layer.padding[0] != radius:
            raise ValueError(f"layer {layer} does not keep the size of its input")
        return first - radius, last + radius
    if isinstance(layer, nn.ConvTranspose2d):
        scale, start = layer.stride[0], int(layer.padding[0])
        return -((layer.kernel_size[0] - 1 - start - first) // scale), (last + start) // scale
    if isinstance(layer, nn.PixelShuffle):
        return first // layer.upscale_factor, last // layer.upscale_factor
    return _rows_of_bicubic(layer.scale, first, last)


def _rows_of_bicubic(scale: int, first: int, last: int) -> tuple[int, int]:
    phases = bicubic_phases(scale).reshape(scale, scale, 5, 5)
    is_read = np.any(phases != 0, axis=(1, 3))
    rows = [
        row // scale + tap - 2
        for row in range(first, last + 1)
        for tap in np.flatnonzero(is_read[row % scale])
    ]
    return int(min(rows)), int(max(rows))
