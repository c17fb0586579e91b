"""Bytes from and to pipes, which come in pieces and may end at any place."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from runtime.atomic import written_beside

STANDARD = Path("-")
# How often a waiting reader looks whether it is still wanted.
POLL_S = 0.1


class ByteReader:
    """Reads exact amounts from a file or pipe; ``stop`` ends a wait from another thread."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._file = file
        self._stopped = threading.Event()

    def read(self, size: int) -> bytes:
        """``size`` bytes, fewer at the end only. Raises OSError if the file cannot be read."""
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size:
            count = os.readv(self._file.fileno(), [view[filled:]]) if self._is_ready() else 0
            if not count:
                break
            filled += count
        return bytes(view[:filled])

    def read_line(self, limit: int) -> bytes:
        """Bytes up to the end of the line or of the file, or ``limit`` of them."""
        line = bytearray()
        while len(line) < limit and not line.endswith(b"\n"):
            byte = self.read(1)
            if not byte:
                break
            line += byte
        return bytes(line)

    def stop(self) -> None:
        """Let a waiting ``read`` end as at the end of the file."""
        self._stopped.set()

    def _is_ready(self) -> bool:
        while not self._stopped.is_set():
            if select.select([self._file], [], [], POLL_S)[0]:
                return True
        return False


@contextmanager
def byte_reader(path: Path) -> Iterator[ByteReader]:
    """Open a file, or stdin for ``-``. Raises OSError, ValueError if stdin is a terminal."""
    if path != STANDARD:
        with path.open("rb", buffering=0) as file:
            yield ByteReader(file, str(path))
        return
    if sys.stdin is None or os.isatty(0):
        raise ValueError(
            "stdin is a terminal; pipe video into it, for example: "
            "ffmpeg -i IN -f yuv4mpegpipe -strict -1 - | python -m runtime.upscale - OUT"
        )
    with open(0, "rb", buffering=0, closefd=False) as file:
        yield ByteReader(file, "stdin")


@contextmanager
def byte_writer(path: Path) -> Iterator[BinaryIO]:
    """A file that appears whole or not at all, or stdout for ``-``; write with ``write_all``.

    Raises OSError, ValueError if stdout is a terminal.
    """
    if path != STANDARD:
        with written_beside(path) as partial, partial.open("wb", buffering=0) as file:
            yield file
        return
    if sys.stdout is None or os.isatty(1):
        raise ValueError("stdout is a terminal; pipe it on, for example to: mpv -")
    with open(1, "wb", buffering=0, closefd=False) as file:
        yield file


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write everything; an unbuffered file may take a part at a time."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
