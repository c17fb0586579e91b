"""Our engine: bytes in and out, so its time includes both conversions."""

from __future__ import annotations

import numpy as np

from runtime.backends.native import NativeBackend
from runtime.manifest import read_manifest
from runtime.upscaler import Upscaler
from side_by_side.engines.engine import Engine, Job


def open_engine(job: Job) -> Engine:
    """What ``Upscaler.open(backend="native")`` opens, and BF16 also where a bundle lists none."""
    manifest = read_manifest(job.bundle)
    backend = NativeBackend(
        job.bundle, manifest, precision=job.case.precision, threads=job.threads, device="cpu"
    )
    if backend.info.precision != job.case.precision:
        raise RuntimeError(f"runs as {backend.info.precision} with these instructions")
    upscaler = Upscaler(manifest, backend)
    return Engine(
        run=lambda: upscaler.upscale_luma(job.frame),
        result=lambda: backend.run(job.frame.astype(np.float32)),
        version=backend.info.version,
        detail=backend.info.provider,
    )
