"""Backends by name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from runtime.backends.base import Backend, BackendInfo, FrameBackend
from runtime.backends.native import NativeBackend
from runtime.backends.onnxruntime import DEVICES, OnnxRuntimeBackend
from runtime.backends.onnxruntime_session import TENSORRT, has_cuda_provider
from runtime.backends.tensorrt import TensorRTBackend
from runtime.backends.tensorrt_library import has_tensorrt
from runtime.errors import UnsupportedError
from runtime.manifest import Manifest
from runtime.stats import cpu_vendor

# In the order in which ``auto`` tries them, the fastest first.
BACKENDS: dict[str, Callable[..., Backend]] = {
    "tensorrt": TensorRTBackend,
    "native": NativeBackend,
    "onnxruntime": OnnxRuntimeBackend,
    "onnxruntime-tensorrt": partial(OnnxRuntimeBackend, gpu_provider=TENSORRT),
}
# Never taken unless asked for: its own plans are built for each session.
BY_NAME_ALONE = ("onnxruntime-tensorrt",)

# Its AVX512_BF16 multiplies half as fast as its float32 units; AMD's twice as fast.
SLOW_IN_BF16 = "GenuineIntel"

MOST_THREADS = 256

_log = logging.getLogger("edge_sr.runtime")


def open_backend(
    name: str,
    bundle: Path,
    manifest: Manifest,
    *,
    precision: str | None,
    threads: int = 0,
    device: str = "auto",
    tile_size: int = 0,
) -> Backend:
    """Open an engine by backend name; ``auto`` takes the first that works, fastest first.

    A ``precision`` of None is the bundle's default; where that is fp32, ``auto`` takes bf16 if the
    bundle offers it and this CPU is faster in it. On device cuda the native engine then takes fp16,
    which it makes of any bundle's fp32 weights. ``tile_size`` is for backends that tile by
    themselves. Raises ValueError for an unknown name or a precision the bundle lacks,
    UnsupportedError if the backend cannot run it here, ModelFormatError for a damaged bundle.
    """
    if name != "auto" and name not in BACKENDS:
        raise ValueError(f"backend {name!r} is not one of auto {' '.join(BACKENDS)}")
    if device not in ("auto", *DEVICES):
        raise ValueError(f"device {device!r} is not auto, {' or '.join(DEVICES)}")
    if precision is not None and precision not in manifest.precisions:
        raise ValueError(
            f"bundle {bundle} holds no {precision}; it has {', '.join(manifest.precisions)}"
        )
    if not 0 <= threads <= MOST_THREADS:
        raise ValueError(
            f"threads {threads} must not be negative or more than {MOST_THREADS}; "
            "0 is one per physical core"
        )
    refusals = []
    for candidate, wanted in _candidates(name, precision, manifest, device):
        try:
            backend = BACKENDS[candidate](
                bundle,
                manifest,
                precision=wanted,
                threads=threads,
                device=device,
                tile_size=tile_size,
            )
        except UnsupportedError as error:
            refusals.append(f"{candidate}: {error}")
            continue
        _tell(backend.info, refusals)
        return backend
    raise UnsupportedError("; ".join(dict.fromkeys(refusals)))


def _candidates(
    name: str, precision: str | None, manifest: Manifest, device: str
) -> list[tuple[str, str]]:
    """Backend and precision of each attempt, in order.

    A GPU that TensorRT or ONNX Runtime was installed for comes first unless a CPU is asked for: it
    leaves the CPU to a decoder and an encoder.
    """
    wanted = precision or manifest.default_precision
    left_out = BY_NAME_ALONE if has_tensorrt() else (*BY_NAME_ALONE, "tensorrt")
    offered = [backend for backend in BACKENDS if backend not in left_out]
    order = [(backend, wanted) for backend in (offered if name == "auto" else [name])]
    if precision is None and device == "cuda":
        return [(backend, "fp16" if backend == "native" else wanted) for backend, _ in order]
    if name != "auto":
        return order
    may_be_bf16 = "bf16" in manifest.precisions and cpu_vendor() != SLOW_IN_BF16
    if precision is None and wanted == "fp32" and may_be_bf16:
        order.insert(order.index(("native", wanted)), ("native", "bf16"))
    if device == "auto" and has_cuda_provider():
        order.sort(key=lambda attempt: attempt[0] == "native")
    return order


def _tell(info: BackendInfo, refusals: list[str]) -> None:
    for refusal in refusals:
        _log.info("not taken: %s", refusal)
    _log.info("backend %s in %s on %s", info.name, info.precision, info.provider)


__all__ = ["BACKENDS", "Backend", "BackendInfo", "FrameBackend", "open_backend"]
