from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from runtime.video.frame import LAYOUTS, Frame, av_from_frame, frame_from_av, layout_of

PLANAR = [name for name in LAYOUTS if name[:3] in ("yuv", "gra") and name != "yuyv422"]


def filled(name: str, width: int, height: int) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, name)
    rng = np.random.default_rng(3)
    for plane in frame.planes:
        samples = np.frombuffer(plane, np.uint8)
        samples[:] = rng.integers(0, 256, samples.size)
    if LAYOUTS[name].bit_depth > 8 and LAYOUTS[name].shift == 0:
        for plane in frame.planes:
            np.frombuffer(plane, np.uint16)[:] &= 2 ** LAYOUTS[name].bit_depth - 1
    frame.pts, frame.duration, frame.time_base = 7, 2, Fraction(1, 25)
    return frame


@pytest.mark.parametrize("name", PLANAR)
@pytest.mark.parametrize("size", [(16, 8), (17, 9), (1, 1)])
def test_planar_frame_survives_the_way_there_and_back(name: str, size: tuple[int, int]) -> None:
    source = frame_from_av(filled(name, *size), 7, Fraction(1, 25))
    target = av_from_frame(source)
    again = frame_from_av(target, target.pts, Fraction(1, 25))
    assert (target.width, target.height, target.duration) == (*size, 2)
    for got, expected in zip(again.planes, source.planes, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("name", "planar"),
    [
        ("nv12", "yuv420p"),
        ("nv21", "yuv420p"),
        ("nv16", "yuv422p"),
        ("nv24", "yuv444p"),
        ("yuyv422", "yuv422p"),
        ("uyvy422", "yuv422p"),
    ],
)
def test_interleaved_frame_equals_its_planar_conversion(name: str, planar: str) -> None:
    source = filled(name, 16, 8)
    expected = frame_from_av(source.reformat(format=planar), 0, Fraction(1))
    got = frame_from_av(source, 0, Fraction(1))
    assert got.layout.planar_name == planar
    for plane, wanted in zip(got.planes, expected.planes, strict=True):
        np.testing.assert_array_equal(plane, wanted)


@pytest.mark.parametrize(("name", "bits"), [("p010le", 10), ("p210le", 10), ("p012le", 12)])
def test_samples_at_the_top_of_a_word_are_brought_down(name: str, bits: int) -> None:
    source = filled(name, 16, 8)
    luma, chroma = (
        np.frombuffer(plane, "<u2").reshape(plane.height, -1) for plane in source.planes
    )
    got = frame_from_av(source, 0, Fraction(1))
    np.testing.assert_array_equal(got.planes[0], luma[:, :16] >> (16 - bits))
    np.testing.assert_array_equal(got.planes[1], chroma[:, 0:16:2] >> (16 - bits))
    np.testing.assert_array_equal(got.planes[2], chroma[:, 1:16:2] >> (16 - bits))


def test_planes_do_not_share_memory_with_the_decoder() -> None:
    source = filled("yuv420p", 16, 8)
    frame = frame_from_av(source, 0, Fraction(1))
    before = frame.planes[0].copy()
    np.frombuffer(source.planes[0], np.uint8)[:] = 0
    np.testing.assert_array_equal(frame.planes[0], before)


@pytest.mark.parametrize("name", ["rgb24", "gbrp", "yuva420p", "pal8"])
def test_other_formats_are_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"pixel format {name} is not supported"):
        layout_of(name)


def test_time_in_seconds_is_pts_times_time_base() -> None:
    frame = Frame((), LAYOUTS["gray"], pts=90, duration=1, time_base=Fraction(1, 30))
    assert frame.time_s == 3
