from __future__ import annotations

import sqlite3
from bisect import bisect_right
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from video_support import INTRA, Clip, NearestUpscaler, damaged, make_clip, read_back

from runtime.video import EncodeOptions, VideoOptions, upscale_video
from runtime.video.join import decoding_times
from runtime.video.journal import Journal, journal_path
from runtime.video.reader import VideoReader
from runtime.video.segments import EncodedPacket, SegmentEnd, SegmentReader, plan_segments
from runtime.video.timeline import read_timeline

FAST = EncodeOptions(preset="ultrafast")
OPTIONS = VideoOptions(encode=FAST, segment_frames=10)
JOB = {"input": "this"}
END = SegmentEnd(1, 0, b"head")


class CountingUpscaler(NearestUpscaler):
    """Counts its frames; may fail at one of them."""

    def __init__(self, fail_at: int = 0) -> None:
        super().__init__()
        self.count, self.fail_at = 0, fail_at

    def upscale_luma(self, plane: np.ndarray, *, bit_depth: int = 8) -> np.ndarray:
        self.count += 1
        if self.count == self.fail_at:
            raise RuntimeError("engine lost")
        return super().upscale_luma(plane, bit_depth=bit_depth)


def clip_of(codec: str = "libx264", **options: str) -> Clip:
    gaps = (1, 2, 1, 5, 1, 1, 3)
    pts = tuple(sum(gaps[i % 7] for i in range(n)) + 3 for n in range(47))
    # Of frames of 64x48 x264 makes other bytes now and then.
    settings = {"preset": "medium", "g": "12", **options}
    return Clip(width=96, height=64, codec=codec, options=settings, pts=pts)


def interrupted(source: Path, target: Path, fail_at: int, options: VideoOptions = OPTIONS) -> None:
    with pytest.raises(RuntimeError, match="engine lost"):
        upscale_video(source, target, CountingUpscaler(fail_at), options)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", "h264"), (".mkv", "hevc"), (".webm", "vp9"), (".mp4", "hevc"), (".mov", "h264")],
)
def test_resumed_run_gives_the_same_bytes_and_encodes_nothing_twice(
    tmp_path: Path, suffix: str, codec: str
) -> None:
    source = make_clip(tmp_path / "a.mp4", clip_of())
    options = VideoOptions(encode=EncodeOptions(codec=codec, preset="fast"), segment_frames=10)
    whole, target = tmp_path / f"whole{suffix}", tmp_path / f"b{suffix}"
    upscale_video(source, whole, NearestUpscaler(), options)
    interrupted(source, target, 34, options)
    assert not target.exists()
    upscaler = CountingUpscaler()
    result = upscale_video(source, target, upscaler, options, resume=True)
    assert (result.frames, result.resumed) == (47, 47 - upscaler.count)
    assert result.resumed in (20, 30)
    assert target.read_bytes() == whole.read_bytes()
    assert not journal_path(target).exists()


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_segments_begin_with_key_frames_at_fixed_frames(tmp_path: Path, codec: str) -> None:
    options = {"x265-params": "log-level=none:keyint=12"} if codec == "libx265" else {}
    source = make_clip(tmp_path / "a.mkv", clip_of(codec, **options))
    upscale_video(source, tmp_path / "b.mkv", NearestUpscaler(), OPTIONS)
    with av.open(str(tmp_path / "b.mkv")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.dts is not None]
    times = sorted(packet.pts for packet in packets)
    keys = {times.index(packet.pts) for packet in packets if packet.is_keyframe}
    assert keys >= {0, 10, 20, 30, 40}
    assert read_back(tmp_path / "b.mkv").times == read_back(source).times


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
@pytest.mark.parametrize("options", [{}, {"x264-params": "open-gop=1"}, {"intra-refresh": "1"}])
def test_any_segment_alone_has_the_frames_of_the_whole(
    tmp_path: Path, suffix: str, options: dict[str, str]
) -> None:
    path = make_clip(tmp_path / f"a{suffix}", clip_of(bf="3", **options))
    timeline = read_timeline(path)
    plan = plan_segments(timeline, 10)
    with VideoReader(path) as reader:
        whole = list(reader)
    found = []
    for segment in range(plan.count):
        with SegmentReader(path, timeline, plan) as reader:
            frames = list(reader.frames(range(segment, segment + 1)))
        assert all(number == segment for number, _ in frames)
        found.extend(frame for _, frame in frames)
    assert [frame.pts for frame in found] == [frame.pts for frame in whole]
    for frame, wanted in zip(found, whole, strict=True):
        np.testing.assert_array_equal(frame.planes[0], wanted.planes[0])


