"""IDN (Hui et al., CVPR 2018): information distillation blocks, on luminance or RGB."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from edge_sr.models.bicubic_base import BicubicBase
from edge_sr.models.network import Network
from edge_sr.models.receptive_field import radius_of
from edge_sr.models.reparam import SubpixelTail
from edge_sr.models.spec import ModelSpec

SLOPE = 0.05
GROUPS = 4
TAIL_KERNEL, TAIL_PADDING = 17, 8
TAILS = ("deconvolution", "deconvolution_last", "subpixel")


class DistillationBlock(nn.Module):
    """Enhancement unit of two parts and compression unit (paper, section 3.2): width to width.

    After the first part ``d`` channels are set aside with the block's input; the second part works
    on the others. The channels differ by ``d`` from convolution to convolution.
    """

    def __init__(self, width: int, d: int) -> None:
        super().__init__()
        self.split = (d, width - d)
        self.first = nn.Sequential(
            _layer(width, width - d),
            _layer(width - d, width - 2 * d, groups=GROUPS),
            _layer(width - 2 * d, width),
        )
        self.second = nn.Sequential(
            _layer(width - d, width),
            _layer(width, width - d, groups=GROUPS),
            _layer(width - d, width + d),
        )
        self.compress = _layer(width + d, width, kernel_size=1)

    def forward(self, block_input: Tensor) -> Tensor:
        """[N, width, H, W] to the same."""
        kept, passed_on = self.first(block_input).split(self.split, dim=1)
        together = torch.cat((block_input, kept), dim=1) + self.second(passed_on)
        compressed: Tensor = self.compress(together)
        return compressed


class Idn(Network):
    """IDN: [N, C, H, W] in [0, 1] to [N, C, scale*H, scale*W], unclamped; C of ``channels``.

    Two convolutions extract features, ``blocks`` distillation blocks of ``width`` channels that
    step by ``d`` refine them, the tail makes what is added to the bicubic upscale of the input.
    PISR's student is the RGB form. Tails:

    - ``deconvolution``: 17x17, padding 8, output padding scale - 1. Its kernel is centred on the
      first pixel of the HR block that belongs to an LR pixel.
    - ``deconvolution_last``: centred on the block's last pixel. The authors' Caffe weights are for
      this one: they crop scale - 1 rows and columns at the top and left, which are computed here.
    - ``subpixel``: two convolutions without activation and a pixel shuffle, as in the authors'
      TensorFlow release.

    Weights start as in Caffe: "msra" with the average of fan-in and fan-out, zero biases.
    """

    def __init__(
        self,
        scale: int,
        *,
        width: int = 64,
        d: int = 16,
        blocks: int = 4,
        tail: str = "deconvolution",
        channels: str = "y",
        name: str = "idn",
    ) -> None:
        super().__init__()
        if scale not in (2, 3, 4):
            raise ValueError(f"scale {scale} is not offered; use 2, 3 or 4")
        if tail not in TAILS:
            raise ValueError(f"tail {tail!r} is unknown; choose from {' '.join(TAILS)}")
        _check_widths(width, d)
        self.options: dict[str, Any] = {"width": width, "d": d, "blocks": blocks, "tail": tail}
        samples = 3 if channels == "rgb" else 1
        self.extract = nn.Sequential(_layer(samples, width), _layer(width, width))
        self.blocks = nn.Sequential(*(DistillationBlock(width, d) for _ in range(blocks)))
        self.before_tail = (
            nn.Conv2d(width, width, 3, padding=1) if tail == "subpixel" else nn.Identity()
        )
        self.tail: nn.Module = _tail(tail, width, samples, scale)
        self.base = BicubicBase(scale, samples)
        self._initialise()
        radius = radius_of(self.extract, self.blocks, self.before_tail, self.tail)
        self.spec = ModelSpec(name, scale, channels, receptive_field_radius=radius)
        self.feature_channels = (width,)
        if tail == "deconvolution_last":
            # PyTorch's own form cannot pad its two sides differently.
            assert isinstance(self.tail, nn.ConvTranspose2d)
            self.tail = SubpixelTail(self.tail)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                weight = module.weight
                fan = (weight[0].numel() + weight[:, 0].numel()) / 2
                nn.init.normal_(weight, std=(2 / fan) ** 0.5)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def picture_and_features(self, lr: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The picture, and the last block's output, [N, width, H, W]."""
        features = self.blocks(self.extract(lr))
        return self.base(lr) + self.tail(self.before_tail(features)), (features,)


def _layer(
    in_channels: int, out_channels: int, *, kernel_size: int = 3, groups: int = 1
) -> nn.Sequential:
    padding = kernel_size // 2
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, groups=groups)
    return nn.Sequential(conv, nn.LeakyReLU(SLOPE))


def _tail(form: str, width: int, samples: int, scale: int) -> nn.Module:
    if form == "subpixel":
        phases = nn.Conv2d(width, samples * scale**2, 3, padding=1)
        return nn.Sequential(phases, nn.PixelShuffle(scale))
    shift = scale - 1 if form == "deconvolution_last" else 0
    return nn.ConvTranspose2d(
        width,
        samples,
        TAIL_KERNEL,
        scale,
        TAIL_PADDING - shift,
        output_padding=scale - 1 - shift,
    )


def _check_widths(width: int, d: int) -> None:
    if d < 1 or width <= 2 * d or any(n % GROUPS for n in (width, d)):
        raise ValueError(
            f"width {width} and d {d} do not fit; both must divide by {GROUPS}, and width > 2*d"
        )
