"""Parameters of a network and the multiplications that a picture costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from edge_sr.models.network import Network
from edge_sr.models.reparam import SubpixelTail

# LR sides at which layers are counted; from them the cost of any size follows.
_SIDES = (24, 48)


@dataclass(frozen=True)
class Complexity:
    """What a network costs, counted as papers do.

    ``macs`` are multiply-accumulates of convolution weights for one picture; biases, activations,
    bicubic upscaling and products of features are left out. A transposed convolution counts once
    for each LR pixel, which is the work that is needed. ``hr_macs`` counts its kernel for each HR
    pixel instead, as the FSRCNN paper and PISR do for FSRCNN. Without such a layer both are equal.
    """

    parameters: int
    macs: int
    hr_macs: int


def complexity_of(network: Network, *, width: int = 1280, height: int = 720) -> Complexity:
    """The cost of an output picture of ``width`` x ``height``, by default that of the papers.

    The layers run on PyTorch's meta device, without weights or activations. A layer that works on
    pooled features costs the same at every size, any other in proportion to the area.
    """
    (macs, hr_macs), (more_macs, more_hr_macs) = (_macs_at(network, side) for side in _SIDES)
    pixels = width * height / network.spec.scale**2

    def at_size(small: int, large: int) -> int:
        per_pixel = (large - small) / (_SIDES[1] ** 2 - _SIDES[0] ** 2)
        return round(small + per_pixel * (pixels - _SIDES[0] ** 2))

    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Complexity(parameters, at_size(macs, more_macs), at_size(hr_macs, more_hr_macs))


def _macs_at(network: Network, side: int) -> tuple[int, int]:
    """``macs`` and ``hr_macs`` of an LR picture of side x side."""
    counted: list[tuple[int, int]] = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer.weight, Tensor)
        taps = layer.weight.numel()
        at_output = taps * output[:, 0].numel()
        is_transposed = isinstance(layer, nn.ConvTranspose2d | SubpixelTail)
        counted.append((taps * inputs[0][:, 0].numel() if is_transposed else at_output, at_output))

    layers = nn.Conv2d | nn.ConvTranspose2d | SubpixelTail
    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, layers)]
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: tensor.detach().to("meta") for name, tensor in tensors.items()}
    lr = torch.empty(1, network.spec.samples, side, side, device="meta")
    try:
        with torch.no_grad():
            functional_call(network, shapes, (lr,))
    finally:
        for hook in hooks:
            hook.remove()
    return sum(macs for macs, _ in counted), sum(hr_macs for _, hr_macs in counted)
