"""Finished segments and the other streams of the source, put together to the output."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.atomic import beside
from runtime.video.encoder import EncodeOptions
from runtime.video.journal import Journal
from runtime.video.probe import VideoInfo, av_errors, open_video
from runtime.video.timeline import is_flush
from runtime.video.writer import VideoWriter

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet

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


def check_output(source: Path, target: Path, info: VideoInfo, options: EncodeOptions) -> None:
    """Raise what would keep :func:`join_segments` from writing ``target``, before any work."""
    container, stream = open_video(source)
    trial = beside(target, "trial")
    try:
        with container:
            VideoWriter(trial, info, options, source=container, stream_index=stream.index).abandon()
    finally:
        trial.unlink(missing_ok=True)


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
