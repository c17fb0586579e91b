"""Bicubic resampling of planes (a = -0.5), for chroma, alpha and a final exact size."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]


def resize_plane(
    plane: NDArray[Any],
    width: int,
    height: int,
    *,
    phase_x: float = 0.0,
    phase_y: float = 0.0,
) -> Plane:
    """HxW plane to float32 ``height`` x ``width``, antialiased when it shrinks, edges repeated.

    A phase is how far samples sit from the centre of their cell, in samples, in the source and in
    the result alike: -0.25 for chroma that is co-sited with every second luma sample, 0 for
    centred chroma, luma and alpha. Values are neither clamped nor rounded.
    """
    if plane.ndim != 2 or 0 in plane.shape:
        raise ValueError(f"a plane of shape {plane.shape} cannot be resized")
    if width < 1 or height < 1:
        raise ValueError(f"a plane cannot be resized to {width}x{height}")
    rows = _resize_rows(plane.astype(np.float32, copy=False), height, phase_y)
    columns = _resize_rows(np.ascontiguousarray(rows.T), width, phase_x)
    return np.ascontiguousarray(columns.T)


def upscale_bicubic(plane: NDArray[Any], scale: int) -> Plane:
    """Centred bicubic by an integer factor, as MATLAB's ``imresize``."""
    height, width = plane.shape
    return resize_plane(plane, width * scale, height * scale)


def _resize_rows(plane: Plane, length: int, phase: float) -> Plane:
    if length == plane.shape[0]:
        return plane
    weights, index = _taps(plane.shape[0], length, phase)
    total = np.zeros((length, plane.shape[1]), np.float32)
    for tap in range(weights.shape[1]):
        total += weights[:, tap, None] * plane[index[:, tap]]
    return total


@lru_cache(maxsize=64)
def _taps(length: int, out_length: int, phase: float) -> tuple[Plane, NDArray[np.intp]]:
    """Weights and clamped source rows, both [out_length, taps]."""
    factor = out_length / length
    stretch = min(factor, 1.0)
    centre = (np.arange(out_length) + 0.5 + phase) / factor - 0.5 - phase
    radius = 2.0 / stretch
    first = np.ceil(centre - radius).astype(np.intp)
    index = first[:, None] + np.arange(int(np.ceil(2 * radius)) + 1)[None, :]
    weights = cubic(stretch * (centre[:, None] - index))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32), np.clip(index, 0, length - 1)


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic convolution kernel with a = -0.5 (Keys 1981)."""
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x * x + 1.0
    outer = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))
