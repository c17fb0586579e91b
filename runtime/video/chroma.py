"""Chroma planes on the grid of luma, and back, where the siting says that they lie.

Bicubic (a = -0.5) like ``runtime.resample``, by filters of OpenCV, since the factors are whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.resample import cubic
from runtime.video.color import Siting

Floats = NDArray[np.floating[Any]]


def chroma_on_luma_grid(
    plane: NDArray[Any], subsampling: tuple[int, int], siting: Siting, size: tuple[int, int]
) -> Floats:
    """A chroma plane with a float32 sample for each of luma's, ``size`` wide and high."""
    width, height = size
    x, y = subsampling
    rows = _phases(plane.astype(np.float32), y, _row_place(y, siting), axis=0)
    tall = np.stack(rows, axis=1).reshape(-1, plane.shape[1])
    columns = _phases(tall, x, _column_place(x, siting), axis=1)
    full = np.stack(columns, axis=2).reshape(len(tall), -1)
    # The last chroma sample of an odd size reaches past the frame.
    return full[:height, :width]


def chroma_from_luma_grid(
    plane: NDArray[Any], subsampling: tuple[int, int], siting: Siting
) -> Floats:
    """The way back, antialiased: one float32 sample for each cell of luma samples."""
    x, y = subsampling
    rows = _filtered(plane, *_shrinking(y, _row_place(y, siting)), axis=0)[::y]
    return _filtered(rows, *_shrinking(x, _column_place(x, siting)), axis=1)[:, ::x]


def _row_place(subsampling: int, siting: Siting) -> float:
    if siting.is_bottom:
        return subsampling - 1.0
    return 0.0 if siting.is_top else (subsampling - 1) / 2


def _column_place(subsampling: int, siting: Siting) -> float:
    """Where a chroma sample lies among the luma samples of its cell, counted from the first."""
    return 0.0 if siting.is_left else (subsampling - 1) / 2


def _phases(plane: Floats, factor: int, place: float, axis: int) -> list[Floats]:
    """The values at each of the ``factor`` luma samples of a cell, on the grid of chroma."""
    taps = np.arange(-2, 3)
    offsets = (np.arange(factor) - place) / factor
    return [_filtered(plane, cubic(offset - taps), 2, axis) for offset in offsets]


def _shrinking(factor: int, place: float) -> tuple[NDArray[np.float64], int]:
    """Weights of the luma samples around a cell, and which of them is its first sample."""
    first = int(np.ceil(place - 2 * factor))
    taps = np.arange(first, int(np.floor(place + 2 * factor)) + 1)
    return cubic((taps - place) / factor), -first


def _filtered(plane: Floats, weights: NDArray[np.float64], anchor: int, axis: int) -> Floats:
    """Weighted sums along an axis, edges repeated; ``anchor`` is the weight of a sample itself."""
    import cv2

    if np.count_nonzero(weights) == 1:
        return plane
    kernel = (weights / weights.sum()).astype(np.float32)
    shape, point = ((1, -1), (anchor, 0)) if axis else ((-1, 1), (0, anchor))
    rows = np.ascontiguousarray(plane)
    filtered = cv2.filter2D(
        rows, -1, kernel.reshape(shape), anchor=point, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(filtered)
