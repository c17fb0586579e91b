"""Files changed byte by byte, where a muxer is too polite."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from clip_zoo import Sound, Spec, make


def cut(source: Path, share: float) -> Path:
    """Keep the first bytes of a file."""
    data = source.read_bytes()
    source.write_bytes(data[: int(len(data) * share)])
    return source


def patch(source: Path, change: Callable[[bytearray], None]) -> Path:
    """Change bytes of a file in place."""
    data = bytearray(source.read_bytes())
    change(data)
    source.write_bytes(data)
    return source


def move_edit(frames: int, ticks: int) -> Callable[[bytearray], None]:
    """Let the only edit of an MP4 begin ``frames`` frames of ``ticks`` later."""

    def change(data: bytearray) -> None:
        place = data.index(b"elst") + 4
        version, count = data[place], struct.unpack_from(">I", data, place + 4)[0]
        assert (version, count) == (0, 1)
        media_time = struct.unpack_from(">i", data, place + 12)[0]
        struct.pack_into(">i", data, place + 12, media_time + frames * ticks)

    return change


def punch(source: Path, number: int) -> Path:
    """Fill the packet of one frame, counted from 0, with zeros."""
    with av.open(str(source)) as container:
        sizes = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    place, size = sizes[number]

    def change(data: bytearray) -> None:
        data[place : place + size] = bytes(size)

    return patch(source, change)


def behead(source: Path, share: float, unit: int = 1) -> Path:
    """Leave out the first bytes of a file, in whole units."""
    data = source.read_bytes()
    source.write_bytes(data[int(len(data) * share) // unit * unit :])
    return source


def flip_bytes(first: float, last: float, count: int) -> Callable[[bytearray], None]:
    """Random bytes between two places, given as shares of the file."""

    def change(data: bytearray) -> None:
        rng = np.random.default_rng(3)
        places = rng.integers(int(len(data) * first), int(len(data) * last), count)
        for place in places:
            data[place] ^= int(rng.integers(1, 256))

    return change


def with_second_video(source: Path) -> Path:
    """A Matroska file whose second video is the larger one, with sound."""
    other = make(source.parent, Spec(sounds=(Sound(),)), "larger")
    target = source.with_name("two.mkv")
    with av.open(str(source)) as a, av.open(str(other)) as b, av.open(str(target), "w") as new:
        packets = []
        for container in (a, b):
            copies = [new.add_stream_from_template(stream) for stream in container.streams]
            for packet in container.demux():
                if packet.dts is not None:
                    packets.append((packet.dts * packet.time_base, len(packets), packet))
                    packet.stream = copies[packet.stream_index]
        for _, _, packet in sorted(packets):
            new.mux(packet)
    return target


def put(old: bytes, new: bytes) -> Callable[[bytearray], None]:
    """Replace bytes by as many others."""

    def change(data: bytearray) -> None:
        assert len(old) == len(new)
        assert old in data
        data[:] = data.replace(old, new)

    return change


def ticks_of(nanoseconds: int) -> Callable[[bytearray], None]:
    """Let a Matroska file count in other ticks than milliseconds."""
    old = b"\x2a\xd7\xb1\x83" + (1_000_000).to_bytes(3, "big")
    return put(old, old[:4] + nanoseconds.to_bytes(3, "big"))


def aspect_of(width: int, height: int) -> Callable[[bytearray], None]:
    """Let an MP4 claim pixels of another shape."""

    def change(data: bytearray) -> None:
        struct.pack_into(">II", data, data.index(b"pasp") + 4, width, height)

    return change


def repeat_edit(data: bytearray) -> None:
    """Instead of nothing, show frames 5 and 6 before the whole."""
    place = data.index(b"elst") + 8
    count, _, media_time = struct.unpack_from(">Iii", data, place)
    assert (count, media_time) == (2, -1)
    struct.pack_into(">i", data, place + 8, 5 * 512)


def shorten_edit(data: bytearray) -> None:
    """Let every edit end after three quarters of its length."""
    place = -1
    while (place := data.find(b"elst", place + 1)) >= 0:
        at = place + 12
        length = int.from_bytes(data[at : at + 4], "big")
        data[at : at + 4] = (length * 3 // 4).to_bytes(4, "big")
