from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from runtime.streams.raw import raw_info
from runtime.streams.rgb import (
    frame_from_rgb,
    halve_chroma,
    is_right_angled,
    rgb_from_frame,
    upright,
)
from runtime.video.color import ColorTags, Siting
from runtime.video.frame import LAYOUTS, Frame, av_from_frame
from runtime.video.probe import VideoInfo
from runtime.video.rgb import matrix_of

RATE = Fraction(25)


def info(layout: str, width: int, height: int, matrix: int = 1, sample_range: int = 1) -> VideoInfo:
    colors = ColorTags(matrix=matrix, sample_range=sample_range)
    return replace(raw_info(width, height, LAYOUTS[layout], RATE), colors=colors)


def flat(layout: str, *values: int) -> Frame:
    dtype = np.uint8 if LAYOUTS[layout].bit_depth == 8 else np.uint16
    planes = tuple(np.full((4, 4), value, dtype) for value in values)
    return Frame(planes, LAYOUTS[layout], 0, 1, 1 / RATE)


@pytest.mark.parametrize(
    ("layout", "values", "matrix", "sample_range", "expected"),
    [
        ("yuv444p", (235, 128, 128), 1, 1, (255, 255, 255)),
        ("yuv444p", (16, 128, 128), 1, 1, (0, 0, 0)),
        ("yuv444p", (235, 128, 128), 1, 0, (255, 255, 255)),
        ("yuv444p", (255, 128, 128), 1, 2, (255, 255, 255)),
        # Primary colours as the standards give them in 8 bits.
        ("yuv444p", (63, 102, 240), 1, 1, (255, 1, 0)),
        ("yuv444p", (81, 90, 240), 6, 1, (254, 0, 0)),
        ("yuv444p", (76, 85, 255), 5, 2, (254, 0, 0)),
        ("yuv444p", (74, 97, 240), 9, 1, (255, 0, 0)),
        ("yuv444p10le", (940, 512, 512), 1, 1, (65535,) * 3),
        ("yuv444p12le", (256, 2048, 2048), 1, 1, (0,) * 3),
        ("gray", (126,), 1, 1, 128),
        ("gray10le", (1023,), 1, 2, 65535),
    ],
)
def test_known_colours(
    layout: str, values: tuple[int, ...], matrix: int, sample_range: int, expected: object
) -> None:
    picture = rgb_from_frame(flat(layout, *values), info(layout, 4, 4, matrix, sample_range))
    assert picture.dtype == (np.uint8 if LAYOUTS[layout].bit_depth == 8 else np.uint16)
    assert np.abs(picture.astype(int) - np.array(expected)).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_there_and_back_is_within_rounding(dtype: type, matrix: int) -> None:
    top = np.iinfo(dtype).max
    picture = np.random.default_rng(1).integers(0, top + 1, (9, 14, 3)).astype(dtype)
    frame = frame_from_rgb(picture, matrix, 7, RATE)
    assert (frame.pts, frame.duration, frame.time_base) == (7, 1, Fraction(1, 25))
    back = rgb_from_frame(frame, info("yuv444p", 14, 9, matrix))
    # One step of limited range chroma is up to two of a colour.
    assert np.abs(back.astype(int) - picture).max() <= 2 * top / (255 if top == 255 else 1023)


def test_colours_are_those_of_swscale() -> None:
    generator = np.random.default_rng(2)
    planes = (
        generator.integers(60, 180, (16, 16)).astype(np.uint8),
        generator.integers(118, 138, (16, 16)).astype(np.uint8),
        generator.integers(118, 138, (16, 16)).astype(np.uint8),
    )
    frame = Frame(planes, LAYOUTS["yuv444p"], 0, 1, 1 / RATE)
    for matrix, colorspace in ((1, 1), (6, 5)):
        ours = rgb_from_frame(frame, info("yuv444p", 16, 16, matrix))
        theirs = av_from_frame(frame).reformat(
            format="rgb24", src_colorspace=colorspace, src_color_range=1, dst_color_range=2
        )
        assert np.abs(ours.astype(int) - theirs.to_ndarray()).max() <= 2


