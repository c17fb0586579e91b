from __future__ import annotations

import io
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_support import Clip, make_clip, read_back

from runtime.streams.raw import RawFormat, raw_info, raw_sink, raw_source
from runtime.streams.y4m import Y4mSink, y4m_sink, y4m_source
from runtime.video.color import RANGE_FULL, RANGE_LIMITED, ColorTags, Siting
from runtime.video.frame import Frame, frame_from_av, layout_of

HEADER = b"YUV4MPEG2 W4 H2 F30000:1001 Ip A64:45 C420jpeg XCOLORRANGE=FULL\n"
PICTURE = b"FRAME\n" + bytes(range(12))
FORMATS = (
    *("yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv422p10le", "yuv444p10le"),
    *("yuv420p12le", "yuv422p12le", "yuv444p12le", "gray10le", "gray12le"),
)


def frames_of(path: Path) -> list[Frame]:
    with y4m_source(path) as source:
        return list(source)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def assert_same(frame: Frame, expected: Frame) -> None:
    assert (frame.pts, frame.layout) == (expected.pts, expected.layout)
    for plane, expected_plane in zip(frame.planes, expected.planes, strict=True):
        np.testing.assert_array_equal(plane, expected_plane)


def noise(pixel_format: str, width: int, height: int, pts: int = 0) -> Frame:
    layout = layout_of(pixel_format)
    generator = np.random.default_rng(pts)
    dtype = np.uint8 if layout.bit_depth == 8 else np.uint16
    sizes = [(width, height)]
    if layout.subsampling[0]:
        sizes += [layout.chroma_size(width, height)] * 2
    planes = tuple(
        generator.integers(0, 2**layout.bit_depth, (h, w)).astype(dtype) for w, h in sizes
    )
    return Frame(planes, layout, pts, 1, Fraction(1, 25))


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_written_video_is_what_ffmpeg_reads_and_what_we_read(
    tmp_path: Path, pixel_format: str
) -> None:
    path = tmp_path / "a.y4m"
    frames = [noise(pixel_format, 15, 9, pts) for pts in range(3)]
    info = raw_info(15, 9, layout_of(pixel_format), Fraction(25))
    with y4m_sink(path, info) as sink:
        for frame in frames:
            sink.write(frame)
    read = read_back(path)
    assert read.stream["format"] == pixel_format
    assert read.times == [Fraction(n, 25) for n in range(3)]
    for frame, ours, theirs in zip(frames, frames_of(path), read.frames, strict=True):
        assert ours.pts == frame.pts
        assert_same(ours, frame)
        assert_same(frame_from_av(theirs, frame.pts, frame.time_base), frame)


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_video_of_ffmpegs_muxer_is_read_exactly(tmp_path: Path, pixel_format: str) -> None:
    path = tmp_path / "a.y4m"
    codec = "wrapped_avframe" if "wrapped_avframe" in av.codecs_available else "rawvideo"
    with av.open(str(path), "w", format="yuv4mpegpipe", options={"strict": "-1"}) as container:
        stream = container.add_stream(codec, rate=25, options={"strict": "-1"})
        stream.width, stream.height, stream.pix_fmt = 16, 8, pixel_format
        frame = av.VideoFrame(16, 8, pixel_format)
        for number, plane in enumerate(frame.planes):
            np.frombuffer(plane, np.uint8)[:] = number + 1
        for pts in range(2):
            frame.pts = pts
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames = frames_of(path)
    assert len(frames) == 2
    depth = frames[0].layout.bit_depth
    for number, plane in enumerate(frames[1].planes):
        assert (plane == (number + 1) * (1 if depth == 8 else 257)).all()


