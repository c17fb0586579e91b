"""Training forms of layers whose deploy form is slow to train, with the same parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_sr.models.fsrcnn import Fsrcnn
from edge_sr.models.receptive_field import tail_offsets


class SubpixelTail(nn.Module):
    """A one-channel transposed convolution computed as convolution and pixel shuffle.

    Holds the transposed convolution's own parameters (weight [C, 1, k, k], bias [1]) and gathers
    them into a [scale**2, C, t, t] kernel at each call, so the 9x9 support is kept exactly and a
    state dict fits both forms. On a CPU a training step is an order of magnitude faster.
    """

    index: Tensor

    def __init__(self, deconvolution: nn.ConvTranspose2d) -> None:
        super().__init__()
        assert deconvolution.bias is not None
        self.weight, self.bias = deconvolution.weight, deconvolution.bias
        self.scale = deconvolution.stride[0]
        kernel_size, padding = deconvolution.kernel_size[0], int(deconvolution.padding[0])
        self.low, self.high = tail_offsets(self.scale, kernel_size, padding)
        phase = torch.arange(self.scale)
        offset = torch.arange(self.low, self.high + 1)
        tap = phase[:, None] + padding - self.scale * offset[None, :]
        inside = (tap >= 0) & (tap < kernel_size)
        flat = tap[:, None, :, None] * kernel_size + tap[None, :, None, :]
        both = inside[:, None, :, None] & inside[None, :, None, :]
        # Taps outside the support read the zero that forward() appends to the flat kernel.
        index = torch.where(both, flat, kernel_size * kernel_size)
        self.register_buffer("index", index.reshape(self.scale**2, -1), persistent=False)

    def subpixel_weight(self) -> Tensor:
        """The equivalent convolution kernel, [scale**2, C, t, t]."""
        channels = self.weight.shape[0]
        flat = functional.pad(self.weight.reshape(channels, -1), (0, 1))
        taps = self.high - self.low + 1
        return flat[:, self.index].transpose(0, 1).reshape(self.scale**2, channels, taps, taps)

    def forward(self, features: Tensor) -> Tensor:
        """[N, C, H, W] to [N, 1, scale*H, scale*W]."""
        before, after = -self.low, self.high
        bias = self.bias.expand(self.scale**2)
        if before == after:
            phases = functional.conv2d(features, self.subpixel_weight(), bias, padding=before)
        else:
            padded = functional.pad(features, (before, after, before, after))
            phases = functional.conv2d(padded, self.subpixel_weight(), bias)
        return functional.pixel_shuffle(phases, self.scale)


def use_training_form(model: Fsrcnn) -> Fsrcnn:
    """Swap the transposed convolution for its sub-pixel form, in place; parameters are shared."""
    if isinstance(model.tail, nn.ConvTranspose2d):
        model.tail = SubpixelTail(model.tail)
    return model
