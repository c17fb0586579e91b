from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from runtime.video.frame import Frame, av_from_frame, frame_from_av
from runtime.video.pixels import LAYOUTS, UNPACKED, layout_of


def filled(name: str, width: int, height: int) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, name)
    layout = layout_of(name)
    rng = np.random.default_rng(3)
    for plane in frame.planes:
        samples = np.frombuffer(plane, np.uint8)
        samples[:] = rng.integers(0, 256, samples.size)
        if layout.bit_depth > 8 and name not in UNPACKED:
            words = samples.view(">u2" if layout.is_big_endian else "<u2")
            words &= (2**layout.bit_depth - 1) << layout.shift
    frame.pts, frame.duration, frame.time_base = 7, 2, Fraction(1, 25)
    return frame


def test_every_format_is_one_of_ffmpegs() -> None:
    assert not {*LAYOUTS, *UNPACKED, *UNPACKED.values()} - av.video.format.names
    assert {layout.planar_name for layout in LAYOUTS.values()} <= LAYOUTS.keys()


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_agrees_with_what_ffmpeg_says_of_the_format(name: str) -> None:
    layout, form = LAYOUTS[name], av.VideoFormat(name, 64, 32)
    components = form.components
    assert {part.bits for part in components} == {layout.bit_depth}
    assert [part.plane for part in components] == [part.buffer for part in layout.components]
    assert any(part.is_alpha for part in components) == layout.has_alpha
    assert form.is_rgb == layout.is_rgb
    if form.is_planar and layout.is_subsampled:
        assert layout.chroma_size(64, 32) == (components[1].width, components[1].height)


@pytest.mark.parametrize("size", [(16, 8), (17, 9), (1, 1)])
@pytest.mark.parametrize("name", LAYOUTS)
def test_frame_survives_the_way_there_and_back(name: str, size: tuple[int, int]) -> None:
    source = frame_from_av(filled(name, *size), 7, Fraction(1, 25))
    for target in (av_from_frame(source), av_from_frame(source, name)):
        again = frame_from_av(target, target.pts, Fraction(1, 25))
        assert (target.width, target.height, target.duration) == (*size, 2)
        for got, expected in zip(again.planes, source.planes, strict=True):
            np.testing.assert_array_equal(got, expected)


# What swscale takes apart without loss serves as the reference for where samples lie.
@pytest.mark.parametrize(
    "names",
    [
        ("nv12", "nv21", "nv16", "nv24", "nv42", "yuyv422", "yvyu422", "uyvy422"),
        ("vuya", "vuyx", "ayuv", "uyva", "vyu444", "y212le", "xv36le", "xv48le", "ayuv64le"),
        ("p010le", "p210le", "p410le", "p012le", "p416le", "yuv420p10be", "gray16be"),
        ("rgb24", "bgr24", "rgba", "bgra", "argb", "abgr", "rgb0", "bgr0", "0rgb", "0bgr"),
        ("rgb48le", "rgb48be", "bgr48le", "rgba64le", "bgra64be", "gbrp12be", "yuva444p10be"),
    ],
)
def test_frames_equal_their_planar_conversion(names: tuple[str, ...]) -> None:
    for name in names:
        source = filled(name, 16, 8)
        # Threads of swscale lose chroma rows of P010.
        converted = source.reformat(format=LAYOUTS[name].planar_name, threads=1)
        expected = frame_from_av(converted, 0, Fraction(1)).planes
        got = frame_from_av(source, 0, Fraction(1)).planes
        for plane, wanted in zip(got, expected, strict=True):
            np.testing.assert_array_equal(plane, wanted, err_msg=name)


