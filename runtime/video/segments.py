"""Closed segments: runs of frames that are encoded by an encoder of their own.

Where they begin depends on the input and the length alone, so that one run, a resumed one and many
machines give the same bytes.
"""

from __future__ import annotations

import io
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from runtime.closeable import Closeable
from runtime.video.deinterlace import Deinterlace
from runtime.video.encoder import EncodeOptions, Encoding, open_encoder
from runtime.video.frame import Frame, av_from_frame
from runtime.video.probe import VideoInfo, av_errors
from runtime.video.reader import OnError, VideoReader
from runtime.video.timeline import Timeline

if TYPE_CHECKING:
    from av.packet import Packet


@dataclass(frozen=True)
class EncodedPacket:
    """One encoded frame; times in the video's time base."""

    pts: int
    duration: int
    is_key: bool
    data: bytes
    # Whether ``data`` is a Matroska file of this packet alone, for the sake of its alpha.
    has_alpha: bool = False


@dataclass(frozen=True)
class SegmentEnd:
    """What is known of a segment once all its packets are there."""

    frames: int
    # Damaged frames that were left out or replaced.
    damaged: int
    # Codec headers, equal for all segments of a video.
    extradata: bytes


class SegmentSink(Protocol):
    """Takes the packets of segments, each segment's in order."""

    def add(self, segment: int, packets: Sequence[EncodedPacket]) -> None:
        """Keep packets of an unfinished segment."""
        ...

    def finish(self, segment: int, end: SegmentEnd) -> None:
        """All packets of a segment are there."""
        ...


