"""A quick look at latency per precision, for the report; ``runtime.bench`` measures properly."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.scores import Picture

OUTPUT_WIDTH, OUTPUT_HEIGHT = 1280, 720
WARM_UP, LEAST_SAMPLES, MOST_SAMPLES, SECONDS = 3, 7, 50, 1.5
# Multiplications of the least samples of one precision; a larger network shows smaller frames.
LATENCY_MACS = 1.5e12
STEADY_SPREAD = 0.05


def measure_latency(
    bundle: Path,
    precisions: Sequence[str],
    picture: Picture,
    *,
    scale: int,
    macs: float = 0.0,
    threads: int = 0,
) -> dict[str, Any]:
    """Median and p90 of whole frames that become 1280x720 (nearly, at x3), per precision.

    ``picture`` is repeated to the frame's size, so that timing sees real content. Frames are halved
    until a few fit into LATENCY_MACS, at ``macs`` multiplications for an LR pixel.
    """
    from runtime.stats import device_facts, summarize
    from runtime.upscaler import Upscaler

    width, height = OUTPUT_WIDTH // scale, OUTPUT_HEIGHT // scale
    while (WARM_UP + LEAST_SAMPLES) * width * height * macs > LATENCY_MACS:
        width, height = width // 2, height // 2
    frame = _repeated(picture, width, height)
    results, info = [], None
    for precision in precisions:
        with Upscaler.open(bundle, precision=precision, threads=threads) as upscaler:
            info = upscaler.info
            samples = _samples(lambda u=upscaler: u.upscale(frame))
        summary = summarize(samples)
        results.append(
            {
                "precision": precision,
                "backend": f"{info.name} {info.version}, {info.provider}",
                "median_ms": round(summary.median_ms, 3),
                "p90_ms": round(summary.p90_ms, 3),
                "samples": summary.samples,
                "is_steady": summary.spread <= STEADY_SPREAD,
            }
        )
    assert info is not None
    return {
        "width": width,
        "height": height,
        "threads": info.threads,
        "warm_up": WARM_UP,
        "results": results,
        "device": device_facts(),
    }


def native_latency(
    models: Sequence[bytes], picture: Picture, *, scale: int, threads: int = 0
) -> list[float]:
    """Median milliseconds of each native model in int8, in turns, frames as above.

    Raises UnsupportedError if this installation has no native engine.
    """
    from runtime.backends.native import load_core

    core = load_core()
    engines = [core.Upscaler(model, "int8", threads) for model in models]
    frame = _repeated(picture, OUTPUT_WIDTH // scale, OUTPUT_HEIGHT // scale)
    sr = np.empty((frame.shape[0] * scale, frame.shape[1] * scale), np.uint8)
    samples: list[list[float]] = [[] for _ in engines]
    for _ in range(WARM_UP + LEAST_SAMPLES):
        for engine, taken in zip(engines, samples, strict=True):
            start = time.perf_counter()
            engine.upscale(frame, sr)
            taken.append(time.perf_counter() - start)
    return [1e3 * float(np.median(taken[WARM_UP:])) for taken in samples]


def _repeated(picture: Picture, width: int, height: int) -> Picture:
    rows, columns = -(-height // picture.shape[0]), -(-width // picture.shape[1])
    times = (rows, columns, 1)[: picture.ndim]
    return np.ascontiguousarray(np.tile(picture, times)[:height, :width])


def _samples(run: Any) -> list[float]:
    """Seconds of single calls, after a warm-up."""
    for _ in range(WARM_UP):
        run()
    samples: list[float] = []
    start = time.perf_counter()
    while len(samples) < LEAST_SAMPLES or (
        len(samples) < MOST_SAMPLES and time.perf_counter() - start < SECONDS
    ):
        before = time.perf_counter()
        run()
        samples.append(time.perf_counter() - before)
    return samples
