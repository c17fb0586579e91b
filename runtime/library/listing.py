"""What a folder or a playlist holds to upscale, and what its outputs are called."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runtime.picture import PICTURE_SUFFIXES
from runtime.video.encoder import VIDEO_SUFFIXES

# Of videos that are looked for in a folder; one that is named may have any other.
KNOWN_VIDEO_SUFFIXES = frozenset(
    {".3g2", ".3gp", ".avi", ".divx", ".dv", ".f4v", ".flv", ".h264", ".h265", ".hevc", ".ivf"}
    | {".m2t", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf"}
    | {".nut", ".obu", ".ogm", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"}
)
PLAYLIST_SUFFIXES = frozenset({".m3u", ".m3u8", ".txt"})
LARGEST_PLAYLIST = 64 << 20
# Tags of HTTP Live Streaming: the lines are parts of one video, not videos.
STREAM_TAG = "#EXT-X-"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

Kind = Literal["picture", "video"]


@dataclass(frozen=True)
class LibraryItem:
    """One file to upscale."""

    source: Path
    target: Path
    # As the folder or the list has it.
    name: str
    kind: Kind


@dataclass(frozen=True)
class Library:
    """All that is to be upscaled; ``ignored`` counts files of other kinds."""

    items: tuple[LibraryItem, ...]
    ignored: int
    notes: tuple[str, ...]


def kind_of_file(path: Path) -> Kind:
    """What is no picture by its suffix is tried as video."""
    return "picture" if path.suffix.lower() in PICTURE_SUFFIXES else "video"


def is_playlist(path: Path) -> bool:
    """Whether a file names files to upscale, one a line."""
    if path.suffix.lower() not in PLAYLIST_SUFFIXES:
        return False
    if not path.is_file():
        return True
    with path.open("rb") as file:
        return STREAM_TAG.encode() not in file.read(1 << 16)


def list_folder(folder: Path, output: Path, container: str) -> Library:
    """Pictures and videos below a folder, sorted by path, but not those below ``output``.

    Hidden files are ignored. ``container`` is the suffix of outputs whose input has one that cannot
    be written. Raises OSError if the folder cannot be read, ValueError if it holds neither.
    """
    inside = output.absolute()
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and inside not in path.absolute().parents
    ]
    known = PICTURE_SUFFIXES | KNOWN_VIDEO_SUFFIXES
    found = [p for p in files if p.suffix.lower() in known and not p.name.startswith(".")]
    if not found:
        raise ValueError(
            f"{folder} holds no picture or video; looked for {' '.join(sorted(known))}"
        )
    entries = {path: path.relative_to(folder) for path in found}
    return _library(entries, output, container, ignored=len(files) - len(found))


def read_playlist(path: Path, output: Path, container: str) -> Library:
    """The files that a playlist names, relative to where it lies; pictures first.

    One below the folder of the list keeps its place there, any other its name alone. A file that is
    named twice is done once. Raises OSError if the list cannot be read, ValueError for what is not
    a list of local files.
    """
    if path.stat().st_size > LARGEST_PLAYLIST:
        raise ValueError(f"{path} has more than {LARGEST_PLAYLIST} bytes; it is no playlist")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error.reason}") from error
    entries: dict[Path, Path] = {}
    notes = []
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        if _URL.match(entry):
            raise ValueError(f"{path}, line {number}: {entry} is a URL; only files are read")
        if "\0" in entry:
            raise ValueError(f"{path}, line {number} holds a zero byte; it is no playlist")
        source = path.parent / entry
        if source in entries:
            notes.append(f"{entry} is named again in line {number}; it is done once")
        entries[source] = Path(entry)
    if not entries:
        raise ValueError(f"{path} names no file")
    return _library(entries, output, container, notes=notes)


def _library(
    entries: Mapping[Path, Path],
    output: Path,
    container: str,
    *,
    ignored: int = 0,
    notes: Sequence[str] = (),
) -> Library:
    """Items with outputs that differ from each other and from all inputs."""
    own = {source: _relative(entry) for source, entry in entries.items()}
    wanted = {source: _written(name, container) for source, name in own.items()}
    names: dict[Path, Path] = {}
    taken: set[Path] = set()
    # Who keeps its name comes before who would take it from another.
    for source in sorted(entries, key=lambda source: wanted[source] != own[source]):
        names[source] = _unique(wanted[source], taken)
        taken.add(names[source])
    items = [
        LibraryItem(source, output / names[source], str(entry), kind_of_file(source))
        for source, entry in entries.items()
    ]
    _check_outputs(items)
    renamed = [f"{own[s]} becomes {names[s]}" for s in entries if names[s] != own[s]]
    ordered = sorted(items, key=lambda item: item.kind)
    return Library(tuple(ordered), ignored, (*notes, *renamed))


def _relative(entry: Path) -> Path:
    """Where an output lies below the output folder."""
    is_below = not entry.is_absolute() and ".." not in entry.parts
    return entry if is_below else Path(entry.name)


def _written(name: Path, container: str) -> Path:
    if kind_of_file(name) == "picture" or name.suffix.lower() in VIDEO_SUFFIXES:
        return name
    return name.with_suffix(container)


def _unique(wanted: Path, taken: Container[Path]) -> Path:
    name, number = wanted, 2
    while name in taken:
        name = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        number += 1
    return name


def _check_outputs(items: Iterable[LibraryItem]) -> None:
    sources = {item.source.resolve() for item in items}
    for item in items:
        if item.target.resolve() in sources:
            raise ValueError(f"{item.target} is an input itself; name another output folder")
