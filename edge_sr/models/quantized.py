"""An FSRCNN as its INT8 graph computes it, with gradients, for quantisation-aware training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edge_sr.models.fsrcnn import Fsrcnn
from edge_sr.models.native_step import NativeStep
from edge_sr.models.reparam import SubpixelTail, use_training_form

LEVELS = 127
# The picture enters as (x - 128) / 255 at scale 1 / 255, so that all its 256 levels stay.
PEAK, MIDDLE = 255.0, 128.0


class QuantizedFsrcnn(nn.Module):
    """The INT8 graph of ``export.qdq`` over the very parameters of ``model``.

    Activations are symmetric per tensor with learnt ranges, weights symmetric per output channel
    (per phase in the tail), biases float; rounding passes gradients straight through (Bengio et
    al., 2013), and ranges learn as in LSQ (Esser et al., ICLR 2020, equation 3). [N, 1, H, W] in
    [0, 1] to [N, 1, scale*H, scale*W]. ``ranges`` are by the names of the graph's tensors, such as
    ``map.0.0.prelu``; ValueError if one is missing or not positive.
    """

    def __init__(self, model: Fsrcnn, ranges: Mapping[str, float]) -> None:
        super().__init__()
        self.model = use_training_form(model)
        for name in activation_names(model):
            if not ranges.get(name, 0.0) > 0:
                raise ValueError(f"activation {name} has no positive range")
        self.log_ranges = nn.ParameterList(
            nn.Parameter(torch.tensor(ranges[name]).log()) for name in activation_names(model)
        )

    def ranges(self) -> dict[str, float]:
        """The learnt range of each quantised activation."""
        values = [float(value.detach().exp()) for value in self.log_ranges]
        return dict(zip(activation_names(self.model), values, strict=True))

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale a batch of luminance planes, in float32 whatever autocast says.

        bfloat16 has no room for the products of two rounded numbers.
        """
        with torch.autocast(lr.device.type, enabled=False):
            grey = _rounded(lr.clamp(0, 1) * PEAK)
            step = self.model.native_step
            if step is not None and step.takes(grey):
                sr = self._network_by_native_step(step, grey)
            else:
                sr = self._network(grey)
            return sr if self.model.base is None else sr + self.model.base(grey / PEAK)

    def _network(self, grey: Tensor) -> Tensor:
        (_, first, activation), *others = blocks_of(self.model)
        values = activation(_first_convolution(grey, first))
        for log_range, (_, conv, activation) in zip(self.log_ranges, others, strict=False):
            weight = _quantized_weight(conv.weight)
            values = functional.conv2d(
                _quantized(values, log_range), weight, conv.bias, padding=int(conv.padding[0])
            )
            values = activation(values)
        values = _quantized(values, self.log_ranges[-1])
        tail = self._tail()
        return tail.convolve(values, _quantized_weight(tail.subpixel_weight()))

    def _network_by_native_step(self, step: NativeStep, grey: Tensor) -> Tensor:
        convolutions = [conv for _, conv, _ in blocks_of(self.model)]
        weights = [_quantized_weight(conv.weight) for conv in convolutions]
        # The unshifted picture with zeros around it gives the sums of the shifted one with black
        # around it, but for what rounding the weights does to the shift.
        first = convolutions[0]
        assert first.bias is not None
        lost = (first.weight - weights[0]).sum(dim=(1, 2, 3))
        tail = self._tail()
        packed = step.pack(
            weights,
            _quantized_weight(tail.subpixel_weight()),
            first_bias=first.bias + (MIDDLE / PEAK) * lost,
        )
        scales = torch.stack(list(self.log_ranges)).exp() / LEVELS
        phases, _ = step(grey / PEAK, packed=packed, scales=scales)
        return functional.pixel_shuffle(phases, tail.scale)

    def _tail(self) -> SubpixelTail:
        assert isinstance(self.model.tail, SubpixelTail)
        return self.model.tail


