"""Measure the latency of a bundle on this machine.

    python -m runtime.bench fsrcnn-x2-int8.esr --size 640x360

One frame in flight, of luminance or RGB as the network takes it, whole and tiled, for each
precision. The configurations take turns in short bursts, so that a change of clock or load meets
all alike. Power mode, clocks, temperatures and power are recorded before and after, as far as the
machine tells them. stdout ends with one JSON line; --out also writes it to a file.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.atomic import written_beside
from runtime.backends import BACKENDS
from runtime.cli import run_main
from runtime.device_state import fixed_state, momentary_state, state_lines
from runtime.errors import UnsupportedError
from runtime.installed import installed_bundle
from runtime.manifest import PRECISIONS, read_manifest
from runtime.stats import device_facts, peak_memory_mb, summarize
from runtime.upscaler import Upscaler

_SUSPICIOUS_SPREAD = 0.10
_STABLE = 0.05
_PAUSE_S, _BURST_S = 0.05, 0.25


@dataclass
class Case:
    """One configuration and its samples, in seconds."""

    upscaler: Upscaler
    samples: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)


def parse_size(text: str) -> tuple[int, int]:
    """``WxH`` to width and height, 1 to 16384 each."""
    width, separator, height = text.partition("x")
    if not separator or not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not WxH, such as 640x360")
    size = int(width), int(height)
    if not all(1 <= side <= 16384 for side in size):
        raise argparse.ArgumentTypeError(f"{text} has a side outside 1..16384")
    return size


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of a measurement."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("bundle", nargs="?", type=Path, help="default: the installed x2 one")
    add("--size", type=parse_size, default=(640, 360), metavar="WxH", help="LR, default 640x360")
    add("--backend", default="auto", choices=("auto", *BACKENDS))
    add("--precision", help="comma separated, default all of the bundle")
    add("--device", default="auto", choices=("auto", "cpu", "cuda"))
    add("--threads", type=int, default=0, help="0 is one per physical core")
    add("--tile-size", type=int, default=128, help="of the tiled rows; 0 leaves them out")
    add("--samples", type=int, default=50, help="at least, for each row")
    add("--seconds", type=float, default=3.0, help="at least, for each row")
    add("--out", type=Path, help="also write the JSON object here")
    add("--json", action="store_true", help="only the JSON line on stdout")
    args = parser.parse_args(argv)
    unknown = set((args.precision or "fp32").split(",")) - set(PRECISIONS)
    if unknown:
        parser.error(f"--precision {', '.join(sorted(unknown))} is not one of {PRECISIONS}")
    if args.samples < 1 or args.seconds < 0:
        parser.error("--samples must be at least 1, --seconds not negative")
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure all rows; returns the object of the JSON line."""
    args.bundle = args.bundle or installed_bundle()
    manifest = read_manifest(args.bundle)
    precisions = args.precision.split(",") if args.precision else list(manifest.precisions)
    tile_sizes = [0] + ([args.tile_size] if args.tile_size and manifest.tileable else [])
    width, height = args.size
    frame = moving_texture(width, height, manifest.channels)
    device, before = {**device_facts(), **fixed_state()}, momentary_state()
    with _opened(args, precisions, tile_sizes) as cases:
        for case in cases:
            _warm_up(case, frame)
        while any(_is_short(case, args.samples, args.seconds) for case in cases):
            for case in cases:
                _take_turn(case, frame, args.samples, args.seconds)
        states = {"before": before, "after": momentary_state()}
        rows = [_row(case, args.size) for case in cases]
    device |= {moment: state for moment, state in states.items() if state}
    result = {
        "bundle": str(args.bundle),
        "device": device,
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "results": rows,
    }
    if args.out:
        with written_beside(args.out) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n")
    if not args.json:
        _print_table(result)
    return result


