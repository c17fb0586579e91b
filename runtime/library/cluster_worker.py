"""What the processes of a cluster do: open an engine once, then encode parts of videos.

Nothing here knows how the work comes to them.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from runtime.atomic import written_beside
from runtime.library.workplace import EngineFacts, EngineOptions, facts_of, upscaled_picture
from runtime.manifest import read_manifest, verify_file
from runtime.picture import encode_picture
from runtime.upscaler import Upscaler
from runtime.video.pipeline import VideoJob, encode_segments, fingerprint
from runtime.video.segments import EncodedPacket, SegmentEnd

MANIFEST = "manifest.json"

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")

# Of this process.
_engines: dict[EngineOrder, Upscaler] = {}


@dataclass(frozen=True)
class PackedBundle:
    """All files of a bundle; equal to another if their digests are."""

    digest: str
    name: str = field(compare=False)
    files: tuple[tuple[str, bytes], ...] = field(compare=False)


def pack_bundle(bundle: Path) -> PackedBundle:
    """Read a bundle, checking its files. Raises OSError or ModelFormatError."""
    manifest = read_manifest(bundle)
    files = [(name, verify_file(bundle, name, manifest)) for name in sorted(manifest.files)]
    files.append((MANIFEST, (bundle / MANIFEST).read_bytes()))
    digest = hashlib.sha256()
    for name, data in files:
        digest.update(f"{name} {len(data)}\n".encode() + data)
    return PackedBundle(digest.hexdigest()[:16], bundle.name, tuple(files))


def unpack_bundle(bundle: PackedBundle, folder: Path | None = None) -> Path:
    """Write a bundle below ``folder``, by default the user's cache; what is there stays."""
    path = (folder or default_folder()) / bundle.digest / bundle.name
    path.mkdir(parents=True, exist_ok=True)
    for name, data in bundle.files:
        file = path / name
        if not (file.is_file() and file.read_bytes() == data):
            with written_beside(file) as partial:
                partial.write_bytes(data)
    return path


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/edge-sr/bundles``, in ``~/.cache`` if that is not set."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "edge-sr" / "bundles"


@dataclass(frozen=True)
class EngineOrder:
    """An engine to work with."""

    bundle: PackedBundle
    options: EngineOptions


@dataclass(frozen=True)
class Expected:
    """What must be the same in all processes that work on an output."""

    engine: EngineFacts
    pyav: str


@dataclass(frozen=True)
class InputFile:
    """A file as whoever gave the order sees it."""

    path: Path
    fingerprint: str


@dataclass(frozen=True)
class EncodedSegment:
    """A whole segment."""

    number: int
    packets: list[EncodedPacket]
    end: SegmentEnd


class SegmentList:
    """Keeps segments in memory; a SegmentSink."""

    def __init__(self) -> None:
        self._packets: dict[int, list[EncodedPacket]] = {}
        self.finished: list[EncodedSegment] = []

    def add(self, segment: int, packets: Sequence[EncodedPacket]) -> None:
        """Keep packets of an unfinished segment."""
        self._packets.setdefault(segment, []).extend(packets)

    def finish(self, segment: int, end: SegmentEnd) -> None:
        """All packets of a segment are there."""
        self.finished.append(EncodedSegment(segment, self._packets.pop(segment, []), end))


def returns_errors(
    function: Callable[Parameters, Value],
) -> Callable[Parameters, Value | Exception]:
    """Return an error of the input or the engine, which would come again, instead of raising it."""

    @wraps(function)
    def run(*args: Parameters.args, **options: Parameters.kwargs) -> Value | Exception:
        try:
            return function(*args, **options)
        except (OSError, ValueError, RuntimeError) as error:
            return error

    return run


@returns_errors
def describe_engine(order: EngineOrder) -> Expected:
    """Open an engine; what it is decides what the others have to be."""
    import av

    return Expected(facts_of(_engine(order)), av.__version__)


@returns_errors
def encode_part(
    order: EngineOrder, expected: Expected, file: InputFile, job: VideoJob, segments: range
) -> list[EncodedSegment]:
    """Upscale and encode consecutive segments of a video."""
    upscaler = _checked(order, expected)
    _check_input(file)
    sink = SegmentList()
    encode_segments(job, segments, upscaler, sink)
    return sink.finished


@returns_errors
def picture_content(
    order: EngineOrder, expected: Expected, file: InputFile, target: Path
) -> tuple[bytes, int, int]:
    """Upscale a picture; what ``target`` has to hold, and its width and height."""
    upscaler = _checked(order, expected)
    _check_input(file)
    sr = upscaled_picture(upscaler, file.path, target)
    return encode_picture(target, sr), sr.shape[1], sr.shape[0]


def _engine(order: EngineOrder) -> Upscaler:
    """The engine of this process, opened once."""
    if order not in _engines:
        _engines[order] = order.options.open(unpack_bundle(order.bundle))
    return _engines[order]


def _checked(order: EngineOrder, expected: Expected) -> Upscaler:
    import av

    upscaler = _engine(order)
    found = Expected(facts_of(upscaler), av.__version__)
    if found != expected:
        raise RuntimeError(
            f"worker {platform.node()} has {_described(found)}, the first one has "
            f"{_described(expected)}; install the same on all, or pass --backend, --precision and "
            "--device that all have"
        )
    return upscaler


def _described(expected: Expected) -> str:
    return f"{expected.engine.identity['engine']} and PyAV {expected.pyav}"


def _check_input(file: InputFile) -> None:
    if not file.path.is_file():
        raise FileNotFoundError(
            f"{file.path} is not there on worker {platform.node()}; inputs must lie in a folder "
            "that all workers see under the same path"
        )
    found = fingerprint(file.path)
    if found != file.fingerprint:
        raise ValueError(
            f"{file.path} is another file on worker {platform.node()}: {found}, not "
            f"{file.fingerprint}"
        )
