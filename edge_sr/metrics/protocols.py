"""The evaluation protocols of the papers: how LR is made, what is compared with what.

A  "Y, Matlab-Caffe" (FSRCNN, VDSR, IDN, all cited bicubic rows): luminance rounded to 8 bit,
   downscaled in double precision, LR not rounded.
B  "Y, PISR": LR is the 8-bit RGB bicubic downscale; luminance of LR and HR stays float.
C  "RGB" (EDSR, RCAN, SAN, CARN): LR as in B; the network's RGB picture is rounded, then compared
   on float luminance. A luminance network gets bicubic chroma.

In all of them SR is clamped and rounded to 0..255, ``scale`` pixels are shaved on each side, and
the PSNR peak is 255. One-channel files stay at full range in A and B and are replicated in C.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sr.data.color import luma_from_rgb, luma_of, rgb_from_ycbcr, ycbcr_from_rgb
from edge_sr.data.resample import downscale, modcrop, upscale
from edge_sr.metrics.psnr import psnr
from edge_sr.metrics.ssim import ssim

PROTOCOLS = ("A", "B", "C")
Plane = NDArray[np.float64]
LumaUpscaler = Callable[[Plane], NDArray[Any]]
RgbUpscaler = Callable[[NDArray[np.uint8]], NDArray[Any]]


@dataclass(frozen=True)
class Score:
    """PSNR in dB and SSIM of one picture."""

    psnr: float
    ssim: float


def score_luma_upscaler(
    image: NDArray[np.uint8], scale: int, protocol: str, upscale_luma: LumaUpscaler
) -> Score:
    """Score ``upscale_luma`` (float64 h x w in 0..255 to the same, scale times larger)."""
    image = modcrop(_without_alpha(image), scale)
    if protocol == "C":

        def upscale_rgb(lr: NDArray[np.uint8]) -> Plane:
            return rgb_from_ycbcr(_upscale_ycbcr(ycbcr_from_rgb(lr), scale, upscale_luma))

        return score_rgb_upscaler(image, scale, upscale_rgb)
    if protocol == "A":
        hr = np.floor(luma_of(image) + 0.5)
        lr = downscale(hr, scale)
    else:
        hr = luma_of(image)
        lr = luma_of(downscale(image, scale))
    return _compare(_to_grey_levels(upscale_luma(lr)), hr, scale)


def score_rgb_upscaler(image: NDArray[np.uint8], scale: int, upscale_rgb: RgbUpscaler) -> Score:
    """Score ``upscale_rgb`` (uint8 h x w x 3 to values in 0..255, scale times larger) by C."""
    image = modcrop(_without_alpha(image), scale)
    rgb = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image
    sr = upscale_rgb(downscale(rgb, scale))
    return _compare(luma_from_rgb(_to_grey_levels(sr)), luma_from_rgb(rgb), scale)


def score_bicubic(image: NDArray[np.uint8], scale: int, protocol: str) -> Score:
    """Score MATLAB bicubic in double precision; in protocol C on the RGB planes."""
    if protocol == "C":
        return score_rgb_upscaler(image, scale, lambda lr: upscale(lr.astype(np.float64), scale))
    return score_luma_upscaler(image, scale, protocol, lambda lr: upscale(lr, scale))


def _without_alpha(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image[:, :, :3] if image.ndim == 3 else image


def _upscale_ycbcr(ycbcr: Plane, scale: int, upscale_luma: LumaUpscaler) -> Plane:
    luma = np.asarray(upscale_luma(ycbcr[:, :, 0]), np.float64)
    return np.dstack([luma, upscale(ycbcr[:, :, 1:], scale)])


def _to_grey_levels(sr: NDArray[Any]) -> Plane:
    levels: Plane = np.clip(np.rint(np.asarray(sr, np.float64)), 0, 255)
    return levels


def _compare(sr: Plane, hr: Plane, scale: int) -> Score:
    return Score(psnr(sr, hr, shave=scale), ssim(sr, hr, shave=scale))
