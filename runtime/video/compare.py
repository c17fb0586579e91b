"""Frames that show what a plain bicubic gives, and what the network gives, next to each other."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from runtime.resample import resize_plane
from runtime.video.frame import Frame, Plane
from runtime.video.probe import VideoInfo

Comparison = Literal["side", "split"]
COMPARISONS: tuple[Comparison, ...] = ("side", "split")
LABELS = ("bicubic", "edge-sr")
# Of the height of the picture.
LABEL_HEIGHT = 1 / 30
LINE_WIDTH = 2


def compared_info(info: VideoInfo, comparison: Comparison) -> VideoInfo:
    """What the comparison of frames like these is like: ``side`` is twice as wide."""
    if comparison == "split":
        return info
    return replace(info, width=2 * _even_width(info))


def compare_frames(before: Frame, after: Frame, info: VideoInfo, comparison: Comparison) -> Frame:
    """The bicubic enlargement of ``before`` left, ``after``, of which ``info`` tells, right.

    ``side`` shows both whole, ``split`` the left half of one and the right half of the other.
    Chroma is the same on both sides, since the network does luma alone.
    """
    bicubic = _enlarged(before.planes[0], after)
    left, right = (bicubic, *after.planes[1:]), after.planes
    joined = [
        _joined(pair, index, info, comparison)
        for index, pair in enumerate(zip(left, right, strict=True))
    ]
    return replace(after, planes=tuple(joined))


def _enlarged(luma: Plane, after: Frame) -> Plane:
    height, width = after.planes[0].shape
    peak = 2**after.layout.bit_depth - 1
    plane = np.clip(np.rint(resize_plane(luma, width, height)), 0, peak)
    return plane.astype(after.planes[0].dtype)


def _joined(
    pair: tuple[Plane, Plane], index: int, info: VideoInfo, comparison: Comparison
) -> Plane:
    """One plane of the comparison."""
    step = max(info.layout.subsampling[0], 1) if index else 1
    left, right = pair
    if comparison == "side":
        width = _even_width(info) // step
        plane = np.concatenate((left[:, :width], right[:, :width]), axis=1)
    else:
        middle = _even_width(replace(info, width=info.width // 2)) // step
        width = middle
        plane = np.concatenate((left[:, :middle], right[:, middle:]), axis=1)
    white, grey = 2**info.layout.bit_depth * 235 // 256, 2 ** (info.layout.bit_depth - 1)
    line = max(LINE_WIDTH // step, 1)
    plane[:, width : width + line] = grey if index else white
    if index == 0:
        ink, edge = _label_masks(plane.shape, width)
        plane[edge] = white // 10
        plane[ink] = white
    return plane


def _even_width(info: VideoInfo) -> int:
    """The width that ends with a whole chroma sample."""
    return info.width - info.width % max(info.layout.subsampling[0], 1)


@lru_cache(maxsize=4)
def _label_masks(shape: tuple[int, int], middle: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where the letters are, and where their dark edge is."""
    import cv2

    size = max(shape[0] * LABEL_HEIGHT, 8.0)
    scale = size / 21  # pixels of a capital letter at scale 1
    thickness = max(round(size / 8), 1)
    ink = np.zeros(shape, np.uint8)
    for x, label in zip((0, middle), LABELS, strict=True):
        place = (x + round(size), round(2 * size))
        cv2.putText(ink, label, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness)
    edge = cv2.dilate(ink, np.ones((2 * max(round(size / 10), 1) + 1,) * 2, np.uint8))
    return ink > 127, edge > 127
