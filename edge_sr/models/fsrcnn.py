"""FSRCNN (Dong et al., ECCV 2016) in the paper's form and in the residual form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_sr.data.resample import bicubic_phases
from edge_sr.models.bicubic_base import BicubicBase
from edge_sr.models.native_step import NativeStep
from edge_sr.models.network import Network
from edge_sr.models.receptive_field import radius_of, tail_offsets
from edge_sr.models.spec import ModelSpec

TAIL_KERNEL, TAIL_PADDING = 9, 4


class Fsrcnn(Network):
    """FSRCNN(d, s, m) on luminance: [N, 1, H, W] in [0, 1] to [N, 1, scale*H, scale*W], unclamped.

    Feature extraction 5x5, shrinking 1x1, m mapping layers 3x3, expanding 1x1, each with a PReLU,
    then a 9x9 transposed convolution (paper, section 3.2). ``residual`` adds the bicubic upscale
    of the input, so the layers predict what bicubic misses. ``shared_prelu`` gives each layer one
    slope, as PISR does; otherwise each channel has its own, as in the original.
    """

    def __init__(
        self,
        scale: int,
        *,
        d: int = 56,
        s: int = 12,
        m: int = 4,
        shared_prelu: bool = True,
        residual: bool = False,
        name: str = "fsrcnn",
    ) -> None:
        super().__init__()
        if scale not in (2, 3, 4):
            raise ValueError(f"scale {scale} is not offered; use 2, 3 or 4")
        self.options: dict[str, Any] = {"d": d, "s": s, "m": m, "shared_prelu": shared_prelu}

        def layer(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
            conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
            return nn.Sequential(conv, nn.PReLU(1 if shared_prelu else out_channels))

        self.extract = layer(1, d, 5)
        self.shrink = layer(d, s, 1)
        self.map = nn.Sequential(*(layer(s, s, 3) for _ in range(m)))
        self.expand = layer(s, d, 1)
        self.tail: nn.Module = nn.ConvTranspose2d(
            d, 1, TAIL_KERNEL, scale, TAIL_PADDING, output_padding=scale - 1
        )
        self.base = BicubicBase(scale) if residual else None
        radius = radius_of(self.extract, self.shrink, self.map, self.expand, self.tail)
        self.spec = ModelSpec(name, scale, "y", receptive_field_radius=radius)
        self.feature_channels = (d,)
        # What computes the layers of training patches, if not PyTorch.
        self.native_step: NativeStep | None = None

    def features(self, lr: Tensor) -> Tensor:
        """Output of the expanding layer after its PReLU, [N, d, H, W]: what PISR distils."""
        expanded: Tensor = self.expand(self.map(self.shrink(self.extract(lr))))
        return expanded

    def network(self, lr: Tensor) -> Tensor:
        """The learnt layers alone, without the bicubic base."""
        return self.network_and_features(lr)[0]

    def picture_and_features(self, lr: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The picture, and the expanding layer's features that it was made from."""
        sr, features = self.network_and_features(lr, with_features=True)
        assert features is not None
        return (sr if self.base is None else sr + self.base(lr)), (features,)

    def network_and_features(
        self, lr: Tensor, *, with_features: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """The learnt layers' picture, and the features if asked for."""
        if self.native_step is not None and self.native_step.takes(lr):
            phases, taken = self.native_step(lr, with_features=with_features)
            return functional.pixel_shuffle(phases, self.spec.scale), taken
        features = self.features(lr)
        return self.tail(features), features

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale a batch of luminance planes."""
        sr = self.network(lr)
        return sr if self.base is None else sr + self.base(lr)


@torch.no_grad()
def start_from_bicubic(model: Fsrcnn) -> None:
    """Change fresh weights so that training starts near the bicubic upscale.

    Convolutions get the original's He-normal weights and zero biases (PyTorch's default lets the
    signal fade over seven layers) and a small tail; mapping layers a fifth of them beside the
    identity, so that the network starts shallow. In the paper's form channel 0 of every layer
    carries the input unchanged (luminance is positive, so PReLU passes it) and its tail kernel is
    bicubic: exactly at x2, truncated to the 9x9 support and renormalised at x3 and x4.
    """
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    for conv in convolutions:
        nn.init.kaiming_normal_(conv.weight, a=0.25)
        assert conv.bias is not None
        conv.bias.zero_()
    for layer in model.map:
        weight = layer.get_submodule("0").get_parameter("weight")
        weight.mul_(0.2)[:, :, 1, 1].add_(torch.eye(len(weight)))
    tail_weight = model.tail.get_parameter("weight")
    nn.init.normal_(tail_weight, std=0.001)
    model.tail.get_parameter("bias").zero_()
    if model.base is not None:
        return
    for conv in convolutions:
        conv.weight[0].zero_()
        conv.weight[0, 0, conv.kernel_size[0] // 2, conv.kernel_size[1] // 2] = 1.0
    tail_weight[0, 0] = _bicubic_tail(model.spec.scale)


def _bicubic_tail(scale: int) -> Tensor:
    """9x9 transposed-convolution kernel nearest to bicubic upscaling."""
    phases = torch.from_numpy(bicubic_phases(scale)).reshape(scale, scale, 5, 5)
    kernel = torch.zeros(TAIL_KERNEL, TAIL_KERNEL, dtype=torch.float64)
    low, high = tail_offsets(scale, TAIL_KERNEL, TAIL_PADDING)
    for py in range(scale):
        for px in range(scale):
            taps = []
            for dy in range(max(low, -2), min(high, 2) + 1):
                for dx in range(max(low, -2), min(high, 2) + 1):
                    ky, kx = py + TAIL_PADDING - scale * dy, px + TAIL_PADDING - scale * dx
                    if 0 <= ky < TAIL_KERNEL and 0 <= kx < TAIL_KERNEL:
                        taps.append((ky, kx, phases[py, px, dy + 2, dx + 2]))
            total = sum(float(value) for _, _, value in taps)
            for ky, kx, value in taps:
                kernel[ky, kx] = value / total
    return kernel.to(torch.float32)