@pytest.mark.parametrize("siting", [Siting(), Siting(False, False), Siting(True, True)])
@pytest.mark.parametrize("size", [(16, 12), (15, 11)])
@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p"])
def test_chroma_is_put_where_it_was_taken(
    siting: Siting, size: tuple[int, int], layout: str
) -> None:
    """A colour ramp stays the same ramp when every second chroma sample is left out."""
    width, height = size
    x, y = LAYOUTS[layout].subsampling
    chroma_width, chroma_height = LAYOUTS[layout].chroma_size(width, height)
    columns = np.arange(chroma_width) * x + (0 if siting.is_left or x == 1 else (x - 1) / 2)
    rows = np.arange(chroma_height) * y + (0 if siting.is_top or y == 1 else (y - 1) / 2)
    ramp = 90 + 4 * columns[None, :] + 2 * rows[:, None]
    full = 90 + 4 * np.arange(width)[None, :] + 2 * np.arange(height)[:, None]
    luma = np.full((height, width), 126, np.uint8)
    chroma = np.round(ramp).astype(np.uint8)
    frame = Frame((luma, chroma, np.full_like(chroma, 128)), LAYOUTS[layout], 0, 1, 1 / RATE)
    whole = Frame(
        (luma, full.astype(np.uint8), np.full_like(luma, 128)), LAYOUTS["yuv444p"], 0, 1, 1 / RATE
    )
    small = rgb_from_frame(frame, replace(info(layout, width, height), siting=siting))
    large = rgb_from_frame(whole, info("yuv444p", width, height))
    inner = slice(4, -4)
    assert np.abs(small.astype(int) - large)[inner, inner].max() <= 2


@pytest.mark.parametrize("size", [(24, 16), (25, 17)])
def test_halved_chroma_lies_at_the_left(size: tuple[int, int]) -> None:
    width, height = size
    ramp = (20 + 4 * np.arange(width)[None, :] + 6 * np.arange(height)[:, None]).astype(np.uint8)
    frame = Frame((ramp, ramp, ramp), LAYOUTS["yuv444p"], 3, 1, 1 / RATE)
    halved = halve_chroma(frame)
    assert halved.layout == LAYOUTS["yuv420p"]
    assert halved.planes[1].shape == (-(-height // 2), -(-width // 2))
    expected = (
        20 + 4 * np.arange(0, width, 2)[None, :] + 6 * (np.arange(0, height, 2) + 0.5)[:, None]
    )
    inner = slice(2, -2)  # at the edges the ramp ends
    assert np.abs(halved.planes[1] - expected)[inner, inner].max() <= 0.5


@pytest.mark.parametrize(
    ("pixel_format", "matrix", "message"),
    [("yuv444p", 8, "colour matrix 8 of ITU-T H.273"), ("yuv444p", 0, "colour matrix 0")],
)
def test_matrix_that_is_not_supported_is_refused(
    pixel_format: str, matrix: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        matrix_of(info(pixel_format, 4, 4, matrix))


def test_open_matrix_is_guessed_by_size() -> None:
    assert matrix_of(info("yuv420p", 640, 360, 2)) == 6
    assert matrix_of(info("yuv420p", 1280, 720, 2)) == 1


@pytest.mark.parametrize("rotation", [0, 90, 180, 270, -90])
@pytest.mark.parametrize("flip", [False, True])
def test_picture_is_turned_as_pyav_says(rotation: int, flip: bool) -> None:
    one = 1 << 16
    cosine, sine = round(np.cos(np.radians(rotation))), round(np.sin(np.radians(rotation)))
    # FFmpeg's av_display_rotation_set(-rotation), then av_display_matrix_flip horizontally.
    matrix = [cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30]
    picture = np.arange(6).reshape(2, 3)
    expected = np.rot90(picture, -rotation // 90)
    if flip:
        matrix = [-v if i % 3 == 0 else v for i, v in enumerate(matrix)]
        expected = expected[:, ::-1]
    assert is_right_angled(matrix)
    assert upright(picture, matrix).tolist() == expected.tolist()


def test_picture_that_is_not_turned_by_right_angles_stays() -> None:
    tilted = [46340, 46340, 0, -46340, 46340, 0, 0, 0, 1 << 30]
    picture = np.arange(6).reshape(2, 3)
    assert not is_right_angled(tilted)
    for matrix in (None, tilted):
        assert upright(picture, matrix).tolist() == picture.tolist()