def blocks_of(model: Fsrcnn) -> list[tuple[str, nn.Conv2d, nn.Module]]:
    """Name, convolution and PReLU of each layer before the tail."""
    names = ["extract", "shrink", *(f"map.{i}" for i in range(len(model.map))), "expand"]
    blocks = []
    for name in names:
        conv = model.get_submodule(f"{name}.0")
        assert isinstance(conv, nn.Conv2d)
        blocks.append((name, conv, model.get_submodule(f"{name}.1")))
    return blocks


def activation_names(model: Fsrcnn) -> list[str]:
    """Tensors that the INT8 graph quantises, as the exported graph names them."""
    return [f"{name}.0.prelu" for name, _, _ in blocks_of(model)]


@torch.no_grad()
def observed_ranges(model: Fsrcnn, lr: Tensor, *, share: float = 0.9999) -> dict[str, float]:
    """The range that holds ``share`` of each activation's magnitudes on a batch of planes."""
    ranges, values = {}, lr
    for name, conv, activation in blocks_of(model):
        values = activation(conv(values))
        ranges[f"{name}.0.prelu"] = float(_smallest_above(values.flatten(), share).clamp(min=1e-6))
    return ranges


@torch.no_grad()
def equalize_channels(model: Fsrcnn, lr: Tensor, *, share: float = 0.9999) -> None:
    """Scale the channels of each activation to like ranges, in place.

    The picture stays the same but for rounding, since a PReLU commutes with positive factors
    (Nagel et al., ICCV 2019, section 4.1); INT8, with one scale for all channels, loses less.
    """
    values = lr
    following = [conv for _, conv, _ in blocks_of(model)[1:]]
    for (_, conv, activation), after in zip(
        blocks_of(model), [*following, model.tail], strict=True
    ):
        values = activation(conv(values))
        ranges = _smallest_above(values.transpose(0, 1).flatten(1), share)
        factors = torch.from_numpy(equalizing_factors(ranges.double().numpy())).to(values.dtype)
        conv.weight.mul_(factors[:, None, None, None])
        assert conv.bias is not None
        conv.bias.mul_(factors)
        values = values * factors[:, None, None]
        # Inputs are the second axis of a convolution's weight, the first of the tail's.
        shape = (-1, 1, 1, 1) if after is model.tail else (1, -1, 1, 1)
        after.get_parameter("weight").div_(factors.reshape(shape))


def _smallest_above(values: Tensor, share: float) -> Tensor:
    """The magnitude of each row that this share of the row's stays below."""
    place = 1 + int(share * (values.shape[-1] - 1))
    return values.abs().kthvalue(place, dim=-1).values


def equalizing_factors(ranges: NDArray[np.float64], exponent: float = 0.75) -> NDArray[np.float64]:
    """(largest range / own range) ** exponent for each channel, at most 64; 1 for a dead one.

    The exponent leaves the rest of the spread to the weights, which have eight bits, too.
    """
    ratio = np.divide(ranges.max(), ranges, out=np.ones_like(ranges), where=ranges > 0)
    factors: NDArray[np.float64] = np.minimum(ratio**exponent, 64.0)
    return factors


def _quantized(values: Tensor, log_range: Tensor) -> Tensor:
    scale = log_range.exp() / LEVELS
    return _rounded((values / scale).clamp(-LEVELS - 1, LEVELS)) * scale


def _rounded(values: Tensor) -> Tensor:
    """Half to even, with the gradient of the identity."""
    return values + (values.round() - values).detach()


def _quantized_weight(weight: Tensor) -> Tensor:
    largest = weight.detach().abs().amax(dim=(1, 2, 3), keepdim=True)
    scale = largest.clamp(min=1e-30) / LEVELS
    return _rounded(weight / scale) * scale


def _first_convolution(grey: Tensor, conv: nn.Conv2d) -> Tensor:
    """Black outside, as the shifted picture's -128; the shift is undone in the bias."""
    padding = int(conv.padding[0])
    shifted = functional.pad((grey - MIDDLE) / PEAK, (padding,) * 4, value=-MIDDLE / PEAK)
    shift = (MIDDLE / PEAK) * conv.weight.sum(dim=(1, 2, 3))
    assert conv.bias is not None
    return functional.conv2d(shifted, _quantized_weight(conv.weight), conv.bias + shift)
