"""The chain in numpy, the slow version that no timed runtime may stray from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sr.data.resample import bicubic_phases
from side_by_side.chain import Chain, Layer

Floats = NDArray[np.float32]
BASE_RADIUS = 2
# 8-bit grey levels.
_PEAK = 255.0


def reference_frame(chain: Chain, plane: NDArray[Any]) -> Floats:
    """FP32 result for an HxW plane of grey levels, neither clamped nor rounded."""
    picture = plane.astype(np.float32)[None]
    values = picture
    for layer in chain.layers:
        values = _activated(_convolved(values, layer.weight, layer.bias), layer)
    if chain.has_base:
        values = values + _base(picture, chain.scale)
    return depth_to_space(values, chain.scale)


def depth_to_space(phases: NDArray[Any], scale: int) -> NDArray[Any]:
    """[scale*scale, H, W] to [scale*H, scale*W]."""
    _, height, width = phases.shape
    grid = phases.reshape(scale, scale, height, width).transpose(2, 0, 3, 1)
    return np.ascontiguousarray(grid.reshape(height * scale, width * scale))


def psnr_db(result: NDArray[Any], reference: NDArray[Any]) -> float:
    """Agreement of two frames of grey levels in dB, at most 200; NaN if a value is none."""
    if result.shape != reference.shape:
        raise ValueError(f"a result of shape {result.shape} is not of {reference.shape}")
    error = np.mean((result.astype(np.float64) - reference) ** 2)
    # Unlike min and max, these keep a NaN.
    return float(np.minimum(200.0, 10 * np.log10(_PEAK**2 / np.maximum(error, 1e-20))))


def _convolved(values: Floats, weight: NDArray[Any], bias: NDArray[Any]) -> Floats:
    radius = weight.shape[2] // 2
    padded = np.pad(values, ((0, 0), (radius, radius), (radius, radius)))
    return _valid(padded, weight) + bias[:, None, None].astype(np.float32)


def _valid(padded: Floats, weight: NDArray[Any]) -> Floats:
    """Convolution without padding, tap by tap."""
    taps = weight.shape[2]
    height, width = padded.shape[1] - taps + 1, padded.shape[2] - taps + 1
    total = np.zeros((len(weight), height, width), np.float32)
    for ky in range(taps):
        for kx in range(taps):
            window = padded[:, ky : ky + height, kx : kx + width]
            total += np.tensordot(weight[:, :, ky, kx], window, 1)
    return total


def _activated(values: Floats, layer: Layer) -> Floats:
    if layer.clip is not None:
        return np.clip(values, *layer.clip).astype(np.float32)
    if layer.slope is not None:
        return np.where(values > 0, values, values * layer.slope[:, None, None])
    return values


def _base(picture: Floats, scale: int) -> Floats:
    edge = ((0, 0), (BASE_RADIUS, BASE_RADIUS), (BASE_RADIUS, BASE_RADIUS))
    return _valid(np.pad(picture, edge, mode="edge"), base_weight(scale))


def base_weight(scale: int) -> Floats:
    """[scale*scale, 1, 5, 5]: MATLAB bicubic as a convolution after repeating the border twice."""
    return bicubic_phases(scale).astype(np.float32)[:, None]
