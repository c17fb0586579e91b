"""Time training iterations of the student: the native step beside PyTorch's layers.

    python benchmarks/training_step.py --threads 1,4 --out record.json

A case is the trainer's own iteration with everything in it: patches from synthetic pictures,
forward and backward pass, SOAP, weight average. Cases take turns in bursts, in random order.
stdout is a table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from side_by_side.bursts import Burst, interleave, timing
from side_by_side.facts import machine_facts
from side_by_side.load import LoadWatch
from side_by_side.process import usable_cpus

from edge_sr.data.patches import PatchSampler, PicturePair
from edge_sr.distillation.pisr import Baseline
from edge_sr.distillation.qat import QatStage
from edge_sr.distillation.trainer import Process, Stage, StageOptions, pytorch_threads
from edge_sr.models import build_model
from edge_sr.models.fsrcnn import start_from_bicubic
from edge_sr.models.native_step import NativeStep, reason_against
from edge_sr.models.quantized import observed_ranges
from edge_sr.models.reparam import use_training_form
from runtime.atomic import written_beside
from runtime.bench import moving_texture
from runtime.cli import run_main

LAYERS = ("torch", "native")
METHODS = ("baseline", "qat")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of a run; contradictions end here, with exit code 2."""
    cores = len(usable_cpus())
    parser = argparse.ArgumentParser(
        prog="python benchmarks/training_step.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--scales", type=int, nargs="+", choices=(2, 3, 4), default=(2, 3, 4))
    add("--methods", nargs="+", choices=METHODS, default=METHODS)
    add("--threads", type=int, nargs="+", default=(1, min(4, cores)))
    add("--batch-size", type=int, default=16)
    add("--patch-size", type=int, default=48, help="side of an LR patch, default %(default)s")
    add("--rounds", type=int, default=8, help="bursts of each case, default %(default)s")
    add("--seconds", type=float, default=0.5, help="length of a burst, default %(default)s")
    add("--out", type=Path, help="also write the JSON object here")
    args = parser.parse_args(argv)
    if not all(1 <= threads <= cores for threads in args.threads):
        parser.error(f"--threads must be from 1 to {cores}, the usable CPUs")
    if min(args.batch_size, args.patch_size, args.rounds) < 1 or not 0 < args.seconds <= 60:
        parser.error("--batch-size, --patch-size, --rounds and --seconds must be positive")
    return args


@dataclass(frozen=True)
class Case:
    """One way to train."""

    method: str
    scale: int
    threads: int
    layers: str


class Iterations:
    """The iterations of a case, as something that can be timed."""

    def __init__(self, case: Case, sampler: PatchSampler, folder: Path) -> None:
        self.sampler = sampler
        self.threads = 1 if case.layers == "native" else case.threads
        student = build_model("fsrcnn_residual", case.scale)
        start_from_bicubic(student)
        student = use_training_form(student)
        ranges = observed_ranges(student, torch.from_numpy(sampler.batch(0)[0]))
        if case.layers == "native":
            student.native_step = NativeStep(student, (sampler.patch_size,) * 2, case.threads)
        objective = Baseline(student)
        if case.method == "qat":
            objective = QatStage(student, ranges, lambda_float=1.0)
        options = StageOptions(
            "bench", folder, 10**6, "soap", 3e-3, 1e-5, 200, 0.0, 0.999, 100, 1000
        )
        self.stage = Stage(objective, options, Process(0, 1, torch.device("cpu")))
        self.load = LoadWatch(os.getpid(), frozenset(usable_cpus()))

    def burst(self, seconds: float) -> Burst:
        """Iterations for so long; the first is not counted."""
        with pytorch_threads(self.threads):
            times, foreign = self.load.watch(lambda: tuple(self._iterate(seconds)))
        return Burst(times[1:], foreign)

    def _iterate(self, seconds: float) -> Iterator[float]:
        end = perf_counter() + seconds
        taken = 0
        while taken < 3 or perf_counter() < end:
            started = perf_counter()
            self.stage._step(self.sampler)
            taken += 1
            yield perf_counter() - started


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure all cases; returns the object of the JSON line."""
    model = build_model("fsrcnn_residual", 2)
    against = reason_against(model, args.patch_size, torch.device("cpu"))
    if against is not None:
        raise ValueError(f"the native step cannot run here: {against}")
    cases = [
        Case(method, scale, threads, layers)
        for method in args.methods
        for scale in args.scales
        for threads in args.threads
        for layers in LAYERS
    ]
    with tempfile.TemporaryDirectory() as folder:
        runners = {
            case: Iterations(case, _sampler(case.scale, args), Path(folder)) for case in cases
        }
        bursts = interleave(runners, args.rounds, args.seconds, random.Random(0), attempts=2)
    rates = {case: timing(bursts[case]) for case in cases}
    rows = [
        {
            "method": case.method,
            "scale": case.scale,
            "threads": case.threads,
            "layers": case.layers,
            "median_ms": round(rates[case].median, 3),
            "iterations_per_s": round(1e3 / rates[case].median, 1),
            "note": rates[case].warning,
        }
        for case in cases
    ]
    record = {
        "device": {**machine_facts(), "torch": torch.__version__},
        "settings": {
            "batch_size": args.batch_size,
            "patch_size": args.patch_size,
            "rounds": args.rounds,
            "burst_s": args.seconds,
        },
        "results": rows,
    }
    for line in table_lines(rows):
        print(line)  # noqa: T201
    if args.out:
        with written_beside(args.out) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")
    return record


def table_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown: iterations a second of both, and how many times faster the native step is."""
    lines = [
        "| method | scale | threads | PyTorch, it/s | native step, it/s | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for torch_row, native_row in zip(rows[::2], rows[1::2], strict=True):
        ratio = torch_row["median_ms"] / native_row["median_ms"]
        cells = [torch_row["method"], f"x{torch_row['scale']}", str(torch_row["threads"])]
        cells += [f"{row['iterations_per_s']:.0f}" for row in (torch_row, native_row)]
        lines.append(f"| {' | '.join(cells)} | {ratio:.1f} |")
    return lines


def _sampler(scale: int, args: argparse.Namespace) -> PatchSampler:
    side = max(2 * args.patch_size, 160)
    hr = moving_texture(side * scale, side * scale).astype(np.float32) / np.float32(255)
    lr = hr.reshape(side, scale, side, scale).mean((1, 3), dtype=np.float32)
    pairs = [PicturePair("texture", lr, hr)]
    return PatchSampler(
        pairs, scale, patch_size=args.patch_size, batch_size=args.batch_size, seed=0
    )


def main(argv: list[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
