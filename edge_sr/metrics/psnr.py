"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def shaved(plane: NDArray[Any], shave: int) -> NDArray[np.float64]:
    """The plane without ``shave`` pixels on each side, as float64."""
    height, width = plane.shape
    if height <= 2 * shave or width <= 2 * shave:
        raise ValueError(f"a plane of {width}x{height} has nothing left after shaving {shave} px")
    return plane[shave : height - shave, shave : width - shave].astype(np.float64)


def psnr(sr: NDArray[Any], hr: NDArray[Any], *, shave: int) -> float:
    """PSNR in dB of two HxW planes in 0..255, peak 255; infinite when they are equal."""
    if sr.shape != hr.shape:
        raise ValueError(f"planes of shapes {sr.shape} and {hr.shape} cannot be compared")
    error = float(np.mean((shaved(sr, shave) - shaved(hr, shave)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255.0**2 / error)
