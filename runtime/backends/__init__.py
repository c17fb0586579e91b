"""Backends by name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from runtime.backends.base import Backend, BackendInfo
from runtime.backends.native import NativeBackend
from runtime.backends.onnxruntime import OnnxRuntimeBackend
from runtime.errors import UnsupportedError
from runtime.manifest import Manifest

# In the order in which ``auto`` tries them: the fastest on a CPU first.
BACKENDS: dict[str, Callable[..., Backend]] = {
    "native": NativeBackend,
    "onnxruntime": OnnxRuntimeBackend,
}

_log = logging.getLogger("edge_sr.runtime")


def open_backend(
    name: str,
    bundle: Path,
    manifest: Manifest,
    *,
    precision: str,
    threads: int = 0,
    device: str = "auto",
) -> Backend:
    """Open an engine by backend name; ``auto`` takes the first that works, in BACKENDS' order.

    Raises ValueError for an unknown name or a precision the bundle lacks, UnsupportedError if the
    backend cannot run it here, ModelFormatError for a damaged bundle.
    """
    if name != "auto" and name not in BACKENDS:
        raise ValueError(f"backend {name!r} is not one of auto {' '.join(BACKENDS)}")
    if precision not in manifest.precisions:
        raise ValueError(
            f"bundle {bundle} holds no {precision}; it has {', '.join(manifest.precisions)}"
        )
    if threads < 0:
        raise ValueError(f"threads {threads} must not be negative")
    refusals = []
    for candidate in BACKENDS if name == "auto" else (name,):
        try:
            backend = BACKENDS[candidate](
                bundle, manifest, precision=precision, threads=threads, device=device
            )
        except UnsupportedError as error:
            refusals.append(f"{candidate}: {error}")
            continue
        for refusal in refusals:
            _log.info("not taken: %s", refusal)
        _log.info("backend %s on %s", candidate, backend.info.provider)
        return backend
    raise UnsupportedError("; ".join(refusals))


__all__ = ["BACKENDS", "Backend", "BackendInfo", "open_backend"]
