"""RGB pictures of frames, and frames of RGB pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.picture import Picture
from runtime.resample import resize_plane
from runtime.video.color import MATRICES, RANGE_FULL, UNSPECIFIED, chroma_phase, guessed_matrix
from runtime.video.frame import Frame, Plane
from runtime.video.pixels import LAYOUTS, PixelLayout
from runtime.video.probe import VideoInfo

Floats = NDArray[np.floating[Any]]

# Shares of red and blue in luma, by the matrix numbers of ITU-T H.273.
LUMA_SHARES: Mapping[int, tuple[float, float]] = MappingProxyType(
    {
        1: (0.2126, 0.0722),
        4: (0.30, 0.11),
        5: (0.299, 0.114),
        6: (0.299, 0.114),
        7: (0.212, 0.087),
        9: (0.2627, 0.0593),
    }
)
PQ, HLG = 16, 18


def matrix_of(info: VideoInfo) -> int:
    """The matrix of a video's colours; what common players guess where it names none.

    Raises ValueError for one that is not a plain luma and chroma matrix.
    """
    matrix = info.colors.matrix
    if matrix == UNSPECIFIED:
        return MATRICES[guessed_matrix(*info.size).lower().replace(".", "")]
    if matrix not in LUMA_SHARES:
        raise ValueError(
            f"colour matrix {matrix} of ITU-T H.273 cannot be turned into RGB here; convert the "
            "video to BT.709 first"
        )
    return matrix


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
    is_full = info.colors.sample_range == RANGE_FULL
    luma_zero, luma_span, chroma_zero, chroma_span = _levels(frame.layout.bit_depth, is_full)
    luma = (frame.planes[0].astype(np.float32) - luma_zero) / luma_span
    if len(frame.planes) == 1:
        return _picture(luma, frame.layout.bit_depth)
    size = luma.shape[1], luma.shape[0]
    blue, red = (
        (_full_size(plane, frame.layout, info, size) - chroma_zero) / chroma_span
        for plane in frame.planes[1:]
    )
    rgb = _transform(np.dstack([luma, blue, red]), np.linalg.inv(_matrix(matrix_of(info))))
    return _picture(rgb, frame.layout.bit_depth)


def frame_from_rgb(picture: Picture, matrix: int, index: int, rate: Fraction) -> Frame:
    """A limited range 4:4:4 frame: 8 bits of uint8, 10 bits of uint16; alpha is left out."""
    layout = picture_layout(picture)
    if picture.ndim == 2:
        picture = np.dstack([picture] * 3)
    rgb = picture[:, :, :3].astype(np.float32) / np.iinfo(picture.dtype).max
    luma, blue, red = np.moveaxis(_transform(rgb, _matrix(matrix)), 2, 0)
    luma_zero, luma_span, chroma_zero, chroma_span = _levels(layout.bit_depth, is_full=False)
    planes = (
        luma * luma_span + luma_zero,
        blue * chroma_span + chroma_zero,
        red * chroma_span + chroma_zero,
    )
    samples = tuple(_rounded(plane, layout.bit_depth) for plane in planes)
    return Frame(samples, layout, index, 1, 1 / rate)


def picture_layout(picture: Picture) -> PixelLayout:
    """The layout of the frames that a picture becomes."""
    return LAYOUTS["yuv444p" if picture.dtype == np.uint8 else "yuv444p10le"]


def halved_layout(layout: PixelLayout) -> PixelLayout:
    """4:2:0 of the same depth."""
    return LAYOUTS["yuv420p" if layout.bit_depth == 8 else f"yuv420p{layout.bit_depth}le"]


def halve_chroma(frame: Frame) -> Frame:
    """A 4:4:4 frame as 4:2:0 with its chroma at the left, which is what players take best."""
    luma, *chroma = frame.planes
    depth = frame.layout.bit_depth
    halves = (_rounded(_halved(plane.astype(np.float32)), depth) for plane in chroma)
    return replace(frame, planes=(luma, *halves), layout=halved_layout(frame.layout))


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


def _levels(bit_depth: int, is_full: bool) -> tuple[float, float, float, float]:
    """Zero and span of luma, then of chroma, whose values are -0.5 to 0.5."""
    unit = 2.0 ** (bit_depth - 8)
    if is_full:
        return 0.0, 2.0**bit_depth - 1, 128 * unit, 2.0**bit_depth - 1
    return 16 * unit, 219 * unit, 128 * unit, 224 * unit


def _matrix(number: int) -> Floats:
    """3x3: RGB to luma and the two colour differences."""
    red, blue = LUMA_SHARES[number]
    luma = np.array([red, 1 - red - blue, blue])
    return np.array(
        [
            luma,
            (np.array([0, 0, 1]) - luma) / (2 * (1 - blue)),
            (np.array([1, 0, 0]) - luma) / (2 * (1 - red)),
        ]
    )


def _transform(pixels: Floats, matrix: Floats) -> Floats:
    import cv2

    return np.asarray(cv2.transform(pixels, matrix.astype(np.float32)))


def _full_size(plane: Plane, layout: PixelLayout, info: VideoInfo, size: tuple[int, int]) -> Floats:
    x, y = layout.subsampling
    # The last chroma sample of an odd size reaches past the frame.
    resized = resize_plane(
        plane,
        plane.shape[1] * x,
        plane.shape[0] * y,
        phase_x=_phase_towards_luma(x, info.siting.is_left),
        phase_y=_phase_towards_luma(y, info.siting.is_top),
    )
    return resized[: size[1], : size[0]]


def _phase_towards_luma(subsampling: int, is_cosited: bool) -> float:
    """The phase for ``resize_plane``, which takes it for that of the result, too: luma has none."""
    if subsampling == 1:
        return 0.0
    return chroma_phase(subsampling, is_cosited) * subsampling / (subsampling - 1)


def _halved(plane: Floats) -> Floats:
    """Rows averaged in pairs; columns by 1 2 1 around the even ones."""
    height, width = plane.shape
    padded = np.pad(plane, ((0, height % 2), (1, 1 + width % 2)), mode="edge")
    rows = (padded[0::2] + padded[1::2]) / 2
    halved: Floats = (rows[:, 0:-2:2] + 2 * rows[:, 1:-1:2] + rows[:, 2::2]) / 4
    return halved


def _picture(values: Floats, bit_depth: int) -> Picture:
    top, dtype = (255, np.uint8) if bit_depth == 8 else (65535, np.uint16)
    return np.clip(np.rint(values * top), 0, top).astype(dtype)


def _rounded(plane: Floats, bit_depth: int) -> NDArray[Any]:
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    return np.clip(np.rint(plane), 0, 2**bit_depth - 1).astype(dtype)
