"""Frames that show what a plain bicubic gives, and what the network gives, next to each other."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from runtime.resample import upscale_bicubic
from runtime.video.frame import Frame, Plane
from runtime.video.pixels import PixelLayout
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
    return replace(info, width=2 * _whole(info.width, info.layout))


class BicubicUpscaler:
    """What FrameUpscaler takes for a network, without one."""

    channels, takes_frames = "y", False
    max_concurrency = 1

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def upscale_luma(self, plane: Plane, *, bit_depth: int) -> Plane:
        """Bicubic (a = -0.5); integer samples are rounded and clamped, float ones are not."""
        enlarged = upscale_bicubic(plane, self.scale)
        if plane.dtype == np.float32:
            return enlarged
        return np.clip(np.rint(enlarged), 0, 2**bit_depth - 1).astype(plane.dtype)

    def upscale_frame(self, planes: tuple[Plane, ...], **options: Any) -> tuple[Plane, ...]:
        """Not offered."""
        raise NotImplementedError

    def upscale_rgb(self, picture: Plane) -> Plane:
        """Not offered: bicubic needs no RGB."""
        raise NotImplementedError


def compare_frames(before: Frame, after: Frame, comparison: Comparison) -> Frame:
    """``before`` left, ``after`` right, which have one size and layout, with their names.

    ``side`` shows both whole, ``split`` the left half of one and the right half of the other.
    """
    layout, width = after.layout, after.planes[0].shape[1]
    middle = _whole(width if comparison == "side" else width // 2, layout)
    lit = layout.color_count if layout.is_rgb else 1
    planes = []
    for index, (left, right) in enumerate(zip(before.planes, after.planes, strict=True)):
        is_chroma = not layout.is_rgb and 0 < index < layout.color_count
        step = max(layout.subsampling[0], 1) if is_chroma else 1
        place = middle // step
        rest = right[:, :place] if comparison == "side" else right[:, place:]
        plane = np.concatenate((left[:, :place], rest), axis=1)
        if index < layout.color_count:
            _mark(plane, place, step, bit_depth=layout.bit_depth, is_lit=index < lit)
        planes.append(plane)
    return replace(after, planes=tuple(planes))


def _mark(plane: Plane, middle: int, step: int, *, bit_depth: int, is_lit: bool) -> None:
    """A line in the middle, and the names, bright in luma or RGB and without colour in chroma."""
    white, grey = 2**bit_depth * 235 // 256, 2 ** (bit_depth - 1)
    plane[:, middle : middle + max(LINE_WIDTH // step, 1)] = white if is_lit else grey
    if is_lit:
        ink, edge = _label_masks(plane.shape, middle)
        plane[edge] = white // 10
        plane[ink] = white


def _whole(width: int, layout: PixelLayout) -> int:
    """The width that ends with a whole chroma sample."""
    return width - width % max(layout.subsampling[0], 1)


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