def test_header_says_aspect_rate_range_and_siting(tmp_path: Path) -> None:
    with y4m_source(written(tmp_path / "a.y4m", HEADER + PICTURE)) as source:
        info = source.info
        (frame,) = source
    assert (info.size, info.rate, info.aspect) == (
        (4, 2),
        Fraction(30000, 1001),
        Fraction(64, 45),
    )
    assert info.time_base == Fraction(1001, 30000)
    assert info.colors == ColorTags(sample_range=RANGE_FULL)
    assert info.siting == Siting(is_left=False)
    assert frame.planes[0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert (frame.planes[1].tolist(), frame.planes[2].tolist()) == ([[8, 9]], [[10, 11]])


@pytest.mark.parametrize(
    ("colorspace", "siting"),
    [
        (b"", Siting(is_left=False)),
        (b" C420", Siting(is_left=False)),
        (b" C420mpeg2", Siting()),
        (b" C420paldv", Siting(is_left=True, is_top=True)),
    ],
)
def test_chroma_lies_where_the_colour_space_says(
    tmp_path: Path, colorspace: bytes, siting: Siting
) -> None:
    path = written(tmp_path / "a.y4m", b"YUV4MPEG2 W4 H2 F25:1" + colorspace + b"\n" + PICTURE)
    with y4m_source(path) as source:
        assert source.info.siting == siting
        assert source.info.colors.sample_range == 0
        assert source.info.aspect is None


def test_header_is_written_as_it_was_read(tmp_path: Path) -> None:
    with y4m_source(written(tmp_path / "a.y4m", HEADER + PICTURE)) as source:
        info, frames = source.info, list(source)
    with y4m_sink(tmp_path / "b.y4m", info) as sink:
        for frame in frames:
            sink.write(frame)
    assert (tmp_path / "b.y4m").read_bytes() == HEADER + PICTURE
    assert sink.notes == []


def test_frame_line_may_have_parameters(tmp_path: Path) -> None:
    data = HEADER + PICTURE.replace(b"FRAME", b"FRAME Ip XNOTE=1") + PICTURE
    assert len(frames_of(written(tmp_path / "a.y4m", data))) == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty; YUV4MPEG2 is needed, or --raw-input"),
        (b"\x00\x00\x00\x18ftypmp42", "is not YUV4MPEG2; make it with"),
        (b"YUV4MPEG2 W4 H2", "is not YUV4MPEG2"),
        (b"YUV4MPEG2 W4 H2 F25:1 It C420\n", "is interlaced"),
        (b"YUV4MPEG2 W4 H2 F25:1 Im C420\n", "is interlaced"),
        (b"YUV4MPEG2 W4 F25:1\n", "has a side H;"),
        (b"YUV4MPEG2 W4 H99999 F25:1\n", "has a side H99999;"),
        (b"YUV4MPEG2 W4 H2 F25\n", "has a frame rate of '25'"),
        (b"YUV4MPEG2 W4 H2 F99999999999:1\n", "has a frame rate of"),
        (b"YUV4MPEG2 W4 H2 F90000:1\n", "absurd frame rate of 90000"),
        (b"YUV4MPEG2 W4 H2 A3000000000:1\n", "aspect ratio of 3000000000:1, which is absurd"),
        (b"YUV4MPEG2 W4 H2 C444alpha\n", "pixel format yuv444alphap is not supported"),
        (HEADER + PICTURE[:-1], "is truncated: frame 1 has 11 of 12 bytes"),
        (HEADER + PICTURE + b"FRA", "is truncated: frame 2 has no samples"),
        (HEADER + PICTURE + b"\n" + PICTURE, "is damaged: frame 2 does not begin as one"),
    ],
)
def test_what_is_no_whole_y4m_is_one_clear_error(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        frames_of(written(tmp_path / "a.y4m", data))
    assert "\n" not in str(error.value)


def test_notes_say_what_y4m_cannot_hold() -> None:
    info = raw_info(1280, 720, layout_of("yuv420p10le"), Fraction(25))
    info = replace(
        info, colors=ColorTags(matrix=6, sample_range=RANGE_LIMITED), siting=Siting(is_left=False)
    )
    file = io.BytesIO()
    sink = Y4mSink(file, info)
    assert file.getvalue().endswith(b" C420p10 XCOLORRANGE=LIMITED\n")
    assert len(sink.notes) == 2
    assert "names no colour matrix; tell the reader that it is BT.601" in sink.notes[0]
    assert "chroma lies center" in sink.notes[1]


def test_note_says_when_frame_times_are_lost() -> None:
    info = raw_info(4, 2, layout_of("gray"), Fraction(25))
    for stamps, notes in (((5, 6, 7, 8), 0), ((0, 1, 5, 6, 7), 1)):
        sink = Y4mSink(io.BytesIO(), info)
        for pts in stamps:
            sink.write(noise("gray", 4, 2, pts))
        assert len(sink.notes) == notes
    assert "frame times differ from a constant 25.000 fps" in sink.notes[0]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "yuyv422", "uyvy422", "yuv444p10le"])
def test_raw_video_is_read_as_ffmpeg_lays_it_out(tmp_path: Path, pixel_format: str) -> None:
    clip = Clip(width=16, pixel_format=pixel_format, codec="rawvideo", options={}, pts=(0, 1))
    read = read_back(make_clip(tmp_path / "a.nut", clip))
    with av.open(str(tmp_path / "a.nut")) as container:
        data = b"".join(bytes(packet) for packet in container.demux())
    path = written(tmp_path / "a.yuv", data)
    raw = RawFormat.parse(f"16x24:{pixel_format}:50")
    with raw_source(path, raw) as source:
        frames = list(source)
        info = source.info
    assert (info.rate, len(frames)) == (Fraction(50), 2)
    assert_same(frames[1], frame_from_av(read.frames[1], 1, info.time_base))
    with raw_sink(tmp_path / "b.yuv", info) as sink:
        for frame in frames:
            sink.write(frame)
    with raw_source(
        tmp_path / "b.yuv", RawFormat.parse(f"16x24:{info.layout.planar_name}")
    ) as again:
        for before, after in zip(frames, again, strict=True):
            assert_same(after, replace(before, layout=after.layout))


def test_raw_p010_keeps_its_ten_bits(tmp_path: Path) -> None:
    words = np.arange(24, dtype="<u2") * 40
    path = written(tmp_path / "a.raw", (words << 6).astype("<u2").tobytes())
    with raw_source(path, RawFormat.parse("4x4:p010le:25")) as source:
        (frame,) = source
    assert frame.planes[0].tolist() == words[:16].reshape(4, 4).tolist()
    assert frame.planes[1].tolist() == words[16::2].reshape(2, 2).tolist()
    assert frame.planes[2].tolist() == words[17::2].reshape(2, 2).tolist()


def test_truncated_raw_video_is_one_clear_error(tmp_path: Path) -> None:
    path = written(tmp_path / "a.yuv", bytes(30))
    with (
        raw_source(path, RawFormat.parse("4x2:yuv420p:25")) as source,
        pytest.raises(ValueError, match="frame 3 has 6 of 12 bytes"),
    ):
        list(source)


@pytest.mark.parametrize(
    "text",
    ["", "4x2", "4x2:", "4:yuv420p", "0x2:yuv420p", "4x2:rgb565:25", "4x2:gray:0", "4x2:gray:x"],
)
def test_wrong_description_of_raw_video_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|is no |not supported"):
        RawFormat.parse(text)