@pytest.mark.parametrize(
    ("name", "word", "used"),
    [
        ("rgb8", "u1", 0xFF),
        ("bgr8", "u1", 0xFF),
        ("rgb444le", "<u2", 0x0FFF),
        ("bgr444le", "<u2", 0x0FFF),
        ("rgb555le", "<u2", 0x7FFF),
        ("bgr555le", "<u2", 0x7FFF),
        ("rgb565le", "<u2", 0xFFFF),
        ("bgr565le", "<u2", 0xFFFF),
        ("x2rgb10le", "<u4", 0x3FFFFFFF),
        ("x2bgr10le", "<u4", 0x3FFFFFFF),
        ("xv30le", "<u4", 0x3FFFFFFF),
        ("v30xle", "<u4", 0xFFFFFFFC),
    ],
)
def test_unpacking_keeps_all_colours_apart(name: str, word: str, used: int) -> None:
    source = filled(name, 256, 64)
    stored = np.frombuffer(source.planes[0], word).reshape(64, -1)[:, :256] & used
    frame = frame_from_av(source, 0, Fraction(1))
    colours = np.dstack([plane.astype(np.uint32) for plane in frame.planes]).reshape(-1, 3)
    pairs = np.column_stack([stored.reshape(-1), colours])
    counts = [len(np.unique(part, axis=0)) for part in (stored.reshape(-1), colours, pairs)]
    assert counts[0] > 10
    assert counts == [counts[0]] * 3


def test_ten_bits_in_a_word_are_taken_as_they_are() -> None:
    for name, shifts in (("x2rgb10le", (20, 10, 0)), ("xv30le", (10, 0, 20))):
        source = filled(name, 16, 8)
        words = np.frombuffer(source.planes[0], "<u4").reshape(8, -1)[:, :16]
        for plane, shift in zip(frame_from_av(source, 0, Fraction(1)).planes, shifts, strict=True):
            np.testing.assert_array_equal(plane, words >> shift & 1023)


def test_palette_is_looked_up_with_its_alpha() -> None:
    source = filled("pal8", 16, 8)
    index = np.frombuffer(source.planes[0], np.uint8).reshape(8, -1)[:, :16]
    palette = np.frombuffer(source.planes[1], np.uint8)[:1024].reshape(256, 4)
    frame = frame_from_av(source, 0, Fraction(1))
    np.testing.assert_array_equal(np.dstack(frame.planes), palette[index][:, :, (2, 1, 0, 3)])


@pytest.mark.parametrize(("name", "inverted"), [("monob", 0), ("monow", 255)])
def test_single_bits_become_black_and_white(name: str, inverted: int) -> None:
    source = filled(name, 16, 8)
    bits = np.unpackbits(np.frombuffer(source.planes[0], np.uint8).reshape(8, -1), axis=1)[:, :16]
    luma = frame_from_av(source, 0, Fraction(1)).planes[0]
    np.testing.assert_array_equal(luma ^ inverted, bits * 255)


def test_packed_quarter_chroma_is_taken_apart() -> None:
    source = filled("uyyvyy411", 16, 8)
    groups = np.frombuffer(source.planes[0], np.uint8).reshape(8, -1)[:, :24].reshape(8, 4, 6)
    luma, u, v = frame_from_av(source, 0, Fraction(1)).planes
    np.testing.assert_array_equal(luma, groups[:, :, (1, 2, 4, 5)].reshape(8, 16))
    np.testing.assert_array_equal(u, groups[:, :, 0])
    np.testing.assert_array_equal(v, groups[:, :, 3])


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


@pytest.mark.parametrize("name", ["yuv420p", "rgb24", "p010le", "gray16be"])
def test_planes_do_not_share_memory_with_the_decoder(name: str) -> None:
    source = filled(name, 16, 8)
    frame = frame_from_av(source, 0, Fraction(1))
    before = frame.planes[0].copy()
    np.frombuffer(source.planes[0], np.uint8)[:] = 0
    np.testing.assert_array_equal(frame.planes[0], before)


@pytest.mark.parametrize("name", ["bayer_rggb8", "gbrpf32le", "xyz12le"])
def test_other_formats_are_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"pixel format {name} is not supported"):
        layout_of(name)


def test_time_in_seconds_is_pts_times_time_base() -> None:
    frame = Frame((), LAYOUTS["gray"], pts=90, duration=1, time_base=Fraction(1, 30))
    assert frame.time_s == 3
