"""Files that appear under their name whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_beside(path: Path, *, tag: str | None = None) -> Iterator[Path]:
    """Give a temporary name beside ``path``, which becomes ``path`` if the body succeeds.

    The suffix is the same, since encoders choose by it; the temporary file never stays, unless the
    process is killed. ``tag`` is part of the name: one of its own for each call if it is None.
    """
    partial = beside(path, uuid.uuid4().hex[:8] if tag is None else tag)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def beside(path: Path, tag: str) -> Path:
    """A hidden name in the same folder with the same suffix."""
    return path.with_name(f".{path.stem[:80]}.{tag}.partial{path.suffix}")
