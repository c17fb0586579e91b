"""Receptive-field radius of a chain of layers, computed from the layers."""

from __future__ import annotations

from torch import nn


def tail_offsets(scale: int, kernel_size: int, padding: int) -> tuple[int, int]:
    """First and last LR offset that a transposed convolution's output block can see.

    HR pixel ``scale*y + p`` takes tap ``p + padding - scale*d`` from LR row ``y + d``.
    """
    return -((kernel_size - 1 - padding) // scale), (scale - 1 + padding) // scale


def radius_of(module: nn.Module) -> int:
    """Sum of the radii of all convolutions below ``module``, one chain at stride 1."""
    radius = 0
    for layer in module.modules():
        if isinstance(layer, nn.ConvTranspose2d):
            low, high = tail_offsets(layer.stride[0], layer.kernel_size[0], int(layer.padding[0]))
            radius += max(-low, high)
        elif isinstance(layer, nn.Conv2d):
            if layer.stride[0] != 1:
                raise ValueError(f"layer {layer} has stride {layer.stride[0]}; 1 is needed")
            radius += layer.dilation[0] * (layer.kernel_size[0] - 1) // 2
    return radius
