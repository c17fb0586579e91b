"""``manifest.json``: what a bundle holds. Every number in it is bounded before use."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from runtime.atomic import written_beside
from runtime.errors import ModelFormatError

SCHEMA_VERSION = 1
NATIVE_MODEL = "model.native"
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
LARGEST_MANIFEST = 1 << 20
LARGEST_FILE = 256 << 20
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileEntry:
    """Digest and size of one file of a bundle."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """Facts about a bundle. ``channels`` is ``y`` or ``rgb``; the radius is in LR pixels.

    The sides of what a graph is given divide by ``size_multiple``.
    """

    model: str
    scale: int
    channels: str
    receptive_field_radius: int
    precisions: tuple[str, ...]
    default_precision: str
    files: dict[str, FileEntry]
    size_multiple: int = 1
    tileable: bool = True
    quality: dict[str, Any] = field(default_factory=dict)
    latency: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def channel_count(self) -> int:
        """Planes of a picture that the network takes."""
        return 3 if self.channels == "rgb" else 1

    @property
    def halo(self) -> int:
        """What a window needs around its core: the radius, in whole size multiples."""
        return self.padded(self.receptive_field_radius)

    def padded(self, length: int) -> int:
        """A length in LR pixels, or the next one that divides by the size multiple."""
        return -(-length // self.size_multiple) * self.size_multiple

    @property
    def digest(self) -> str:
        """Names the content of all files; 16 hexadecimal digits."""
        text = "\n".join(f"{name} {self.files[name].sha256}" for name in sorted(self.files))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def model_file(precision: str, *, twin: bool = False) -> str:
    """File name of a precision's graph; the float twin for deeper video with ``twin``."""
    return f"model.{precision}.f32.onnx" if twin else f"model.{precision}.onnx"


def file_entry(data: bytes) -> FileEntry:
    """Entry of a file with this content."""
    return FileEntry(hashlib.sha256(data).hexdigest(), len(data))


def write_manifest(bundle: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` into the folder, whole or not at all."""
    with written_beside(bundle / "manifest.json") as temporary:
        temporary.write_text(json.dumps(asdict(manifest), indent=2) + "\n")


def read_manifest(bundle: Path) -> Manifest:
    """Read and check the manifest of a bundle.

    Raises OSError if the folder or the manifest is missing, ModelFormatError if it is malformed.
    """
    path = bundle / "manifest.json"
    if not bundle.exists():
        raise FileNotFoundError(f"bundle {bundle} does not exist")
    if not path.is_file():
        raise ModelFormatError(f"{bundle} is not a bundle: it holds no manifest.json")
    size = path.stat().st_size
    if size > LARGEST_MANIFEST:
        raise ModelFormatError(f"{path} has {size} bytes, more than {LARGEST_MANIFEST}")
    try:
        values = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelFormatError(f"{path} is not valid JSON: {error}") from error
    try:
        return _manifest_from(values)
    except ModelFormatError as error:
        raise ModelFormatError(f"{path}: {error}") from error


def verify_file(bundle: Path, name: str, manifest: Manifest) -> bytes:
    """Content of a file of the bundle, after its size and digest were checked."""
    if name not in manifest.files:
        raise ModelFormatError(f"bundle {bundle} lists no file {name}")
    entry, path = manifest.files[name], bundle / name
    if not path.is_file():
        raise ModelFormatError(f"bundle {bundle} lacks its file {name}")
    if path.stat().st_size != entry.bytes:
        raise ModelFormatError(
            f"{path} has {path.stat().st_size} bytes, the manifest says {entry.bytes}; "
            "the bundle is damaged, build it again"
        )
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry.sha256:
        raise ModelFormatError(
            f"{path} has sha256 {digest[:12]}..., the manifest says {entry.sha256[:12]}...; "
            "the bundle is damaged, build it again"
        )
    return data


def _manifest_from(values: Any) -> Manifest:
    if not isinstance(values, dict):
        raise ModelFormatError(f"holds {type(values).__name__}, not an object")
    version = _whole(values, "schema_version", 0, 1 << 30)
    if version != SCHEMA_VERSION:
        raise ModelFormatError(f"schema version {version} is not {SCHEMA_VERSION}")
    precisions = values.get("precisions")
    if (
        not isinstance(precisions, list)
        or not precisions
        or not all(isinstance(p, str) and p in PRECISIONS for p in precisions)
        or len(set(precisions)) != len(precisions)
    ):
        raise ModelFormatError(f"precisions {precisions!r} must be some of {PRECISIONS}")
    manifest = Manifest(
        model=_text(values, "model"),
        scale=_whole(values, "scale", 2, 4),
        channels=_text(values, "channels"),
        receptive_field_radius=_whole(values, "receptive_field_radius", 0, 256),
        size_multiple=_whole(values, "size_multiple", 1, 64),
        tileable=values.get("tileable") is True,
        precisions=tuple(precisions),
        default_precision=_text(values, "default_precision"),
        files=_files(values.get("files")),
        quality=_object(values, "quality"),
        latency=_object(values, "latency"),
        provenance=_object(values, "provenance"),
    )
    if manifest.channels not in ("y", "rgb"):
        raise ModelFormatError(f"channels {manifest.channels!r} is not y or rgb")
    if manifest.default_precision not in manifest.precisions:
        raise ModelFormatError(f"default precision {manifest.default_precision!r} is not present")
    return manifest


def _files(values: Any) -> dict[str, FileEntry]:
    if not isinstance(values, dict) or len(values) > 64:
        raise ModelFormatError("files must be an object of at most 64 entries")
    files = {}
    for name, entry in values.items():
        if not _FILE_NAME.fullmatch(name) or not isinstance(entry, dict):
            raise ModelFormatError(f"file name {name[:120]!r} is not a plain name with an entry")
        digest = entry.get("sha256")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ModelFormatError(f"sha256 of {name} is not 64 hexadecimal digits")
        files[name] = FileEntry(digest, _whole(entry, "bytes", 0, LARGEST_FILE))
    return files


def _whole(values: dict[str, Any], key: str, low: int, high: int) -> int:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        shown = f"{value:.6g}" if isinstance(value, float) and math.isfinite(value) else value
        raise ModelFormatError(f"{key} {str(shown)[:40]} is not a whole number in {low}..{high}")
    return value


def _text(values: dict[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 100:
        raise ModelFormatError(f"{key} must be a text of 1 to 100 characters")
    return value


def _object(values: dict[str, Any], key: str) -> dict[str, Any]:
    value = values.get(key, {})
    if not isinstance(value, dict):
        raise ModelFormatError(f"{key} must be an object")
    return value
