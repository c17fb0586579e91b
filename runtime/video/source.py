"""What an output takes from its input besides the frames: streams, covers, chapters, tags."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.closeable import Closeable
from runtime.video.probe import ATTACHED_PICTURE, av_errors, fraction_of, open_video
from runtime.video.timeline import is_flush

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream

COPIED_TYPES = frozenset({"audio", "subtitle"})
# What a muxer writes itself, or what was true of the source file alone.
DROPPED_TAGS = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id"}
)
# How FFmpeg reads a date of 0.
NO_DATE = "1970-01-01T00:00:00"
STATISTICS_PREFIXES = ("bps", "number_of_", "_statistics_", "duration-")
# Their clock starts anywhere, often hours from 0; players begin at its first time.
CLOCK_FORMATS = frozenset({"mpegts", "mpeg"})
# Packets among which the first of each stream is looked for.
MAX_SEARCHED = 2000
NON_NEGATIVE_SUFFIXES = frozenset({".mkv", ".webm"})


@dataclass(frozen=True)
class Cover:
    """A picture of the whole file."""

    stream: Stream
    data: bytes

    @property
    def media_type(self) -> str:
        """As attachments name it."""
        name = self.stream.codec_context.name
        return "image/jpeg" if name == "mjpeg" else f"image/{name}"

    @property
    def file_name(self) -> str:
        """As attachments have it."""
        suffix = self.media_type.rpartition("/")[2].replace("jpeg", "jpg")
        return self.stream.metadata.get("filename", f"cover.{suffix}")


class SourceFile(Closeable):
    """An input, open for all that is copied; a context manager. Raises as ``open_video``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container, self._main = open_video(path)

    @property
    def main(self) -> Stream:
        """The stream that is upscaled."""
        return self._main

    @property
    def has_clock(self) -> bool:
        """Whether its times count from anywhere."""
        return self._container.format.name in CLOCK_FORMATS

    @property
    def streams(self) -> list[Stream]:
        """All streams in their order."""
        return list(self._container.streams)

    def carried(self, suffix: str) -> list[Stream]:
        """The upscaled stream and those to copy to an output of this suffix, in their order."""
        kinds = COPIED_TYPES | ({"attachment"} if suffix.lower() == ".mkv" else set())
        return [
            stream
            for stream in self._container.streams
            if stream.type in kinds or stream.index == self._main.index
        ]

    def covers(self) -> list[Cover]:
        """Pictures that are shown for the file."""
        pictures = [item for item in self.streams if item.disposition & ATTACHED_PICTURE]
        found: dict[int, Cover] = {}
        if not pictures:
            return []
        container, _ = open_video(self._path)
        with container, av_errors(f"{self._path} cannot be read"):
            for packet in container.demux():
                if packet.stream.index in (item.index for item in pictures) and packet.size:
                    stream = self._container.streams[packet.stream.index]
                    found.setdefault(stream.index, Cover(stream, bytes(packet)))
                if len(found) == len(pictures):
                    break
        return list(found.values())

    def time_shift(self, suffix: str) -> Fraction:
        """Seconds to add to all times: a clock begins at 0, and Matroska holds none before it."""
        starts = self._first_times({stream.index for stream in self.carried(suffix)})
        first = min(starts, default=Fraction(0))
        is_late = first < 0 and suffix.lower() in NON_NEGATIVE_SUFFIXES
        return -first if self.has_clock or is_late else Fraction(0)

    def _first_times(self, indices: set[int]) -> list[Fraction]:
        """When each of these streams begins, by its header and by its first packet."""
        times, waiting = [], set(indices)
        for stream in self.streams:
            tick = fraction_of(stream.time_base)
            if stream.index in indices and stream.start_time is not None and tick:
                times.append(stream.start_time * tick)
        container, _ = open_video(self._path)
        with container, av_errors(f"{self._path} cannot be read"):
            for packet, _ in zip(container.demux(), range(MAX_SEARCHED), strict=False):
                tick = fraction_of(packet.time_base)
                if packet.stream.index in waiting and packet.pts is not None and tick:
                    waiting.discard(packet.stream.index)
                    times.append(packet.pts * tick)
                if not waiting:
                    break
        return times

    def chapters(self, shift: Fraction) -> list[Any]:
        """Chapters with moved times."""
        moved = []
        for chapter in self._container.chapters():
            ticks = round(shift / (fraction_of(chapter["time_base"]) or Fraction(1)))
            times = {key: chapter[key] + ticks for key in ("start", "end")}
            moved.append({**chapter, **times})
        return moved

    def tags(self) -> dict[str, str]:
        """Metadata of the whole file that an output keeps."""
        return kept_tags(self._container.metadata)

    def packets(self, indices: Container[int]) -> Iterator[Packet[Any]]:
        """Packets of some streams, unchanged, in their order."""
        streams = [stream for stream in self.streams if stream.index in indices]
        if not streams:
            return
        with av_errors(f"{self._path} cannot be read"):
            yield from _with_durations(p for p in self._container.demux(streams) if not is_flush(p))

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def _with_durations(packets: Iterator[Packet[Any]]) -> Iterator[Packet[Any]]:
    """Sound of unknown length lasts until the next of its stream, the last as long as that before.

    Without it an MP4 would end before its last packet.
    """
    waiting: dict[int, Packet[Any]] = {}
    lengths: dict[int, int] = {}
    for packet in packets:
        index = packet.stream.index
        before = waiting.pop(index, None)
        if before is not None:
            if packet.pts is not None and before.pts is not None:
                lengths[index] = before.duration = max(packet.pts - before.pts, 0)
            yield before
        if packet.stream.type == "audio" and not packet.duration and packet.pts is not None:
            waiting[index] = packet
        else:
            yield packet
    for index, packet in waiting.items():
        packet.duration = lengths.get(index, 0)
        yield packet


def labels_of(stream: Stream) -> dict[str, str]:
    """What a stream is called and marked as, in words such as ``tag title`` and their values."""
    from av.stream import Disposition

    marks = {f"disposition {flag.name}": "" for flag in Disposition if stream.disposition & flag}
    return {f"tag {key}": value for key, value in stream_tags(stream).items()} | marks


def stream_tags(stream: Stream) -> dict[str, str]:
    """Metadata of a stream that an output keeps."""
    tags = kept_tags(stream.metadata)
    if "name" in tags:  # how FFmpeg reads the title of a track of an MP4
        tags.setdefault("title", tags["name"])
    return tags


def kept_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags without those that are true of the input file alone."""
    return {
        key: value
        for key, value in tags.items()
        if key.lower() not in DROPPED_TAGS
        and not key.lower().startswith(STATISTICS_PREFIXES)
        and not (key.lower() == "creation_time" and value.startswith(NO_DATE))
    }


def packet_time(packet: Packet[Any]) -> Fraction:
    """When a packet is to be decoded, in seconds."""
    stamp = packet.pts if packet.dts is None else packet.dts
    return Fraction(0) if stamp is None else stamp * packet.time_base