def test_late_segment_is_decoded_from_a_key_frame_near_it(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", Clip(options={"g": "10"}, pts=tuple(range(100))))
    timeline = read_timeline(path)
    first = timeline.pts[50]
    key = timeline.key_before(first)
    assert key is not None
    assert sum(key < other <= first for other in timeline.keys) == 1
    assert timeline.key_before(timeline.pts[0]) is None
    with VideoReader(path) as reader:
        assert reader.seek(key, first=first)
        assert [frame.pts for frame in reader] == list(timeline.pts[50:])


def test_stream_without_times_is_cut_by_number(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.h264", Clip(pts=tuple(range(30))))
    interrupted(path, tmp_path / "b.mkv", 25)
    result = upscale_video(path, tmp_path / "b.mkv", CountingUpscaler(), OPTIONS, resume=True)
    assert (result.frames, result.resumed > 0) == (30, True)
    assert len(read_back(tmp_path / "b.mkv").times) == 30


def test_damaged_frame_is_replaced_by_the_one_before(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", INTRA)
    with VideoReader(path) as reader:
        good = list(reader)
    for number in (0, 5, 11):
        broken = damaged(make_clip(tmp_path / "a.mp4", INTRA), number)
        timeline = read_timeline(broken)
        plan = plan_segments(timeline, 4)
        with SegmentReader(broken, timeline, plan, on_error="repeat") as reader:
            frames = [frame for _, frame in reader.frames(range(plan.count))]
            assert reader.damaged == 1
        assert [(frame.pts, frame.duration) for frame in frames] == [
            (frame.pts, frame.duration) for frame in good
        ]
        shown = good[number - 1 if number else 1].planes[0]
        np.testing.assert_array_equal(frames[number].planes[0], shown)


@pytest.mark.parametrize("number", [5, 11])
def test_damaged_frame_is_replaced_where_the_file_holds_no_times(
    tmp_path: Path, number: int
) -> None:
    path = make_clip(tmp_path / "a.h264", INTRA)
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    # The slice's type, behind its start code, becomes one that there is not.
    place = data.index(b"\x65", places[number])
    data[place + 1 : place + 9] = b"\xff" * 8
    path.write_bytes(data)
    timeline = read_timeline(path)
    assert timeline.pts is None
    plan = plan_segments(timeline, 4)
    with SegmentReader(path, timeline, plan, on_error="repeat") as reader:
        frames = [frame for _, frame in reader.frames(range(plan.count))]
        step = round(1 / (25 * frames[0].time_base))
        assert reader.damaged == 1
    assert [frame.pts for frame in frames] == [step * place for place in range(12)]
    shown = frames[number - 1].planes[0]
    np.testing.assert_array_equal(frames[number].planes[0], shown)


@pytest.mark.parametrize(("on_error", "count"), [("skip", 11), ("repeat", 12)])
def test_damage_is_counted_and_reported(tmp_path: Path, on_error: str, count: int) -> None:
    source = damaged(make_clip(tmp_path / "a.mp4", INTRA), 5)
    options = VideoOptions(encode=FAST, on_error=on_error, segment_frames=3)
    result = upscale_video(source, tmp_path / "b.mp4", NearestUpscaler(), options)
    assert (result.frames, result.damaged) == (count, 1)
    assert len(read_back(tmp_path / "b.mp4").times) == count


def test_segment_all_of_whose_frames_are_damaged_is_empty(tmp_path: Path) -> None:
    source = damaged(make_clip(tmp_path / "a.mp4", INTRA), 5)
    options = VideoOptions(encode=FAST, on_error="skip", segment_frames=1)
    result = upscale_video(source, tmp_path / "b.mp4", NearestUpscaler(), options)
    assert (result.frames, result.damaged) == (11, 1)


@given(st.integers(0, 4), st.integers(1, 40), st.randoms())
def test_decoding_times_grow_and_never_come_after_their_frame(
    depth: int, count: int, random: object
) -> None:
    shown = sorted(random.sample(range(1000), count))
    order: list[int] = []
    waiting = list(shown)
    while waiting:
        order.append(waiting.pop(random.randint(0, min(depth, len(waiting) - 1))))
    times = list(decoding_times(order))
    assert all(late > early for early, late in pairwise(times))
    assert all(dts <= pts for dts, pts in zip(times, order, strict=True))
    assert len(times) == count
    if order == shown:
        assert times == shown


def test_truncated_input_is_refused_before_any_work(tmp_path: Path) -> None:
    clip = Clip(width=64, height=48, pts=tuple(range(100)), options={"preset": "ultrafast"})
    source = make_clip(tmp_path / "a.mkv", clip)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    upscaler = CountingUpscaler()
    with pytest.raises(ValueError, match=r"is truncated: it ends at .*pass --on-error skip"):
        upscale_video(source, tmp_path / "b.mkv", upscaler)
    assert upscaler.count == 0


def test_journal_of_other_work_is_refused(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", clip_of())
    target = tmp_path / "b.mp4"
    interrupted(source, target, 34)
    other = VideoOptions(encode=EncodeOptions(crf=30, preset="ultrafast"), segment_frames=10)
    with pytest.raises(ValueError, match="cannot be gone on with: options was"):
        upscale_video(source, target, NearestUpscaler(), other, resume=True)
    with pytest.raises(ValueError, match="engine was None, is int8"):
        upscale_video(
            source, target, NearestUpscaler(), OPTIONS, engine={"engine": "int8"}, resume=True
        )
    with pytest.raises(ValueError, match="finished segments of an earlier run; pass --resume"):
        upscale_video(source, target, NearestUpscaler(), OPTIONS)
    assert journal_path(target).exists()


def test_journal_without_a_finished_segment_is_begun_anew(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", JOB) as journal:
        journal.add(0, [EncodedPacket(0, 1, True, b"a")])
        (tmp_path / "killed").write_bytes((tmp_path / "j").read_bytes())
    assert not (tmp_path / "j").exists()
    with Journal(tmp_path / "killed", {"input": "other"}) as journal:
        assert journal.times() == []


def test_journal_gives_packets_in_the_order_of_segments(tmp_path: Path) -> None:
    packets = [EncodedPacket(pts, 2, pts % 2 == 0, bytes([pts])) for pts in range(6)]
    with Journal(tmp_path / "j", JOB) as journal:
        journal.add(1, packets[2:4])
        journal.add(0, packets[:2])
        journal.add(1, packets[4:])
        journal.finish(1, END)
        journal.finish(0, END)
        assert list(journal.packets()) == packets
        assert journal.times() == list(range(6))
        assert journal.finished() == {0: END, 1: END}


def test_unfinished_packets_are_dropped_on_the_next_run(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", JOB) as journal:
        journal.add(0, [EncodedPacket(0, 1, True, b"a")])
        journal.add(1, [EncodedPacket(1, 1, True, b"b")])
        journal.finish(0, END)
    with Journal(tmp_path / "j", JOB, resume=True) as journal:
        assert [packet.data for packet in journal.packets()] == [b"a"]


def test_second_run_to_the_same_output_is_refused(tmp_path: Path) -> None:
    with (
        Journal(tmp_path / "j", JOB),
        pytest.raises(OSError, match="in use: another run writes this output"),
    ):
        Journal(tmp_path / "j", JOB, resume=True)


@pytest.mark.parametrize("content", [b"text" * 1000, b"SQLite format 3\0" + b"\xff" * 4000])
def test_file_that_is_no_journal_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "j").write_bytes(content)
    with pytest.raises(ValueError, match="is not the journal of an unfinished run"):
        Journal(tmp_path / "j", JOB, resume=True)
    assert (tmp_path / "j").read_bytes() == content


def test_database_of_something_else_is_no_journal(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "j") as database:
        database.execute("CREATE TABLE other (x)")
    with pytest.raises((ValueError, OSError), match="no such table"):
        Journal(tmp_path / "j", JOB, resume=True)


def test_plan_puts_every_frame_in_one_segment(tmp_path: Path) -> None:
    timeline = read_timeline(make_clip(tmp_path / "a.mp4", clip_of()))
    plan = plan_segments(timeline, 10)
    numbers = [plan.segment_of(pts, 0) for pts in timeline.pts]
    assert numbers == [place // 10 for place in range(47)]
    assert plan.segment_of(timeline.pts[0] - 5, 0) == 0
    assert bisect_right(plan.starts, timeline.pts[-1]) == plan.count == 5


@pytest.mark.parametrize("on_error", ["skip", "repeat"])
def test_damage_belongs_to_one_segment_wherever_reading_begins(
    tmp_path: Path, on_error: str
) -> None:
    path = damaged(make_clip(tmp_path / "a.mp4", INTRA), 5)
    timeline = read_timeline(path)
    plan = plan_segments(timeline, 3)
    found = []
    for segment in range(plan.count):
        with SegmentReader(path, timeline, plan, on_error=on_error) as reader:
            assert list(reader.frames(range(segment, segment + 1)))
            found.append(reader.damaged)
    assert sorted(found) == [0, 0, 0, 1]


def test_lead_of_a_segment_is_what_is_decoded_before_it(tmp_path: Path) -> None:
    clip = Clip(options={"g": "10", "sc_threshold": "0"}, pts=tuple(range(100)))
    for suffix, expected in ((".mp4", [0, 10, 10]), (".ts", [0, 40, 80])):
        path = make_clip(tmp_path / f"a{suffix}", clip)
        timeline = read_timeline(path)
        with SegmentReader(path, timeline, plan_segments(timeline, 40)) as reader:
            assert [reader.lead(segment) for segment in range(3)] == expected
