"""How much of a file is missing by its own account of its length."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

EBML_HEADER, MATROSKA_SEGMENT = 0x1A45DFA3, 0x18538067


def missing_bytes(path: Path) -> int:
    """Bytes that the head of an AVI, Matroska or WebM file promises and the file does not have.

    0 for other files, and for those that were written without knowing their length.
    """
    length = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) == b"RIFF":
            promised = 8 + int.from_bytes(file.read(4), "little")
        else:
            file.seek(0)
            promised = _matroska_length(file) or 0
    return max(promised - length, 0)


def _matroska_length(file: BinaryIO) -> int | None:
    header = _element(file)
    if header is None or header[0] != EBML_HEADER or header[1] is None:
        return None
    file.seek(header[1], 1)
    segment = _element(file)
    if segment is None or segment[0] != MATROSKA_SEGMENT or segment[1] is None:
        return None
    return file.tell() + segment[1]


def _element(file: BinaryIO) -> tuple[int, int | None] | None:
    """Number and size of an EBML element (RFC 8794); the size is None where it is unknown."""
    number = _variable(file, keeps_marker=True)
    size = _variable(file, keeps_marker=False)
    if number is None or size is None:
        return None
    value, width = size
    return number[0], None if value == (1 << 7 * width) - 1 else value


def _variable(file: BinaryIO, *, keeps_marker: bool) -> tuple[int, int] | None:
    """An integer of 1 to 8 bytes, whose first tells how many, and that number."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(width - 1), "big")
    return (value if keeps_marker else value - (1 << 7 * width)), width
