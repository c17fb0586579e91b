"""Frames of a video in order."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runtime.closeable import Closeable
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
from runtime.video.timeline import PacketWatch, is_flush

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame

OnError = Literal["stop", "skip", "repeat"]

# The bit of a VP8 frame's first byte that says whether it is shown (RFC 6386, section 9.1).
VP8_SHOW_FRAME = 0x10
# MPEG-4 fills places in packed streams with packets of no more than these.
MPEG4_NO_FRAME_BYTES = 20
# Containers that find a key frame by its time.
SEEKABLE_FORMATS = ("mp4", "matroska")


class VideoReader(Closeable):
    """Decodes the main video stream; a context manager and an iterable, to be read once.

    ``on_error`` says what a damaged frame does: ``stop`` raises ValueError naming it, otherwise it
    is left out and counted in ``damaged``, and so are all after it up to the next key frame, which
    may be made from it; the times of the others do not change.
    ``deinterlace`` says what interlaced video does: ``off`` raises ValueError.
    """

    def __init__(
        self, path: Path, *, on_error: OnError = "stop", deinterlace: Deinterlace = "off"
    ) -> None:
        self._path = path
        self._on_error = on_error
        self._container, self._stream = open_video(path)
        self._decoder = decoder_of(self._stream)
        # Threads of a frame each report damage late, and at the end of the stream not at all.
        self._decoder.thread_type = "AUTO" if on_error == "stop" else "SLICE"
        self._takes_interlaced = deinterlace != "off"
        self._deinterlacer = Deinterlacer(deinterlace)
        self._decoded = 0
        self._last_pts: int | None = None
        self._is_timeless = False
        # AVI stores no presentation times: those of its packets are in decoding order.
        self._avi_stamps: list[int] | None = [] if self._container.format.name == "avi" else None
        self._watch = PacketWatch(path, self._container, self._stream)
        # Times of packets that no frame has come from yet.
        self._awaited: set[int] = set()
        self._shown_from: int | None = None
        self._is_damaged = False
        # Whether a decoder thread has reported damage, which may be that of any packet.
        self._has_failed = False
        # Frames before this time are only decoded.
        self._from_pts: int | None = None
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
        """The open input."""
        return self._container

    @property
    def can_seek(self) -> bool:
        """Whether frames from the middle on are those of a run from the beginning."""
        is_seekable = any(name in self._container.format.name for name in SEEKABLE_FORMATS)
        # A deinterlaced frame is made of its neighbours, too.
        return is_seekable and not self._takes_interlaced

    def __iter__(self) -> Iterator[Frame]:
        time_base = self.info.time_base
        for frame in chain(self._pending, self._frames):
            assert frame.pts is not None
            yield frame_from_av(frame, frame.pts, time_base)

    def seek(self, key: int, *, first: int) -> bool:
        """Go on at the key frame of time ``key``, giving frames from the time ``first`` on.

        Returns False, and changes nothing, if frames here are not found by their time.
        Whether a file keeps what its index promises shows in the time of the first frame.
        """
        if not self.can_seek:
            return False
        with av_errors(f"{self._path} cannot be read at {float(key * self.info.time_base):.3f} s"):
            self._container.seek(key, stream=self._stream)
        self._decoder.flush_buffers()
        self._pending = []
        self._from_pts, self._last_pts = first, None
        self._awaited, self._shown_from = set(), None
        self._frames = self._read()
        return True

    def close(self) -> None:
        """Close the file."""
        # By name: an interrupt while Python clears up a generator would be lost.
        self._frames.close()
        self._container.close()

    def _read_first(self) -> VideoInfo:
        for frame in self._frames:
            self._pending.append(frame)
            return describe(self._path, self._stream, frame, is_deinterlaced=self._takes_interlaced)
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
                for frame in self._decode(packet):
                    yield from self._deinterlacer.push(frame)
        if self._from_pts is None:
            self._check_complete()
        yield from self._deinterlacer.flush()
        if self._deinterlacer.count:
            self.notes.append(f"{self._deinterlacer.count} interlaced frames were deinterlaced")

    def _decode(self, packet: Packet[Any]) -> Iterator[VideoFrame]:
        is_drain = is_flush(packet)
        for frame in self._decoded_from(packet):
            if self._from_pts is not None and frame.pts is not None and frame.pts < self._from_pts:
                continue
            self._settle_time(frame)
            self._follow(frame.pts, is_drain=is_drain)
            reason = self._fault(frame) or self._heir(frame)
            if reason:
                place = f"frame {self._next_number()}{_at(frame.pts, frame.time_base)}"
                self._damage(place, reason)
                continue
            self._decoded += 1
            self._last_pts = frame.pts
            yield frame
        if is_drain:
            self._report_lost(self._awaited)

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
            frames: list[VideoFrame] = self._decoder.decode(packet)
        except FFmpegError as error:
            # Decoder threads report late, but in the order of the frames: the packet at hand is
            # not the one at fault.
            self._has_failed = self._on_error == "stop"
            if self._avi_stamps:
                heapq.heappop(self._avi_stamps)
            self._damage(f"frame {self._next_number()}", error.strerror or "it cannot be decoded")
            return []
        if packet.pts is not None and not packet.is_discard and self._shows(packet):
            self._awaited.add(packet.pts)
            self._check_stamps(frames)
        return frames

    def _check_stamps(self, frames: Sequence[VideoFrame]) -> None:
        """An AVI whose decoder holds back more frames than it reorders has lost one."""
        if self._avi_stamps is None or self._on_error == "stop" or frames:
            return
        if len(self._avi_stamps) > self._decoder.has_b_frames:
            pts = heapq.heappop(self._avi_stamps)
            place = f"frame {self._next_number()}{_at(pts, self._stream.time_base)}"
            self._damage(place, "it cannot be decoded")

    def _shows(self, packet: Packet[Any]) -> bool:
        """Whether a packet holds a frame to show."""
        if self._decoder.name in ("vp8", "libvpx") and packet.size:
            return bool(bytes(packet)[0] & VP8_SHOW_FRAME)
        least = MPEG4_NO_FRAME_BYTES if self._decoder.name == "mpeg4" else 0
        return packet.size > least

    def _follow(self, pts: int | None, *, is_drain: bool) -> None:
        """Note that a frame is out: those of earlier packets come no more.

        At the end of the stream decoder threads keep their errors to themselves, and some decoders
        always do.
        """
        if pts is None:
            return
        passed = set() if is_drain else {other for other in self._awaited if other < pts}
        self._awaited -= passed | {pts}
        if self._shown_from is None:
            self._shown_from = pts  # what comes before needs frames that are not in the file
        self._report_lost({other for other in passed if other > self._shown_from})

    def _report_lost(self, times: set[int]) -> None:
        """Packets whose frames did not come are damage, unless there need not be any."""
        is_exact = self._avi_stamps is None and not self._has_failed
        if not is_exact:
            return
        for pts in sorted(times):
            place = f"frame {self._next_number()}{_at(pts, self._stream.time_base)}"
            self._damage(place, "it cannot be decoded")

    def _fault(self, frame: VideoFrame) -> str | None:
        """What is wrong with a frame, if anything."""
        if frame.is_corrupt:
            return "parts of it are missing"
        if frame.pts is None:
            return "it has no time"
        if self._last_pts is not None and frame.pts <= self._last_pts:
            return "its time is not after that of the frame before"
        self._check_same(frame)
        return None

    def _heir(self, frame: VideoFrame) -> str | None:
        """Whether a frame may be predicted from a damaged one, which ends at a key frame."""
        self._is_damaged = self._is_damaged and not frame.key_frame
        return "a frame that it may be made from is damaged" if self._is_damaged else None

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
        return round((self._decoded + self.damaged) / (Fraction(rate) * Fraction(time_base)))

    def _next_number(self) -> int:
        """Which frame comes next, counted from 1."""
        return self._decoded + self.damaged + 1

    def _damage(self, place: str, reason: str) -> None:
        if self._on_error != "stop":
            self.damaged += 1
            self._is_damaged = True
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
