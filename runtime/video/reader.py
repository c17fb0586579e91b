"""Frames of a video in order, with the packets of its other streams."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from runtime.video.deinterlace import Deinterlace, Deinterlacer
from runtime.video.frame import Frame, frame_from_av
from runtime.video.pixels import layout_of
from runtime.video.probe import (
    DEINTERLACE,
    VideoInfo,
    av_errors,
    decoder_of,
    describe,
    open_video,
)

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame

OnError = Literal["stop", "skip"]

COPIED_TYPES = frozenset({"audio", "subtitle"})
# Between two frames at most this many packets are held back, so that a long stretch with sound
# alone does not pile up.
MAX_PENDING_PACKETS = 256


@dataclass(frozen=True)
class Item:
    """A frame, or None after a stretch without one, with the packets that came before it."""

    frame: Frame | None
    packets: tuple[Any, ...] = ()


class VideoReader:
    """Decodes the main video stream; a context manager and an iterable, to be read once.

    ``on_error`` says what a damaged frame does: ``stop`` raises ValueError naming it, ``skip``
    leaves it out and counts it in ``skipped``; the times of the others do not change.
    ``deinterlace`` says what interlaced video does: ``off`` raises ValueError.
    """

    def __init__(
        self, path: Path, *, on_error: OnError = "stop", deinterlace: Deinterlace = "off"
    ) -> None:
        self._path = path
        self._on_error = on_error
        self._container, self._stream = open_video(path)
        self._decoder = decoder_of(self._stream)
        self._decoder.thread_type = "AUTO"
        self._takes_interlaced = deinterlace != "off"
        self._deinterlacer = Deinterlacer(deinterlace)
        self._decoded = 0
        self._last_pts: int | None = None
        self._is_timeless = False
        # AVI stores no presentation times: those of its packets are in decoding order.
        self._avi_stamps: list[int] | None = [] if self._container.format.name == "avi" else None
        self._packet_count = 0
        self._end_s = 0.0
        self.skipped = 0
        self.notes: list[str] = []
        try:
            self._items = self._read()
            self._pending: list[tuple[VideoFrame | None, list[Packet[Any]]]] = []
            self.info = self._read_first()
        except BaseException:
            self._container.close()
            raise

    @property
    def container(self) -> InputContainer:
        """The open input, from whose streams a writer takes what it copies."""
        return self._container

    @property
    def stream_index(self) -> int:
        """Which stream of the container is decoded."""
        return self._stream.index

    def __iter__(self) -> Iterator[Item]:
        yield from map(self._item, self._pending)
        yield from map(self._item, self._items)

    def frames(self) -> Iterator[Frame]:
        """The frames alone."""
        return (item.frame for item in self if item.frame is not None)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read_first(self) -> VideoInfo:
        for frame, packets in self._items:
            self._pending.append((frame, packets))
            if frame is not None:
                return describe(
                    self._path, self._stream, frame, is_deinterlaced=self._takes_interlaced
                )
        raise ValueError(f"{self._path} holds no frame that can be decoded")

    def _item(self, decoded: tuple[VideoFrame | None, list[Packet[Any]]]) -> Item:
        frame, packets = decoded
        if frame is None:
            return Item(None, tuple(packets))
        time_base = self.info.time_base
        assert frame.pts is not None
        return Item(frame_from_av(frame, frame.pts, time_base), tuple(packets))

    def _read(self) -> Iterator[tuple[VideoFrame | None, list[Packet[Any]]]]:
        pending: list[Packet[Any]] = []
        for packet in self._demux():
            self._follow(packet)
            if self._is_main(packet):
                for frame in self._progressive(self._decode(packet)):
                    yield frame, pending
                    pending = []
            elif packet.stream.type in COPIED_TYPES and not _is_flush(packet):
                pending.append(packet)
                if len(pending) >= MAX_PENDING_PACKETS:
                    yield None, pending
                    pending = []
        self._check_complete()
        for frame in self._deinterlacer.flush():
            yield frame, pending
            pending = []
        if self._deinterlacer.count:
            self.notes.append(f"{self._deinterlacer.count} interlaced frames were deinterlaced")
        yield None, pending

    def _progressive(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        for frame in frames:
            yield from self._deinterlacer.push(frame)

    def _is_main(self, packet: Packet[Any]) -> bool:
        # The packets that end a stream do not carry its index in their own field.
        return bool(packet.stream.index == self._stream.index)

    def _demux(self) -> Iterator[Packet[Any]]:
        with av_errors(f"{self._path} cannot be read on after frame {self._decoded}"):
            yield from self._container.demux()

    def _decode(self, packet: Packet[Any]) -> Iterator[VideoFrame]:
        from av.error import FFmpegError

        if self._avi_stamps is not None and packet.pts is not None:
            heapq.heappush(self._avi_stamps, packet.pts)
        if packet.is_corrupt:
            place = f"frame {self._packet_count}{_at(packet.pts, packet.time_base)}"
            self._damage(place, "the file ends within it")
            return
        try:
            frames = self._decoder.decode(packet)
        except FFmpegError as error:
            # Decoder threads report late, but in the order of the frames: the packet at hand is
            # not the one at fault.
            self._damage(f"frame {self._next_number()}", error.strerror or "it cannot be decoded")
            return
        for frame in frames:
            reason = self._fault(frame)
            if reason:
                place = f"frame {self._next_number()}{_at(frame.pts, frame.time_base)}"
                self._damage(place, reason)
                continue
            self._decoded += 1
            self._last_pts = frame.pts
            yield frame

    def _fault(self, frame: VideoFrame) -> str | None:
        """What is wrong with a frame, if anything; gives it a time if the file has none at all."""
        self._settle_time(frame)
        if frame.is_corrupt:
            return "parts of it are missing"
        if frame.pts is None:
            return "it has no time"
        if self._last_pts is not None and frame.pts <= self._last_pts:
            return "its time is not after that of the frame before"
        self._check_same(frame)
        return None

    def _check_same(self, frame: VideoFrame) -> None:
        """Raise ValueError for a frame unlike the first one decoded."""
        place = f"{self._path}: frame {self._next_number()}"
        size, layout = (frame.width, frame.height), layout_of(frame.format.name)
        if not self._decoded:
            self._first = size, layout
        if size != self._first[0]:
            raise ValueError(
                f"{place} is {size[0]}x{size[1]}, those before are "
                f"{self._first[0][0]}x{self._first[0][1]}; cut the video there"
            )
        if layout != self._first[1]:
            raise ValueError(f"{place} is {frame.format.name}, unlike those before; cut there")
        if self._decoded and frame.interlaced_frame and not self._takes_interlaced:
            raise ValueError(f"{place} is interlaced; {DEINTERLACE}")

    def _settle_time(self, frame: VideoFrame) -> None:
        """A frame without a presentation time takes that of its packet, or is counted."""
        if self._avi_stamps:
            frame.pts = heapq.heappop(self._avi_stamps)
        if frame.pts is None:
            frame.pts = frame.dts
        if self._decoded == 0 and frame.pts is None:
            self._is_timeless = True
            self.notes.append("the file holds no frame times; its constant frame rate is used")
        if self._is_timeless:
            frame.pts = self._counted_pts()

    def _counted_pts(self) -> int:
        rate, time_base = self._stream.average_rate, self._stream.time_base
        if not rate or not time_base:
            raise ValueError(f"{self._path} holds neither frame times nor a frame rate")
        return round(self._decoded / (Fraction(rate) * Fraction(time_base)))

    def _next_number(self) -> int:
        """Which frame comes next, counted from 1."""
        return self._decoded + self.skipped + 1

    def _damage(self, place: str, reason: str) -> None:
        if self._on_error == "skip":
            self.skipped += 1
            return
        raise ValueError(
            f"{self._path}: {place} is damaged: {reason}; "
            "pass --on-error skip to leave damaged frames out"
        )

    def _follow(self, packet: Packet[Any]) -> None:
        if _is_flush(packet):
            return
        if self._is_main(packet):
            self._packet_count += 1
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is not None:
            self._end_s = max(
                self._end_s, float((stamp + (packet.duration or 0)) * packet.time_base)
            )

    def _check_complete(self) -> None:
        """Raise or note if the file ends before what its header promises."""
        missing = self._missing()
        if missing is None:
            return
        if self._on_error == "skip":
            self.notes.append(f"the file is truncated: {missing}")
            return
        if not self._decoded:
            raise ValueError(f"{self._path} is truncated before its first frame: {missing}")
        raise ValueError(
            f"{self._path} is truncated after frame {self._decoded}: {missing}; "
            "pass --on-error skip to keep what is there"
        )

    def _missing(self) -> str | None:
        formats = self._container.format.name
        promised = len(self._stream.index_entries)
        if "mp4" in formats and self._packet_count < promised:
            return f"{self._packet_count} of {promised} video packets are there"
        duration_s = (self._container.duration or 0) / 1_000_000
        # Headers round, and may count a stretch of silence.
        is_short = self._end_s < min(duration_s - 1.0, 0.95 * duration_s)
        if "matroska" in formats and is_short:
            return f"it ends at {self._end_s:.1f} s of {duration_s:.1f} s"
        return None


def _is_flush(packet: Packet[Any]) -> bool:
    return packet.size == 0 and packet.dts is None


def _at(stamp: int | None, time_base: Any) -> str:
    return "" if stamp is None or not time_base else f" at {float(stamp * time_base):.3f} s"