def moving_texture(width: int, height: int, channels: str = "y") -> NDArray[np.uint8]:
    """A synthetic frame with edges and grain, so that no value path is idle: HxW, or HxWx3 RGB."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width]
    plane = 120 + 60 * np.sin(x / 7.0) * np.cos(y / 11.0) + rng.normal(0, 8, (height, width))
    plane[(x // 40 + y // 40) % 5 == 0] += 60
    frame: NDArray[np.uint8] = np.clip(plane, 16, 235).astype(np.uint8)
    if channels == "y":
        return frame
    return np.dstack([frame, np.roll(frame, 3, axis=1), 255 - frame])


@contextmanager
def _opened(
    args: argparse.Namespace, precisions: list[str], tile_sizes: list[int]
) -> Iterator[list[Case]]:
    cases: list[Case] = []
    skipped: list[str] = []
    try:
        for precision in precisions:
            for tile_size in tile_sizes:
                try:
                    upscaler = Upscaler.open(
                        args.bundle,
                        backend=args.backend,
                        precision=precision,
                        threads=args.threads,
                        tile_size=tile_size,
                        device=args.device,
                        may_fall_back=False,
                    )
                except UnsupportedError as error:
                    # Asked for by name it must run; of all that a bundle holds some may not.
                    if args.precision:
                        raise
                    skipped.append(f"{precision}: {error}")
                    break
                cases.append(Case(upscaler))
        if not cases:
            raise UnsupportedError("; ".join(skipped))
        for line in skipped:
            sys.stderr.write(f"skipped {line}\n")
        yield cases
    finally:
        for case in cases:
            case.upscaler.close()


def _take_turn(case: Case, frame: NDArray[np.uint8], samples: int, seconds: float) -> None:
    """A pause, in which threads that the last case left spinning go to sleep, then a burst."""
    if not _is_short(case, samples, seconds):
        return
    time.sleep(_PAUSE_S)
    case.upscaler.upscale_timed(frame)
    end = time.perf_counter() + _BURST_S
    while _is_short(case, samples, seconds) and time.perf_counter() < end:
        _sample(case, frame)


def _sample(case: Case, frame: NDArray[np.uint8]) -> float:
    started = time.perf_counter()
    engine = case.upscaler.upscale_timed(frame)
    case.samples.append(time.perf_counter() - started)
    case.engine.append(engine)
    return case.samples[-1]


def _warm_up(case: Case, frame: NDArray[np.uint8]) -> None:
    """At least 3 runs and half a second, until two in a row agree within 5 %; 3 seconds at most."""
    started = time.perf_counter()
    last = _sample(case, frame)
    for count in range(1000):
        now = _sample(case, frame)
        elapsed = time.perf_counter() - started
        stable = abs(now / last - 1) < _STABLE
        if elapsed > 3 or (count >= 2 and elapsed > 0.5 and stable):
            break
        last = now
    case.samples.clear()
    case.engine.clear()


def _is_short(case: Case, samples: int, seconds: float) -> bool:
    return len(case.samples) < samples or sum(case.samples) < seconds


def _row(case: Case, size: tuple[int, int]) -> dict[str, Any]:
    info, summary = case.upscaler.info, summarize(case.samples)
    engine_ms = summarize(case.engine).median_ms
    row: dict[str, Any] = {
        "backend": info.name,
        "provider": info.provider,
        "version": info.version,
        "precision": info.precision,
        "channels": case.upscaler.channels,
        "threads": info.threads,
        "width": size[0],
        "height": size[1],
        "tile_size": case.upscaler.tile_size,
        "samples": summary.samples,
        "median_ms": round(summary.median_ms, 3),
        "p90_ms": round(summary.p90_ms, 3),
        "p99_ms": round(summary.p99_ms, 3),
        "fps": round(1e3 / summary.median_ms, 2),
        "engine_ms": round(engine_ms, 3),
        "tiling_ms": round(max(0.0, summary.median_ms - engine_ms), 3),
    }
    if summary.spread > _SUSPICIOUS_SPREAD:
        row["warning"] = f"p90 is {summary.spread:.0%} over the median: other load, or clocks vary"
    return row


def _print_table(result: dict[str, Any]) -> None:
    device = result["device"]
    lines = [
        f"{device['cpu']}, {device['cores']} cores, {' '.join(device['isa'])}, "
        f"onnxruntime {device['onnxruntime']}, peak memory {result['peak_memory_mb']:.0f} MB",
        f"{'precision':<10}{'tile':>6}{'threads':>9}{'median':>10}{'p90':>10}{'p99':>10}{'fps':>9}"
        f"{'engine':>10}{'tiling':>9}  provider",
    ]
    for row in result["results"]:
        lines.append(
            f"{row['precision']:<10}{row['tile_size'] or 'whole':>6}{row['threads']:>9}"
            f"{row['median_ms']:>7.2f} ms{row['p90_ms']:>7.2f} ms{row['p99_ms']:>7.2f} ms"
            f"{row['fps']:>9.1f}{row['engine_ms']:>7.2f} ms{row['tiling_ms']:>6.2f} ms"
            f"  {row['provider']}"
        )
    lines += state_lines(device)
    for row in result["results"]:
        if "warning" in row:
            lines.append(f"warning: {row['precision']}: {row['warning']}")
    print("\n".join(lines))  # noqa: T201


def main(argv: list[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
