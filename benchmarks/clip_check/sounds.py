"""Whether copied sound decodes to the same samples: packets alone do not show a lost header."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av

from clip_check.facts import open_clip

# A container that cannot hide a lead-in plays it; another hides it, or the end.
EDGE = 4096


def compare_sound(source: Path, old: int, target: Path, new: int) -> Iterator[str]:
    """Lines about a stream whose samples differ."""
    before, step = samples(source, old)
    after, _ = samples(target, new)
    edge = EDGE * step
    inner = before[edge:-edge] if len(before) > 4 * edge else before
    if inner and inner not in after:
        found, wanted = len(after) // max(step, 1), len(before) // max(step, 1)
        yield f"decodes to other samples ({found}, were {wanted})"


def samples(path: Path, index: int) -> tuple[bytes, int]:
    """All samples of a stream, channels interleaved, and the bytes of one instant."""
    parts, step = [], 0
    with open_clip(path) as container:
        for packet in container.demux(container.streams[index]):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue  # the same packets fail in both
            for frame in frames:
                planes = frame.to_ndarray()
                block = planes.T if frame.format.is_planar else planes
                parts.append(block.tobytes())
                step = len(frame.layout.channels) * frame.format.bytes
    return b"".join(parts), step
