"""Input and output paths that cannot work, refused before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def check_input(source: Path, target: Path) -> None:
    """Raises OSError if ``source`` is missing, ValueError if ``target`` is the same file."""
    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist")
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target} is the input itself; name another output")


def check_output(kind: str, target: Path, suffixes: Iterable[str], *, overwrite: bool) -> None:
    """Refuse a file that a ``kind`` cannot be written to. Raises OSError or ValueError."""
    if target.suffix.lower() not in suffixes:
        raise ValueError(
            f"{target} does not end in one of {' '.join(sorted(suffixes))}, as a {kind} must"
        )
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; name a file")
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists; pass --overwrite to replace it")
    if not target.absolute().parent.is_dir():
        raise FileNotFoundError(f"folder {target.parent} does not exist")
