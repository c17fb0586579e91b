"""When the samples of an MP4 are shown, computed from its boxes as ISO/IEC 14496-12 says."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

PARENTS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts"})


@dataclass(frozen=True)
class Track:
    """One track: what kind it is, when its samples are shown in seconds, when it ends."""

    handler: str
    shown: tuple[Fraction, ...]
    # When the edit list ends, and when the last sample does by its own duration.
    end: Fraction
    last: Fraction
    # Half a unit of the movie's clock, in which edits are counted.
    rounding: Fraction


def tracks_of(path: Path) -> list[Track]:
    """All tracks; an empty list for a file in fragments. ValueError if the boxes make no sense."""
    data = path.read_bytes()
    movie_scale, tracks = 0, []
    try:
        for name, body in _children(data, b"moov"):
            if name == b"mvex":
                return []
            if name == b"mvhd":
                (movie_scale,) = struct.unpack_from(">I", body, 20 if body[0] else 12)
            if name == b"trak":
                tracks.append(_track(body, movie_scale))
    except (struct.error, ArithmeticError, LookupError) as error:
        raise ValueError(f"{path}: its boxes cannot be read: {error}") from error
    return tracks


def _track(body: bytes, movie_scale: int) -> Track:
    boxes: dict[bytes, bytes] = {}
    for name, content in _leaves(body):
        boxes.setdefault(name, content)  # QuickTime has a second handler, of the data
    header = boxes[b"mdhd"]
    (scale,) = struct.unpack_from(">I", header, 20 if header[0] else 12)
    decode = list(_run_lengths(boxes[b"stts"], ">II"))
    shifts = list(_run_lengths(boxes.get(b"ctts", b""), ">Ii")) or [0] * len(decode)
    time, composed = 0, []
    for length, shift in zip(decode, shifts, strict=True):
        composed.append((time + shift, length))
        time += length
    composed.sort()
    edits = _edits(boxes.get(b"elst"))
    if not edits:
        edits = [(0, 0)]
    shown, end = _edited(composed, edits, scale, movie_scale)
    last = max((at + length for at, length in shown), default=Fraction(0))
    return Track(
        handler=boxes[b"hdlr"][8:12].decode("latin-1"),
        shown=tuple(at for at, _ in shown),
        end=end or last,
        last=last,
        rounding=Fraction(1, 2 * movie_scale),
    )


def _edited(
    composed: list[tuple[int, int]], edits: list[tuple[int, int]], scale: int, movie_scale: int
) -> tuple[list[tuple[Fraction, Fraction]], Fraction]:
    """Time and duration of the samples that begin within an edit; when the last edit ends."""
    shown, start = [], Fraction(0)
    for duration, media_time in edits:
        length = Fraction(duration, movie_scale)
        if media_time >= 0:
            # Edits end on the movie's coarser clock: a sample may begin up to half a unit later.
            limit = length + Fraction(1, 2 * movie_scale)
            for at, ticks in composed:
                offset = Fraction(at - media_time, scale)
                if offset >= 0 and (duration == 0 or offset < limit):
                    shown.append((start + offset, Fraction(ticks, scale)))
        start += length
    return shown, start


def _edits(box: bytes | None) -> list[tuple[int, int]]:
    if box is None:
        return []
    (count,) = struct.unpack_from(">I", box, 4)
    form, step = (">Qqhh", 20) if box[0] else (">Iihh", 12)
    rows = [struct.unpack_from(form, box, 8 + step * index) for index in range(count)]
    return [(duration, media_time) for duration, media_time, _, _ in rows]


def _run_lengths(box: bytes, form: str) -> Iterator[int]:
    if not box:
        return
    (count,) = struct.unpack_from(">I", box, 4)
    for index in range(count):
        number, value = struct.unpack_from(form, box, 8 + 8 * index)
        yield from (value for _ in range(number))


def _leaves(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    for name, body in _boxes(data):
        if name in PARENTS:
            yield from _leaves(body)
        else:
            yield name, body


def _children(data: bytes, parent: bytes) -> Iterator[tuple[bytes, bytes]]:
    for name, body in _boxes(data):
        if name == parent:
            yield from _boxes(body)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, place)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, place + 8)
            header = 16
        if size == 0:
            size = len(data) - place
        if size < header:
            return
        yield name, data[place + header : place + size]
        place += size
