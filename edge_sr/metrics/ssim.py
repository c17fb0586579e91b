"""Structural similarity (Wang et al., IEEE TIP 2004)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sr.metrics.psnr import shaved

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(sr: NDArray[Any], hr: NDArray[Any], *, shave: int) -> float:
    """Mean SSIM of two HxW planes in 0..255: 11x11 Gaussian window, sigma 1.5, valid area only."""
    if sr.shape != hr.shape:
        raise ValueError(f"planes of shapes {sr.shape} and {hr.shape} cannot be compared")
    a, b = shaved(sr, shave), shaved(hr, shave)
    if min(a.shape) < _WINDOW:
        raise ValueError(f"SSIM needs {_WINDOW} px a side after shaving; the plane has {a.shape}")
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a = _blur(a * a) - mean_a**2
    variance_b = _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    numerator = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    denominator = (mean_a**2 + mean_b**2 + _C1) * (variance_a + variance_b + _C2)
    return float(np.mean(numerator / denominator))


def _blur(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    kernel = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    kernel /= kernel.sum()
    rows = sum(kernel[i] * plane[i : plane.shape[0] - _WINDOW + 1 + i] for i in range(_WINDOW))
    columns: NDArray[np.float64] = sum(
        kernel[i] * rows[:, i : plane.shape[1] - _WINDOW + 1 + i] for i in range(_WINDOW)
    )
    return columns
