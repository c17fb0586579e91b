"""Luminance and chrominance of RGB, as luminance networks are trained on them.

ITU-R BT.601 limited range: R, G, B in 0..255 to Y in 16..235, Cb and Cr in 16..240.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]

_YCBCR_FROM_RGB = (
    np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
    / 255.0
)
_OFFSET = np.array([16.0, 128.0, 128.0])
_RGB_FROM_YCBCR = np.linalg.inv(_YCBCR_FROM_RGB)


# Of full-range luminance.
_GREY_FROM_RGB = np.array([0.299, 0.587, 0.114])


def grey_from_rgb(rgb: Samples) -> Samples:
    """HxWx3 floats to HxW of the same range and precision; equal R, G and B stay what they are."""
    grey: Samples = rgb @ _GREY_FROM_RGB.astype(rgb.dtype)
    return grey


def ycbcr_from_rgb(rgb: Samples) -> Samples:
    """HxWx3 floats to as many of the same precision."""
    ycbcr: Samples = rgb @ _YCBCR_FROM_RGB.T.astype(rgb.dtype) + _OFFSET.astype(rgb.dtype)
    return ycbcr


def rgb_from_ycbcr(ycbcr: Samples) -> Samples:
    """The inverse; values may lie outside 0..255."""
    centred = ycbcr - _OFFSET.astype(ycbcr.dtype)
    rgb: Samples = centred @ _RGB_FROM_YCBCR.T.astype(ycbcr.dtype)
    return rgb
