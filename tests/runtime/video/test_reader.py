from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_support import INTRA, Clip, damaged, make_clip, read_back, remux_faststart

from runtime.video import VideoReader, probe
from runtime.video.color import ColorTags, Siting


def cut(path: Path, part: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


def test_probe_tells_size_rate_tags_and_orientation(tmp_path: Path) -> None:
    clip = Clip(aspect=Fraction(4, 3), colors=(6, 5, 6, 1), rotation=90)
    info = probe(make_clip(tmp_path / "a.mp4", clip))
    assert (info.size, info.codec, info.frames) == ((32, 24), "h264", 12)
    assert (info.rate, info.aspect, info.time_base) == (25, Fraction(4, 3), Fraction(1, 12800))
    assert info.colors == ColorTags(6, 5, 6, 1)
    assert info.siting == Siting(is_left=True, is_top=False)
    assert info.display_matrix is not None
    assert info.display_matrix[0] == 0


def test_frames_have_the_planes_and_times_of_the_decoder(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", Clip(pixel_format="yuv422p10le"))
    expected = read_back(path)
    with VideoReader(path) as reader:
        frames = list(reader)
    assert [frame.pts * frame.time_base for frame in frames] == expected.times
    for frame, wanted in zip(frames, expected.frames, strict=True):
        rows = np.frombuffer(wanted.planes[0], np.uint16).reshape(24, -1)
        np.testing.assert_array_equal(frame.planes[0], rows[:, :32])


def test_frames_late_in_the_decoder_are_not_lost_behind_other_streams(tmp_path: Path) -> None:
    clip = Clip(has_audio=True, options={"preset": "medium", "bf": "3"}, pts=tuple(range(40)))
    path = make_clip(tmp_path / "a.mp4", clip)
    with VideoReader(path) as reader:
        assert len(list(reader)) == 40


def test_stream_without_times_is_counted_at_its_rate(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.h264", Clip())
    with VideoReader(path) as reader:
        times = [frame.pts * frame.time_base for frame in reader]
        assert reader.notes == ["the file holds no frame times; its constant frame rate is used"]
    assert times == [Fraction(n, 25) for n in range(12)]


def test_avi_with_reordered_frames_plays_in_order(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.avi", Clip())
    with VideoReader(path) as reader:
        pts = [frame.pts for frame in reader]
    assert np.diff(pts).tolist() == [1] * 11


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.mp4", b"", "is an empty file"),
        ("a.mp4", b"hello world" * 100, "is not a video that can be read"),
        ("a.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://localhost:9/x.ts\n", "a.mp4 "),
    ],
)
def test_file_that_is_no_video_is_one_clear_error(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        VideoReader(path)


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        VideoReader(tmp_path / "a.mp4")


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        stream.codec_context.layout = "mono"
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ValueError, match="holds no video stream"):
        VideoReader(path)


def test_interlaced_video_is_refused_with_advice(tmp_path: Path) -> None:
    options = {"flags": "+ildct+ilme", "bf": "0"}
    path = make_clip(
        tmp_path / "a.mkv", Clip(codec="mpeg2video", options=options, width=64, height=64)
    )
    with pytest.raises(ValueError, match=r"is interlaced.*pass --deinterlace"):
        VideoReader(path)


def test_unknown_pixel_format_is_refused_by_name(tmp_path: Path) -> None:
    clip = Clip(codec="rawvideo", pixel_format="bayer_rggb8", options={})
    path = make_clip(tmp_path / "a.nut", clip)
    with pytest.raises(ValueError, match="pixel format bayer_rggb8 is not supported"):
        VideoReader(path)


def test_damaged_frame_stops_with_its_number_and_time(tmp_path: Path) -> None:
    path = damaged(make_clip(tmp_path / "a.mp4", INTRA), 5)
    with (
        VideoReader(path) as reader,
        pytest.raises(ValueError, match=r"frame 6 is damaged: Invalid data"),
    ):
        list(reader)


@pytest.mark.parametrize("number", range(12))
def test_damaged_frame_is_left_out_when_asked(tmp_path: Path, number: int) -> None:
    path = damaged(make_clip(tmp_path / "a.mp4", INTRA), number)
    with VideoReader(path, on_error="skip") as reader:
        times = [frame.pts * frame.time_base for frame in reader]
    assert reader.damaged == 1
    assert times == [Fraction(n, 25) for n in range(12) if n != number]


@pytest.mark.parametrize("number", [9, 11])
def test_damage_in_the_last_frames_is_no_silent_loss(tmp_path: Path, number: int) -> None:
    path = damaged(make_clip(tmp_path / "a.mp4", INTRA), number)
    with VideoReader(path) as reader, pytest.raises(ValueError, match="is damaged"):
        list(reader)


def test_truncated_matroska_is_noticed_at_its_end(tmp_path: Path) -> None:
    clip = Clip(width=64, height=48, pts=tuple(range(100)), options={"preset": "ultrafast"})
    path = cut(make_clip(tmp_path / "a.mkv", clip), 0.4)
    with VideoReader(path) as reader, pytest.raises(ValueError, match="is truncated after frame"):
        list(reader)


def test_truncated_file_is_kept_as_far_as_it_goes_when_asked(tmp_path: Path) -> None:
    clip = Clip(width=64, height=48, pts=tuple(range(100)), options={"preset": "ultrafast"})
    path = cut(make_clip(tmp_path / "a.mkv", clip), 0.4)
    with VideoReader(path, on_error="skip") as reader:
        count = len(list(reader))
    assert 10 < count < 90
    assert "truncated" in reader.notes[0]


def test_mp4_whose_samples_are_missing_is_truncated(tmp_path: Path) -> None:
    clip = Clip(width=64, height=48, pts=tuple(range(50)), options={"preset": "ultrafast"})
    path = remux_faststart(make_clip(tmp_path / "a.mp4", clip), tmp_path / "b.mp4")
    cut(path, 0.6)
    with VideoReader(path) as reader, pytest.raises(ValueError, match=r"frame \d+|truncated"):
        list(reader)
