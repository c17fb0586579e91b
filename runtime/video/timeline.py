"""When the frames of a video are shown, read from its packets without decoding."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.video.probe import av_errors, open_video
from runtime.video.truncation import missing_bytes

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream


@dataclass(frozen=True)
class Timeline:
    """Times in the stream's time base, of every packet that is shown and of those with key frames.

    ``pts`` is None where the file does not hold them all; its frames are counted then.
    ``missing`` tells what a truncated file lacks.
    """

    packets: int
    pts: tuple[int, ...] | None
    keys: tuple[int, ...]
    missing: str | None

    def key_before(self, pts: int) -> int | None:
        """The last key frame but one at or before ``pts``, None if there are not as many.

        One more than is needed, since some encoders call a frame a key from which a decoder needs
        a while to recover.
        """
        place = bisect_right(self.keys, pts) - 2
        return self.keys[place] if place >= 0 else None


def read_timeline(path: Path) -> Timeline:
    """Walk through all packets of a file.

    Raises OSError if it cannot be read to its end, ValueError if it is not a video.
    """
    container, stream = open_video(path)
    watch = PacketWatch(path, container, stream)
    stamps: list[int | None] = []
    keys: list[int] = []
    with container:
        packets = container.demux()
        while True:
            with av_errors(f"{path} cannot be read on after packet {len(stamps)}"):
                packet = next(packets, None)
            if packet is None:
                break
            watch.follow(packet)
            if packet.stream.index != stream.index or is_flush(packet) or packet.is_discard:
                continue
            stamps.append(packet.pts)
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
        pts = sorted({stamp for stamp in stamps if stamp is not None})
        is_complete = 0 < len(pts) == len(stamps)
        return Timeline(
            packets=len(stamps),
            pts=tuple(pts) if is_complete else None,
            keys=tuple(sorted(keys)) if is_complete else (),
            missing=watch.missing(),
        )


class PacketWatch:
    """Follows the packets of a file and tells whether it ends before what its header promises."""

    def __init__(self, path: Path, container: InputContainer, stream: VideoStream) -> None:
        self._path, self._container, self._stream = path, container, stream
        self._end_s = 0.0
        self.count = 0

    def follow(self, packet: Packet[Any]) -> None:
        """Take note of one packet of any stream."""
        if is_flush(packet):
            return
        # The packets that end a stream do not carry its index in their own field.
        if packet.stream.index == self._stream.index:
            self.count += 1
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is not None:
            end = float((stamp + (packet.duration or 0)) * packet.time_base)
            self._end_s = max(self._end_s, end)

    def missing(self) -> str | None:
        """What is not there at the end of the file; None if it is whole or does not tell."""
        formats = self._container.format.name
        promised = len(self._stream.index_entries)
        if "mp4" in formats and self.count < promised:
            return f"{self.count} of {promised} video packets are there"
        duration_s = (self._container.duration or 0) / 1_000_000
        # Headers round, and may count a stretch of silence.
        is_short = self._end_s < min(duration_s - 1.0, 0.95 * duration_s)
        if "matroska" in formats and is_short:
            return f"it ends at {self._end_s:.1f} s of {duration_s:.1f} s"
        lost = missing_bytes(self._path)
        return f"{lost} bytes are missing at its end" if lost else None


def is_flush(packet: Packet[Any]) -> bool:
    """Whether a packet only marks the end of a stream."""
    return packet.size == 0 and packet.dts is None
