"""Training forms of layers whose deploy form is slow to train, with the same parameters."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_sr.models.receptive_field import tail_offsets

Layers = TypeVar("Layers", bound=nn.Module)


class SubpixelTail(nn.Module):
    """A transposed convolution computed as convolution and pixel shuffle.

    Holds the transposed convolution's own parameters (weight [C, K, k, k], bias [K]) and gathers
    them into a [K*scale**2, C, t, t] kernel at each call, so the k x k support is kept exactly and
    a state dict fits both forms. The output is scale times as large as the input, whatever
    ``output_padding`` was. On a CPU a training step is an order of magnitude faster.
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
        """The equivalent convolution kernel, [K*scale**2, C, t, t]: all phases of a channel."""
        flat = functional.pad(self.weight.transpose(0, 1).flatten(2), (0, 1))
        taps = self.high - self.low + 1
        phases = flat[:, :, self.index].transpose(1, 2)
        return phases.reshape(-1, self.weight.shape[0], taps, taps)

    def forward(self, features: Tensor) -> Tensor:
        """[N, C, H, W] to [N, K, scale*H, scale*W]."""
        return self.convolve(features, self.subpixel_weight())

    def convolve(self, features: Tensor, weight: Tensor) -> Tensor:
        """The same with another kernel of the sub-pixel form."""
        before, after = -self.low, self.high
        bias = self.bias.repeat_interleave(self.scale**2)
        if before == after:
            phases = functional.conv2d(features, weight, bias, padding=before)
        else:
            padded = functional.pad(features, (before, after, before, after))
            phases = functional.conv2d(padded, weight, bias)
        return functional.pixel_shuffle(phases, self.scale)


class SharedPRelu(nn.Module):
    """A PReLU of one slope for all channels, computed as a leaky ReLU on a CPU.

    PyTorch's own backward pass there takes a third of a training step, this one a tenth.
    """

    def __init__(self, prelu: nn.PReLU) -> None:
        super().__init__()
        self.weight = prelu.weight

    def forward(self, values: Tensor) -> Tensor:
        """Any shape, to the same."""
        if values.device.type != "cpu":
            return functional.prelu(values, self.weight)
        result: Tensor = _LeakyRelu.apply(values, self.weight)  # type: ignore[no-untyped-call]
        return result


class _LeakyRelu(torch.autograd.Function):
    """A leaky ReLU with a gradient for its slope."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(values, slope)
        return functional.leaky_relu(values, float(slope))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (grad,) = grads
        values, slope = ctx.saved_tensors
        below: Tensor = torch.ops.aten.leaky_relu_backward(grad, values, float(slope), False)
        return below, (grad * values.clamp(max=0)).sum(dtype=slope.dtype).reshape(1)


def use_training_form(model: Layers) -> Layers:
    """Swap layers for forms that train faster, in place; parameters and their names are shared."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ConvTranspose2d):
                setattr(parent, name, SubpixelTail(child))
            if isinstance(child, nn.PReLU) and child.num_parameters == 1:
                setattr(parent, name, SharedPRelu(child))
    return model
