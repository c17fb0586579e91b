"""The bundle folder: complete under its name, or not there."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx

from edge_sr.models.spec import ModelSpec
from export.graph import encode
from export.heads import with_uint8_io
from runtime.manifest import FileEntry, Manifest, file_entry, model_file


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place when the block ends well.

    After an error or an interrupt nothing is left and an older bundle is as it was. A request to
    terminate counts as an interrupt. OSError if the place is not writable.
    """
    stage = out.with_name(f".{out.name}.{os.getpid()}.part")
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    with termination_as_interrupt():
        shutil.rmtree(stage, ignore_errors=True)
        try:
            stage.mkdir()
        except OSError as error:
            raise OSError(f"cannot write into {out.absolute().parent}: {error.strerror}") from error
        try:
            yield stage
            _swap(stage, out, old)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
            if out.exists():
                shutil.rmtree(old, ignore_errors=True)


def _swap(stage: Path, out: Path, old: Path) -> None:
    had_one = out.exists()
    if had_one:
        out.rename(old)
    try:
        stage.rename(out)
    except BaseException:
        if had_one:
            old.rename(out)
        raise


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that what it began is taken back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def write_graphs(folder: Path, precision: str, twin: onnx.ModelProto) -> dict[str, FileEntry]:
    """Write a precision's float twin and its byte form; both are checked once more."""
    files = {}
    for name, model in (
        (model_file(precision), with_uint8_io(twin)),
        (model_file(precision, twin=True), twin),
    ):
        onnx.checker.check_model(model, full_check=True)
        files[name] = write_file(folder, name, encode(model))
    return files


def write_file(folder: Path, name: str, data: bytes) -> FileEntry:
    """Write a file of the bundle; returns its manifest entry."""
    (folder / name).write_bytes(data)
    return file_entry(data)


def manifest_of(
    spec: ModelSpec,
    precisions: tuple[str, ...],
    default_precision: str,
    files: dict[str, FileEntry],
    *,
    measured: Mapping[str, dict[str, Any]] | None = None,
) -> Manifest:
    """A manifest; ``measured`` may hold quality, latency and provenance."""
    measured = measured or {}
    return Manifest(
        model=spec.name,
        scale=spec.scale,
        channels=spec.channels,
        receptive_field_radius=spec.receptive_field_radius,
        precisions=precisions,
        default_precision=default_precision,
        files=files,
        size_multiple=spec.size_multiple,
        tileable=spec.tileable,
        quality=measured.get("quality", {}),
        latency=measured.get("latency", {}),
        provenance=measured.get("provenance", {}),
    )


def folder_bytes(folder: Path) -> int:
    """Total size of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
