"""BT.601 limited-range luminance and chroma, as MATLAB's ``rgb2ycbcr``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# ITU-R BT.601, RGB in 0..255 to Y in 16..235 and Cb, Cr in 16..240.
_YCBCR_FROM_RGB = (
    np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
    / 255.0
)
_OFFSET = np.array([16.0, 128.0, 128.0])
_RGB_FROM_YCBCR = np.linalg.inv(_YCBCR_FROM_RGB)


def luma_from_rgb(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """HxWx3 RGB in 0..255 to float64 HxW luminance in 16..235, not rounded."""
    luma: NDArray[np.float64] = rgb[:, :, :3].astype(np.float64) @ _YCBCR_FROM_RGB[0] + _OFFSET[0]
    return luma


def ycbcr_from_rgb(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """HxWx3 RGB in 0..255 to float64 HxWx3 Y, Cb, Cr, not rounded."""
    ycbcr: NDArray[np.float64] = rgb[:, :, :3].astype(np.float64) @ _YCBCR_FROM_RGB.T + _OFFSET
    return ycbcr


def rgb_from_ycbcr(ycbcr: NDArray[Any]) -> NDArray[np.float64]:
    """Inverse of :func:`ycbcr_from_rgb`, neither clamped nor rounded."""
    rgb: NDArray[np.float64] = (ycbcr.astype(np.float64) - _OFFSET) @ _RGB_FROM_YCBCR.T
    return rgb


def luma_of(image: NDArray[Any]) -> NDArray[np.float64]:
    """Luminance on the 8-bit scale: grey pictures as they are, colour by BT.601.

    16-bit samples are divided by 257 first.
    """
    samples = image / 257.0 if image.dtype == np.uint16 else image
    return samples.astype(np.float64) if image.ndim == 2 else luma_from_rgb(samples)
