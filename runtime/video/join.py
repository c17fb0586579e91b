"""Finished segments and the other streams of the source, put together to the output."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.atomic import beside
from runtime.video.color import RANGE_UNSPECIFIED, UNSPECIFIED
from runtime.video.encoder import EncodeOptions
from runtime.video.journal import Journal
from runtime.video.probe import VideoInfo, av_errors, open_video, probe
from runtime.video.timeline import is_flush, read_timeline
from runtime.video.writer import VideoWriter

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet

MAX_ROUNDING_S = Fraction(1, 1000)
MAX_ASPECT_ERROR = 1e-3
COPIED_TYPES = frozenset({"audio", "subtitle"})


def join_segments(
    journal: Journal, source: Path, target: Path, info: VideoInfo, options: EncodeOptions
) -> tuple[str, ...]:
    """Write ``target`` from a complete journal; returns what a viewer should know about it.

    Raises OSError if it cannot be written, ValueError if the segments do not fit together.
    """
    container, stream = open_video(source)
    with (
        container,
        VideoWriter(target, info, options, source=container, stream_index=stream.index) as writer,
    ):
        _check_headers(journal, writer)
        copies = _Copies(container, writer)
        order = journal.times()
        for packet, dts in zip(journal.packets(), decoding_times(order), strict=True):
            copies.write_until(dts * info.time_base)
            writer.write_encoded(packet, dts)
        copies.write_until(None)
        return tuple(writer.notes)


def check_writable(source: Path, target: Path, info: VideoInfo, options: EncodeOptions) -> None:
    """Raise what would keep :func:`join_segments` from writing ``target``, before any work."""
    container, stream = open_video(source)
    trial = beside(target, "trial")
    try:
        with container:
            VideoWriter(trial, info, options, source=container, stream_index=stream.index).abandon()
    finally:
        trial.unlink(missing_ok=True)


def check_written(target: Path, info: VideoInfo, times: Sequence[int]) -> tuple[str, ...]:
    """Read a finished file back; returns notes on what it does not keep.

    ``times`` are those of all frames, in order. Raises RuntimeError if frames are missing, or have
    another size or other times than the container's rounding explains.
    """
    written, timeline = probe(target), read_timeline(target)
    shown = timeline.pts or ()
    if len(shown) != len(times):
        raise RuntimeError(f"{len(shown)} of {len(times)} written frames can be read back")
    tick = written.time_base
    for place, pts in enumerate(times):
        late = (shown[place] - shown[0]) * tick - (pts - times[0]) * info.time_base
        if abs(late) > tick:
            raise RuntimeError(f"frame {place + 1} reads back {float(late):+.4f} s off its time")
    if (written.size, written.layout.bit_depth) != (info.size, info.layout.bit_depth):
        raise RuntimeError(
            f"frames read back as {written.width}x{written.height} of {written.layout.bit_depth} "
            f"bits, not {info.width}x{info.height} of {info.layout.bit_depth}"
        )
    lost = [name for name, kept in _kept_tags(info, written).items() if not kept]
    moved = written.start - info.start
    notes = [f"{target.suffix} does not keep {', '.join(lost)} of this video"] if lost else []
    if abs(moved) > MAX_ROUNDING_S:
        # A lead-in of the sound; MP4 hides it by an edit list, Matroska cannot.
        notes.append(
            f"all times moved by {float(moved):+.3f} s, as a copied stream begins before 0, which "
            "this container cannot hold; write .mp4 to keep them"
        )
    return tuple(notes)


def _kept_tags(info: VideoInfo, written: VideoInfo) -> dict[str, bool]:
    """Whether what was asked for is in the file, by the name of the tag."""
    wanted, found = info.colors, written.colors
    kept = {
        name: getattr(wanted, name) in (UNSPECIFIED, getattr(found, name))
        for name in ("matrix", "primaries", "transfer")
    }
    kept["range"] = wanted.sample_range in (RANGE_UNSPECIFIED, found.sample_range)
    aspect, aspect_found = info.aspect or Fraction(1), written.aspect or Fraction(1)
    kept["sample aspect ratio"] = abs(aspect_found / aspect - 1) < MAX_ASPECT_ERROR
    kept["rotation"] = info.display_matrix == written.display_matrix
    return kept


def decoding_times(order: Sequence[int]) -> Iterator[int]:
    """Decoding times for packets whose times are given in the order of decoding.

    Each is the time of the frame that is shown as many frames earlier as the deepest reordering
    needs, so that they grow and none is after the time of its own frame.
    """
    shown = sorted(order)
    depth = max((place - bisect_left(shown, pts) for place, pts in enumerate(order)), default=0)
    lead = shown[min(depth, len(shown) - 1)] - shown[0] if shown else 0
    yield from (pts - lead for pts in shown[:depth])
    yield from shown[: len(shown) - depth]


class _Copies:
    """Packets of the streams that are copied, handed on up to a time."""

    def __init__(self, container: InputContainer, writer: VideoWriter) -> None:
        self._writer = writer
        streams = [stream for stream in container.streams if stream.type in COPIED_TYPES]
        self._packets = _packets(container, streams)
        self._next = next(self._packets, None)

    def write_until(self, time: Fraction | None) -> None:
        """Write all packets up to a time in seconds, or all that are left."""
        while self._next is not None and (time is None or _time_of(self._next) <= time):
            self._writer.copy([self._next])
            self._next = next(self._packets, None)


def _packets(container: InputContainer, streams: Sequence[Any]) -> Iterator[Packet[Any]]:
    if not streams:
        return
    with av_errors(f"{container.name} cannot be read"):
        yield from (packet for packet in container.demux(streams) if not is_flush(packet))


def _time_of(packet: Packet[Any]) -> Fraction:
    stamp = packet.pts if packet.dts is None else packet.dts
    return Fraction(0) if stamp is None else stamp * packet.time_base


def _check_headers(journal: Journal, writer: VideoWriter) -> None:
    """Players take one header for the whole video."""
    for number, end in journal.finished().items():
        if end.frames and end.extradata != writer.extradata:
            raise ValueError(
                f"segment {number} of {journal.path} was encoded with other settings than this "
                f"{writer.encoder} has; pass --overwrite to begin anew"
            )
