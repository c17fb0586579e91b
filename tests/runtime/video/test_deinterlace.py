from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_support import Clip, NearestUpscaler, make_clip, read_back

from runtime.video import EncodeOptions, VideoOptions, VideoReader, upscale_video
from runtime.video.deinterlace import Deinterlace, Deinterlacer

WIDTH, HEIGHT, COUNT = 64, 48, 6


def interlaced(path: Path, flags: str = "+ildct+ilme", pixel_format: str = "yuv420p") -> Path:
    """A bright bar that moves from field to field, so that frames show combs."""
    with av.open(str(path), "w") as container:
        options = {"flags": flags, "bf": "0", "qmin": "1", "qmax": "2"}
        stream = container.add_stream("mpeg2video", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        for number in range(COUNT):
            frame = av.VideoFrame(WIDTH, HEIGHT, pixel_format)
            for plane in frame.planes:
                np.frombuffer(plane, np.uint8)[:] = 128
            rows = np.frombuffer(frame.planes[0], np.uint8).reshape(HEIGHT, -1)
            for field in (0, 1):
                x = 8 * number + 4 * field
                rows[field::2, x : x + 8] = 230
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def combs(luma: np.ndarray) -> float:
    """How much neighbouring rows differ."""
    return float(np.abs(np.diff(luma.astype(float), axis=0)).mean())


@pytest.mark.parametrize("mode", ["flagged", "all"])
def test_each_frame_stays_one_frame_at_its_time(tmp_path: Path, mode: Deinterlace) -> None:
    path = interlaced(tmp_path / "a.mkv")
    with VideoReader(path, deinterlace=mode) as reader:
        frames = list(reader)
        assert reader.notes == [f"{COUNT} interlaced frames were deinterlaced"]
    with av.open(str(path)) as container:
        before = list(container.decode(video=0))
    assert all(frame.interlaced_frame for frame in before)
    assert [frame.pts for frame in frames] == [frame.pts for frame in before]
    assert [frame.duration for frame in frames] == [frame.duration for frame in before]
    raw = np.frombuffer(before[3].planes[0], np.uint8).reshape(HEIGHT, -1)[:, :WIDTH]
    assert combs(frames[3].planes[0]) < 0.5 * combs(raw)


def test_frames_that_are_not_flagged_are_left_alone(tmp_path: Path) -> None:
    path = interlaced(tmp_path / "a.mkv", flags="0")
    with VideoReader(path) as plain, VideoReader(path, deinterlace="flagged") as reader:
        assert reader.notes == []
        for frame, wanted in zip(reader, plain, strict=True):
            np.testing.assert_array_equal(frame.planes[0], wanted.planes[0])
    with VideoReader(path) as plain, VideoReader(path, deinterlace="all") as reader:
        pairs = list(zip(plain, reader, strict=True))
    assert any((before.planes[0] != after.planes[0]).any() for before, after in pairs)


def test_output_is_progressive(tmp_path: Path) -> None:
    source, target = interlaced(tmp_path / "a.mkv"), tmp_path / "b.mp4"
    options = VideoOptions(deinterlace="flagged", encode=EncodeOptions(preset="ultrafast"))
    result = upscale_video(source, target, NearestUpscaler(), options)
    after = read_back(target)
    assert result.frames == COUNT
    assert not any(frame.interlaced_frame for frame in after.frames)
    assert after.times == read_back(source).times
    assert result.notes == ("frames flagged as interlaced were deinterlaced by bwdif",)


@pytest.mark.skipif(
    not hasattr(av.video.codeccontext.VideoCodecContext, "field_order"), reason="needs PyAV 18.1"
)
def test_stream_that_is_declared_interlaced_is_refused(tmp_path: Path) -> None:
    clip = Clip(codec="ffv1", options={"field_order": "tt", "slices": "1", "level": "3"})
    path = make_clip(tmp_path / "a.mkv", clip)
    assert not any(frame.interlaced_frame for frame in read_back(path).frames)
    with pytest.raises(ValueError, match=r"is interlaced.*pass --deinterlace"):
        VideoReader(path)
    with VideoReader(path, deinterlace="flagged") as reader:
        assert len(list(reader)) == 12


def test_semi_planar_frames_become_planar_first() -> None:
    deinterlacer = Deinterlacer("all")
    frames = []
    for number in range(3):
        frame = av.VideoFrame(32, 16, "p010le")
        for plane in frame.planes:
            np.frombuffer(plane, "<u2")[:] = (300 + number) << 6
        frame.pts, frame.time_base = 10 * number, Fraction(1, 1000)
        frames += deinterlacer.push(frame)
    frames += deinterlacer.flush()
    assert [(f.pts, f.format.name) for f in frames] == [(n, "yuv420p10le") for n in (0, 10, 20)]
    luma = [int(np.frombuffer(frame.planes[0], "<u2")[0]) for frame in frames]
    assert luma == [300, 301, 302]


def test_off_hands_frames_through() -> None:
    deinterlacer, frame = Deinterlacer("off"), av.VideoFrame(32, 16, "yuv420p")
    assert deinterlacer.push(frame) == [frame]
    assert (deinterlacer.flush(), deinterlacer.count) == ([], 0)