@dataclass(frozen=True)
class SegmentPlan:
    """Which frame belongs to which segment: by its time, or by its number where times are none."""

    length: int
    count: int
    # Times of the first frames.
    starts: tuple[int, ...] | None

    def segment_of(self, pts: int, number: int) -> int:
        """The segment of a frame by its time and its number among all frames."""
        if self.starts is None:
            return min(number // self.length, self.count - 1)
        return max(bisect_right(self.starts, pts) - 1, 0)


def plan_segments(timeline: Timeline, length: int) -> SegmentPlan:
    """Segments of ``length`` frames each."""
    count = max(-(-timeline.packets // length), 1)
    return SegmentPlan(length, count, timeline.pts and timeline.pts[::length])


class SegmentReader(Closeable):
    """Frames of some consecutive segments with the number of the segment; a context manager.

    Decoding begins at a key frame near the first one where that gives the same frames, else at the
    beginning. ``repeat`` shows the frame before in the place of a damaged one.
    """

    def __init__(
        self,
        path: Path,
        timeline: Timeline,
        plan: SegmentPlan,
        *,
        on_error: OnError = "stop",
        deinterlace: Deinterlace = "off",
    ) -> None:
        self._timeline, self._plan, self._on_error = timeline, plan, on_error
        self._open = partial(VideoReader, path, on_error=on_error, deinterlace=deinterlace)
        self._reader = self._open()
        self._damaged = self._damaged_before = 0

    @property
    def damaged(self) -> int:
        """Damaged frames so far, without those before the segments that are read."""
        return self._damaged - self._damaged_before

    def lead(self, segment: int) -> int:
        """Frames that have to be decoded before the first one of a segment."""
        before = segment * self._plan.length
        key = self._key_before(segment)
        if key is None or self._timeline.pts is None:
            return before
        return before - bisect_left(self._timeline.pts, key)

    def frames(self, segments: range) -> Iterator[tuple[int, Frame]]:
        """The frames of ``segments``, once."""
        for number, frame in enumerate(self._frames(segments.start)):
            segment = self._plan.segment_of(frame.pts, number)
            if segment >= segments.stop:
                return
            self._damaged = self._reader.damaged
            if segment in segments:
                yield segment, frame
            else:
                self._damaged_before = self._damaged
        self._damaged = self._reader.damaged

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def _frames(self, first_segment: int) -> Iterator[Frame]:
        key = self._key_before(first_segment)
        if key is not None and self._plan.starts is not None:
            frames = self._frames_near(self._plan.starts[first_segment], key)
            if frames is not None:
                return frames
        if self._on_error == "repeat":
            return self._repeated()
        return iter(self._reader)

    def _key_before(self, segment: int) -> int | None:
        """Where decoding can begin for a segment; None is the beginning."""
        starts = self._plan.starts
        if not segment or not starts or self._on_error != "stop" or not self._reader.can_seek:
            return None
        return self._timeline.key_before(starts[segment])

    def _frames_near(self, pts: int, key: int) -> Iterator[Frame] | None:
        """Frames from ``pts`` on, decoded from ``key`` before; None if that does not work."""
        if not self._reader.seek(key, first=pts):
            return None
        frames = iter(self._reader)
        first = next(frames, None)
        if first is not None and first.pts == pts:
            return _chained(first, frames)
        self._reader.close()
        self._reader = self._open()
        return None

    def _repeated(self) -> Iterator[Frame]:
        """All frames, with copies in the places where damaged ones were left out."""
        before: Frame | None = None
        known_damage, shown = 0, 0
        for frame in self._reader:
            if self._reader.damaged > known_damage:
                copies = [*_copies(before or frame, [*self._lost(before, frame), frame.pts])]
                yield from copies
                shown += len(copies)
            known_damage, shown = self._reader.damaged, shown + 1
            before = frame
            yield frame
        if before is not None and self._reader.damaged:
            lost = self._lost(before, None, self._timeline.packets - shown)
            yield from _copies(before, [*lost, lost[-1] + self._step(before)] if lost else [])

    def _lost(self, before: Frame | None, after: Frame | None, at_end: int = 0) -> list[int]:
        """Times of the frames between two, or of those that end a file.

        Where the file does not hold all times they follow its rate.
        """
        times = self._timeline.pts
        if times is not None:
            first = bisect_right(times, before.pts) if before else 0
            last = bisect_left(times, after.pts) if after else len(times)
            return list(times[first:last])
        if before is None:
            return []
        step = self._step(before)
        count = at_end if after is None else round((after.pts - before.pts) / step) - 1
        return [before.pts + step * number for number in range(1, count + 1)]

    def _step(self, frame: Frame) -> int:
        """From one frame to the next."""
        rate = self._reader.info.rate
        return max(frame.duration or (round(1 / (rate * frame.time_base)) if rate else 1), 1)


def _chained(first: Frame, others: Iterator[Frame]) -> Iterator[Frame]:
    yield first
    yield from others


def _copies(frame: Frame, times: Sequence[int]) -> Iterator[Frame]:
    """The frame at each time but the last, until the next."""
    for pts, following in pairwise(times):
        yield replace(frame, pts=pts, duration=following - pts)


class SegmentEncoder:
    """Encodes the frames of one segment."""

    def __init__(self, encoding: Encoding, info: VideoInfo, options: EncodeOptions) -> None:
        self._context: Any = open_encoder(encoding, info, options)
        self._pixel_format, self._colors = encoding.pixel_format, info.colors
        self.frames = 0

    @property
    def extradata(self) -> bytes:
        """Codec headers."""
        return bytes(self._context.extradata or b"")

    def encode(self, frame: Frame) -> list[EncodedPacket]:
        """Packets that are ready once this frame is in, maybe none."""
        self.frames += 1
        coded = av_from_frame(frame, self._pixel_format, self._colors)
        with av_errors(f"{self._context.name} fails at {frame.time_s:.3f} s"):
            return _encoded(self._context.encode(coded))

    def finish(self) -> list[EncodedPacket]:
        """All packets that are still in the encoder."""
        with av_errors(f"{self._context.name} fails at the end of a segment"):
            return _encoded(self._context.encode(None))


def _encoded(packets: Sequence[Packet[Any]]) -> list[EncodedPacket]:
    return [
        EncodedPacket(
            packet.pts or 0,
            packet.duration or 0,
            packet.is_keyframe,
            wrapped(packet) if _has_alpha(packet) else bytes(packet),
            _has_alpha(packet),
        )
        for packet in packets
    ]


def _has_alpha(packet: Packet[Any]) -> bool:
    """Whether alpha lies beside the packet: a stream within the stream of VP8 and VP9."""
    return packet.has_sidedata("matroska_block_additional")


def wrapped(packet: Packet[Any]) -> bytes:
    """A Matroska file of one VP9 packet: bytes that keep the alpha beside it."""
    import av

    file = io.BytesIO()
    times = packet.pts, packet.dts, packet.time_base
    with av.open(file, "w", format="matroska") as container:
        packet.stream = container.add_mux_stream("vp9", width=16, height=16)
        packet.pts = packet.dts = 0
        container.mux(packet)
    packet.pts, packet.dts, packet.time_base = times
    return file.getvalue()


def unwrapped(data: bytes) -> Packet[Any]:
    """The packet of :func:`wrapped`, without its times."""
    import av

    with av.open(io.BytesIO(data), "r") as container:
        return next(container.demux())
