from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from runtime.video.color import SITINGS, ColorTags, Siting
from runtime.video.convert import Converter, converted_tags, wanted_layout
from runtime.video.frame import Frame
from runtime.video.pixels import GREY, LAYOUTS
from runtime.video.probe import VideoInfo

SIZE = (16, 8)


def info(layout: str, colors: ColorTags | None = None, siting: str = "left") -> VideoInfo:
    return VideoInfo(
        width=SIZE[0],
        height=SIZE[1],
        layout=LAYOUTS[layout],
        codec="h264",
        time_base=Fraction(1, 25),
        rate=Fraction(25),
        frames=None,
        aspect=None,
        colors=colors or ColorTags(),
        siting=SITINGS[siting],
        display_matrix=None,
    )


def flat(layout: str, *values: int) -> Frame:
    form = LAYOUTS[layout]
    dtype = np.uint8 if form.bit_depth == 8 else np.uint16
    planes = []
    for index, value in enumerate(values):
        is_chroma = index in (1, 2) and form.subsampling != GREY and len(values) > 2
        width, height = form.chroma_size(*SIZE) if is_chroma else SIZE
        planes.append(np.full((height, width), value, dtype))
    return Frame(tuple(planes), form, 7, 2, Fraction(1, 25))


def converted(source: VideoInfo, target: VideoInfo, *values: int) -> list[int]:
    frame = Converter(source, target).convert(flat(source.layout.planar_name, *values))
    assert (frame.pts, frame.duration, frame.layout) == (7, 2, target.layout)
    return [int(plane[3, 3]) for plane in frame.planes]


@pytest.mark.parametrize(
    ("matrix", "expected"), [(1, [63, 102, 240]), (6, [81, 90, 240]), (9, [74, 97, 240])]
)
@pytest.mark.parametrize("wanted", ["yuv444p", "yuv420p"])
def test_red_becomes_what_the_matrix_says(matrix: int, expected: list[int], wanted: str) -> None:
    target = info(wanted, ColorTags(matrix=matrix, sample_range=1))
    assert converted(info("gbrp", ColorTags(0, 1, 2, 2)), target, 255, 0, 0) == expected


@pytest.mark.parametrize(("matrix", "expected"), [(1, [63, 102, 240]), (6, [81, 90, 240])])
def test_yuv_becomes_the_rgb_that_it_stands_for(matrix: int, expected: list[int]) -> None:
    source = info("yuv444p", ColorTags(matrix=matrix, sample_range=1))
    red, green, blue = converted(source, info("gbrp", ColorTags(0, 2, 2, 2)), *expected)
    assert (red >= 253, green <= 2, blue <= 2) == (True, True, True)


@pytest.mark.parametrize("sample_range", [0, 1, 2])
@pytest.mark.parametrize(
    ("before", "after", "values", "expected"),
    [
        ("yuv420p10le", "yuv420p", (400, 200, 800), [100, 50, 200]),
        ("yuv420p", "yuv420p10le", (100, 50, 200), [400, 200, 800]),
        ("yuv420p", "yuv444p", (100, 50, 200), [100, 50, 200]),
        ("gray", "yuv420p", (17,), [17, 128, 128]),
        ("gray10le", "yuv420p10le", (900,), [900, 512, 512]),
        ("yuv420p", "gray", (250, 10, 20), [250]),
        ("yuva444p10le", "yuva420p", (400, 200, 800, 600), [100, 50, 200, 150]),
        ("ya8", "yuva420p", (60, 200), [60, 128, 128, 200]),
    ],
)
def test_matrix_and_range_of_yuv_stay(
    before: str, after: str, values: tuple[int, ...], expected: list[int], sample_range: int
) -> None:
    colors = ColorTags(sample_range=sample_range)
    got = converted(info(before, colors), info(after, colors), *values)
    assert got == pytest.approx(expected, abs=3 if sample_range == 2 else 1)


@pytest.mark.parametrize(("siting", "shift"), [("left", 0.0), ("center", 0.5)])
def test_chroma_is_made_where_it_is_said_to_lie(siting: str, shift: float) -> None:
    frame = flat("yuv444p", 100, 100, 100)
    ramp = np.arange(16, dtype=np.uint8) * 8 + 40
    u = np.repeat(ramp[None, :], 8, axis=0)
    frame = replace(frame, planes=(frame.planes[0], u, frame.planes[2]))
    target = info("yuv420p", siting=siting)
    got = Converter(info("yuv444p"), target).convert(frame).planes[1]
    expected = (np.arange(2, 6) * 2 + shift) * 8 + 40
    np.testing.assert_allclose(got[2, 2:6], expected, atol=1)


def test_layout_follows_the_wish() -> None:
    bgra = LAYOUTS["bgra"]
    assert wanted_layout(bgra, "keep", "keep") == bgra
    assert wanted_layout(bgra, "keep", "drop").planar_name == "gbrp"
    assert wanted_layout(bgra, "yuv420p", "drop") == LAYOUTS["yuv420p"]
    assert wanted_layout(bgra, "yuva420p", "keep") == LAYOUTS["yuva420p"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("yuv420p", "yuv420p holds no alpha.*--alpha drop"),
        ("nv12", "'nv12' is not one to write"),
        ("yuvj420p", "'yuvj420p' is not one to write"),
        ("nonsense", "'nonsense' is not one to write"),
    ],
)
def test_format_that_cannot_be_written_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wanted_layout(LAYOUTS["bgra"], name, "keep")


def test_tags_follow_the_conversion() -> None:
    yuv, rgb = LAYOUTS["yuv420p"], LAYOUTS["gbrp"]
    screen = ColorTags(0, 1, 13, 2)
    assert converted_tags(screen, rgb, yuv, None) == ColorTags(1, 1, 13, 1)
    assert converted_tags(screen, rgb, yuv, 6) == ColorTags(6, 1, 13, 1)
    assert converted_tags(ColorTags(9, 9, 16, 1), yuv, rgb, None) == ColorTags(0, 9, 16, 2)
    assert converted_tags(screen, rgb, rgb, 6) == screen
    assert Siting() == SITINGS["left"]
