"""MATLAB-equivalent bicubic resampling (``imresize`` with its default kernel and antialiasing)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic convolution kernel with a = -0.5 (Keys 1981, eq. 15)."""
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x * x + 1.0
    outer = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))


def _taps(
    length: int, out_length: int, factor: float
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Weights and clamped source indices, both [out_length, taps], for one axis."""
    stretch = min(factor, 1.0)
    width = 4.0 / stretch
    centre = np.arange(1, out_length + 1) / factor + 0.5 * (1 - 1 / factor)
    first = np.floor(centre - width / 2)
    offsets = np.arange(int(np.ceil(width)) + 2)
    index = first[:, None] + offsets[None, :]
    weights = stretch * cubic(stretch * (centre[:, None] - index))
    weights /= weights.sum(axis=1, keepdims=True)
    used = np.any(weights != 0, axis=0)
    clamped = np.clip(index[:, used], 1, length).astype(np.intp) - 1
    return weights[:, used], clamped


def _resize_rows(plane: NDArray[np.float64], out_height: int, factor: float) -> Array:
    weights, index = _taps(plane.shape[0], out_height, factor)
    total = np.zeros((out_height, plane.shape[1]))
    for tap in range(weights.shape[1]):
        total += weights[:, tap, None] * plane[index[:, tap]]
    return total


def _round_uint8(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.floor(np.clip(values, 0, 255) + 0.5)


def _resize(image: Array, out_height: int, out_width: int, factor: float) -> Array:
    if image.size == 0:
        raise ValueError(f"cannot resize an empty picture of shape {image.shape}")
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"cannot resize samples of type {image.dtype}; uint8 or float is needed")
    is_uint8 = image.dtype == np.uint8
    planes = image[:, :, None] if image.ndim == 2 else image
    result = np.empty((out_height, out_width, planes.shape[2]))
    for channel in range(planes.shape[2]):
        rows = _resize_rows(planes[:, :, channel].astype(np.float64), out_height, factor)
        rows = _round_uint8(rows) if is_uint8 else rows
        columns = _resize_rows(np.ascontiguousarray(rows.T), out_width, factor).T
        result[:, :, channel] = _round_uint8(columns) if is_uint8 else columns
    result = result[:, :, 0] if image.ndim == 2 else result
    return result.astype(np.uint8) if is_uint8 else result


def modcrop(image: Array, scale: int) -> Array:
    """Crop right and bottom so that height and width divide by ``scale``.

    Raises ValueError if nothing is left.
    """
    height = image.shape[0] - image.shape[0] % scale
    width = image.shape[1] - image.shape[1] % scale
    if height == 0 or width == 0:
        raise ValueError(
            f"a picture of {image.shape[1]}x{image.shape[0]} is too small for scale {scale}"
        )
    return image[:height, :width]


def downscale(image: Array, scale: int) -> Array:
    """Antialiased bicubic by 1/scale, HxW or HxWxC; sizes must divide by ``scale``.

    uint8 in gives uint8 out, rounded after each dimension (vertical first) as MATLAB does; float in
    gives float64 without rounding. Edge samples are repeated outside the picture.
    """
    height, width = image.shape[:2]
    if height % scale or width % scale:
        raise ValueError(f"{width}x{height} does not divide by {scale}; crop with modcrop first")
    return _resize(image, height // scale, width // scale, 1.0 / scale)


def upscale(image: Array, scale: int) -> Array:
    """Bicubic by an integer factor; numeric modes as in :func:`downscale`."""
    height, width = image.shape[:2]
    return _resize(image, height * scale, width * scale, float(scale))


def bicubic_phases(scale: int) -> NDArray[np.float64]:
    """Bicubic upscaling as [scale*scale, 5, 5] correlation kernels, one per output phase.

    Phase ``py * scale + px`` gives output pixel (scale*y + py, scale*x + px) from the 5x5
    neighbourhood of LR pixel (y, x), with the LR picture extended by its edge samples.
    """
    centre = (np.arange(scale) + 0.5) / scale - 0.5
    axis = cubic(centre[:, None] - np.arange(-2, 3)[None, :])
    axis /= axis.sum(axis=1, keepdims=True)
    kernels: NDArray[np.float64] = np.einsum("ay,bx->abyx", axis, axis)
    return kernels.reshape(scale * scale, 5, 5)
