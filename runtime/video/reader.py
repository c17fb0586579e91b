"""Frames of a video in order."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from runtime.video.frame import Frame, frame_from_av, layout_of
from runtime.video.probe import DEINTERLACE, VideoInfo, av_errors, describe, open_video
from runtime.video.timeline import PacketWatch, is_flush

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame

OnError = Literal["stop", "skip", "repeat"]

# Where a packet may hold no frame to show.
CODECS_WITH_EMPTY_PACKETS = frozenset({"vp8", "mpeg4"})
# Containers that find a key frame by its time.
SEEKABLE_FORMATS = ("mp4", "matroska")


class VideoReader:
    """Decodes the main video stream; a context manager and an iterable, to be read once.

    ``on_error`` says what a damaged frame does: ``stop`` raises ValueError naming it, otherwise it
    is left out and counted in ``damaged``; the times of the others do not change.
    """

    def __init__(self, path: Path, *, on_error: OnError = "stop") -> None:
        self._path = path
        self._on_error = on_error
        self._container, self._stream = open_video(path)
        # Threads of a frame each report damage late, and at the end of the stream not at all.
        self._stream.thread_type = "AUTO" if on_error == "stop" else "SLICE"
        self._decoded = 0
        self._last_pts: int | None = None
        self._is_timeless = False
        # AVI stores no presentation times: those of its packets are in decoding order.
        self._avi_stamps: list[int] | None = [] if self._container.format.name == "avi" else None
        self._watch = PacketWatch(self._container, self._stream)
        # Times of packets that no frame has come from yet.
        self._awaited: set[int] = set()
        # Frames before this time are only decoded.
        self._first: int | None = None
        self.damaged = 0
        self.notes: list[str] = []
        try:
            self._frames = self._read()
            self._pending: list[VideoFrame] = []
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

    @property
    def can_seek(self) -> bool:
        """Whether this container finds key frames by their time."""
        return any(name in self._container.format.name for name in SEEKABLE_FORMATS)

    def __iter__(self) -> Iterator[Frame]:
        time_base = self.info.time_base
        for frame in chain(self._pending, self._frames):
            assert frame.pts is not None
            yield frame_from_av(frame, frame.pts, time_base)

    def seek(self, key: int, *, first: int) -> bool:
        """Go on at the key frame of time ``key``, giving frames from the time ``first`` on.

        Returns False, and changes nothing, if this container does not find them by their time.
        Whether a file keeps what its index promises shows in the time of the first frame.
        """
        if not self.can_seek:
            return False
        with av_errors(f"{self._path} cannot be read at {float(key * self.info.time_base):.3f} s"):
            self._container.seek(key, stream=self._stream)
        self._pending = []
        self._first, self._last_pts = first, None
        self._awaited = set()
        self._frames = self._read()
        return True

    def close(self) -> None:
        """Close the file."""
        # By name: an interrupt while Python clears up a generator would be lost.
        self._frames.close()
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
        for frame in self._frames:
            self._pending.append(frame)
            return describe(self._path, self._stream, frame)
        raise ValueError(f"{self._path} holds no frame that can be decoded")

    def _read(self) -> Generator[VideoFrame, None, None]:
        packets = self._container.demux()
        while True:
            with av_errors(f"{self._path} cannot be read on after frame {self._decoded}"):
                packet = next(packets, None)
            if packet is None:
                break
            self._watch.follow(packet)
            if packet.stream.index == self._stream.index:
                yield from self._decode(packet)
        if self._first is None:
            self._check_complete()

    def _decode(self, packet: Packet[Any]) -> Iterator[VideoFrame]:
        is_drain = is_flush(packet)
        for frame in self._decoded_from(packet):
            if self._first is not None and frame.pts is not None and frame.pts < self._first:
                continue
            reason = self._fault(frame)
            if reason:
                place = f"frame {self._next_number()}{_at(frame.pts, frame.time_base)}"
                self._damage(place, reason)
                continue
            self._decoded += 1
            self._last_pts = frame.pts
            self._follow(frame.pts, is_drain=is_drain)
            yield frame
        if is_drain and self._stream.codec_context.name not in CODECS_WITH_EMPTY_PACKETS:
            for pts in sorted(self._awaited):
                place = f"frame {self._next_number()}{_at(pts, self._stream.time_base)}"
                self._damage(place, "it cannot be decoded")

    def _decoded_from(self, packet: Packet[Any]) -> list[VideoFrame]:
        """The frames that are ready once the decoder has a packet; none if that fails."""
        from av.error import FFmpegError

        if self._avi_stamps is not None and packet.pts is not None:
            heapq.heappush(self._avi_stamps, packet.pts)
        if packet.is_corrupt:
            place = f"frame {self._watch.count}{_at(packet.pts, packet.time_base)}"
            self._damage(place, "the file ends within it")
            return []
        try:
            frames: list[VideoFrame] = packet.decode()
        except FFmpegError as error:
            # Decoder threads report late, but in the order of the frames: the packet at hand is
            # not the one at fault.
            self._damage(f"frame {self._next_number()}", error.strerror or "it cannot be decoded")
            return []
        if packet.pts is not None and packet.size and not packet.is_discard:
            self._awaited.add(packet.pts)
        return frames

    def _follow(self, pts: int | None, *, is_drain: bool) -> None:
        """Note that a frame is out; earlier ones come no more, and were reported.

        At the end of the stream decoder threads keep their errors to themselves.
        """
        if pts is not None:
            kept = {other for other in self._awaited if is_drain or other > pts}
            self._awaited = kept - {pts}

    def _fault(self, frame: VideoFrame) -> str | None:
        """What is wrong with a frame, if anything; gives it a time if the file has none at all."""
        self._settle_time(frame)
        if frame.is_corrupt:
            return "parts of it are missing"
        if frame.pts is None:
            return "it has no time"
        if self._last_pts is not None and frame.pts <= self._last_pts:
            return "its time is not after that of the frame before"
        if self._decoded:
            self._check_same(frame)
        return None

    def _check_same(self, frame: VideoFrame) -> None:
        place = f"{self._path}: frame {self._next_number()}"
        if (frame.width, frame.height) != self.info.size:
            raise ValueError(
                f"{place} is {frame.width}x{frame.height}, those before are "
                f"{self.info.width}x{self.info.height}; cut the video there"
            )
        if layout_of(frame.format.name) != self.info.layout:
            raise ValueError(f"{place} is {frame.format.name}, unlike those before; cut there")
        if frame.interlaced_frame:
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
        return self._decoded + self.damaged + 1

    def _damage(self, place: str, reason: str) -> None:
        if self._on_error != "stop":
            self.damaged += 1
            return
        raise ValueError(
            f"{self._path}: {place} is damaged: {reason}; pass --on-error skip to leave damaged "
            "frames out, --on-error repeat to show the frame before in their place"
        )

    def _check_complete(self) -> None:
        """Raise or note if the file ends before what its header promises."""
        missing = self._watch.missing()
        if missing is None:
            return
        if self._on_error != "stop":
            self.notes.append(f"the file is truncated: {missing}")
            return
        if not self._decoded:
            raise ValueError(f"{self._path} is truncated before its first frame: {missing}")
        raise ValueError(
            f"{self._path} is truncated after frame {self._decoded}: {missing}; "
            "pass --on-error skip to keep what is there"
        )


def _at(stamp: int | None, time_base: Any) -> str:
    return "" if stamp is None or not time_base else f" at {float(stamp * time_base):.3f} s"
