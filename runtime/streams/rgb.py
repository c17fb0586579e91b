"""RGB pictures of frames, and frames of RGB pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from runtime.picture import Picture
from runtime.video.chroma import chroma_from_luma_grid
from runtime.video.color import UNSPECIFIED, Siting, guessed_matrix
from runtime.video.frame import Frame
from runtime.video.pixels import GREY, LAYOUTS, PixelLayout
from runtime.video.probe import VideoInfo
from runtime.video.rgb import GREY_MATRIX, PlaneColors, matrix_of, rounded_samples

PQ, HLG = 16, 18


def is_guess_needed(info: VideoInfo, matrix: int | None) -> bool:
    """Whether neither the video nor the user names the matrix that RGB needs."""
    has_chroma = info.layout.subsampling[0] > 0
    return has_chroma and matrix is None and info.colors.matrix == UNSPECIFIED


def guess_note(info: VideoInfo) -> str:
    """What is taken where nothing names the matrix."""
    return (
        f"the input names no colour matrix; {guessed_matrix(*info.size)} is taken, as players do "
        f"for {info.width}x{info.height}: name it with --color-matrix"
    )


def rgb_from_frame(frame: Frame, info: VideoInfo) -> Picture:
    """The frame as HxWx3 RGB, or HxW grey: uint8, or uint16 over its full scale if deeper.

    ``info`` says matrix, range and chroma siting; an open range is taken as limited.
    """
    is_grey = frame.layout.subsampling == GREY
    matrix = GREY_MATRIX if is_grey else matrix_of(info)
    colors = frame.planes[: frame.layout.color_count]
    rgb = PlaneColors.of(replace(info, layout=frame.layout), matrix).rgb(colors)
    unit, depth = (1, 8) if frame.layout.bit_depth == 8 else (257, 16)
    return rounded_samples((rgb[:, :, 0] if is_grey else rgb) * np.float32(unit), depth)


def frame_from_rgb(picture: Picture, matrix: int, index: int, rate: Fraction) -> Frame:
    """A limited range 4:4:4 frame: 8 bits of uint8, 10 bits of uint16; alpha is left out."""
    layout = picture_layout(picture)
    if picture.ndim == 2:
        picture = np.dstack([picture] * 3)
    rgb = picture[:, :, :3].astype(np.float32) * np.float32(255 / np.iinfo(picture.dtype).max)
    colors = PlaneColors(layout, matrix, is_full=False, siting=Siting())
    return Frame(colors.planes(rgb), layout, index, 1, 1 / rate)


def picture_layout(picture: Picture) -> PixelLayout:
    """The layout of the frames that a picture becomes."""
    return LAYOUTS["yuv444p" if picture.dtype == np.uint8 else "yuv444p10le"]


def halved_layout(layout: PixelLayout) -> PixelLayout:
    """4:2:0 of the same depth."""
    return LAYOUTS["yuv420p" if layout.bit_depth == 8 else f"yuv420p{layout.bit_depth}le"]


def halve_chroma(frame: Frame) -> Frame:
    """A 4:4:4 frame as 4:2:0 with its chroma at the left, which is what players take best."""
    luma, *chroma = frame.planes
    layout = halved_layout(frame.layout)
    halves = (
        chroma_from_luma_grid(plane.astype(np.float32), layout.subsampling, Siting())
        for plane in chroma
    )
    planes = (luma, *(rounded_samples(half, layout.bit_depth) for half in halves))
    return replace(frame, planes=planes, layout=layout)


def upright(picture: Picture, display_matrix: Sequence[int] | None) -> Picture:
    """The picture turned and mirrored as a player would; other angles are left as they are."""
    if display_matrix is None or not is_right_angled(display_matrix):
        return picture
    a, b, _, c, d = display_matrix[:5]
    # x' = a x + c y, y' = b x + d y
    along_x, along_y = a, d
    if a == 0:
        picture, along_x, along_y = picture.swapaxes(0, 1), c, b
    if along_x < 0:
        picture = picture[:, ::-1]
    if along_y < 0:
        picture = picture[::-1]
    return np.ascontiguousarray(picture)


def is_right_angled(display_matrix: Sequence[int]) -> bool:
    """Whether a display matrix turns by a multiple of 90 degrees."""
    a, b, _, c, d = display_matrix[:5]
    return (a == d == 0 and b != 0 != c) or (b == c == 0 and a != 0 != d)
