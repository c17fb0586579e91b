"""Time training iterations: PyTorch's layers in float32 and bfloat16, and the native step.

    python benchmarks/training_step.py --threads 1 4 --out record.json

A case is the trainer's own iteration with everything in it: patches from synthetic pictures,
forward and backward pass, SOAP, weight average. ``student`` is the default one, ``large`` and
``xl`` the larger ones, ``wide`` an EDSR of 8 blocks for luminance. Cases take turns in bursts, in
random order. stdout is a table and, as its last line, one JSON object.
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
from edge_sr.distillation.pisr import Baseline, Objective
from edge_sr.distillation.qat import QatStage
from edge_sr.distillation.trainer import Process, Stage, StageOptions, pytorch_threads
from edge_sr.models import build_model
from edge_sr.models.fsrcnn import Fsrcnn, start_from_bicubic
from edge_sr.models.native_step import NativeStep, reason_against
from edge_sr.models.quantized import observed_ranges
from edge_sr.models.reparam import use_training_form
from runtime.atomic import written_beside
from runtime.bench import moving_texture
from runtime.cli import run_main

LAYERS = ("float32", "bfloat16", "native")
METHODS = ("baseline", "qat")
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "student": ("fsrcnn_residual", {}),
    "large": ("fsrcnn_residual_large", {}),
    "xl": ("fsrcnn_residual_xl", {}),
    "wide": ("edsr_s", {"channels": "y", "blocks": 8}),
}
# Iterations that a GPU is given before it is waited for.
QUEUED = 20


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
    add("--networks", nargs="+", choices=tuple(NETWORKS), default=tuple(NETWORKS))
    add("--methods", nargs="+", choices=METHODS, default=METHODS, help="qat is the student's alone")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--threads", type=int, nargs="+", default=(1, min(4, cores)))
    add("--batch-size", type=int, default=16)
    add("--patch-size", type=int, default=48, help="side of an LR patch, default %(default)s")
    add("--rounds", type=int, default=8, help="bursts of each case, default %(default)s")
    add("--seconds", type=float, default=0.5, help="length of a burst, default %(default)s")
    add("--out", type=Path, help="also write the JSON object here")
    args = parser.parse_args(argv)
    if not all(1 <= threads <= cores for threads in args.threads):
        parser.error(f"--threads must be from 1 to {cores}, the usable CPUs")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no CUDA device")
    if min(args.batch_size, args.patch_size, args.rounds) < 1 or not 0 < args.seconds <= 60:
        parser.error("--batch-size, --patch-size, --rounds and --seconds must be positive")
    return args


@dataclass(frozen=True)
class Case:
    """One way to train."""

    network: str
    method: str
    scale: int
    threads: int
    layers: str


class Iterations:
    """The iterations of a case, as something that can be timed."""

    def __init__(
        self, case: Case, sampler: PatchSampler, folder: Path, device: torch.device
    ) -> None:
        self.threads = 1 if case.layers == "native" else case.threads
        name, options = NETWORKS[case.network]
        network = build_model(name, case.scale, **options)
        objective: Objective = Baseline(network)
        if isinstance(network, Fsrcnn):
            start_from_bicubic(network)
            network = use_training_form(network)
            ranges = observed_ranges(network, torch.from_numpy(sampler.batch(0)[0]))
            if case.layers == "native":
                network.native_step = NativeStep(network, (sampler.patch_size,) * 2, case.threads)
            if case.method == "qat":
                objective = QatStage(network, ranges, lambda_float=1.0)
        stage = StageOptions(
            name="bench",
            folder=folder,
            iterations=10**6,
            optimizer="soap",
            learning_rate=1e-3,
            final_learning_rate=1e-5,
            warm_up=200,
            weight_decay=0.0,
            ema_decay=0.999,
            log_every=10**6,
            evaluate_every=10**6,
            bf16=case.layers == "bfloat16",
        )
        self.stage = Stage(objective, stage, Process(0, 1, device))
        self.batch_of = self.stage.batches_of(sampler)
        self.load = LoadWatch(os.getpid(), frozenset(usable_cpus()))

    def burst(self, seconds: float) -> Burst:
        """Iterations for so long; the first is not counted."""
        with pytorch_threads(self.threads):
            times, foreign = self.load.watch(lambda: tuple(self._iterate(seconds)))
        return Burst(times[1:], foreign)

    def _iterate(self, seconds: float) -> Iterator[float]:
        end = perf_counter() + seconds
        is_cuda = self.stage.process.device.type == "cuda"
        count, taken = QUEUED if is_cuda else 1, 0
        while taken < 3 or perf_counter() < end:
            started = perf_counter()
            for _ in range(count):
                self.stage.step(*self.batch_of(self.stage.iteration))
            if is_cuda:
                torch.cuda.synchronize()
            taken += 1
            yield (perf_counter() - started) / count


def cases_of(args: argparse.Namespace) -> list[Case]:
    """Every case that this machine can run; ValueError if the native step is not among them."""
    device = torch.device(args.device)
    student = build_model("fsrcnn_residual", 2)
    against = reason_against(student, args.patch_size, device)
    if against is not None and args.device == "cpu":
        raise ValueError(f"the native step cannot run here: {against}")
    return [
        Case(network, method, scale, threads, layers)
        for network in args.networks
        for method in args.methods
        for scale in args.scales
        for threads in (args.threads if args.device == "cpu" else (1,))
        for layers in LAYERS
        if (network == "student" or method == "baseline")
        and (layers != "native" or (network != "wide" and args.device == "cpu"))
        and (layers != "bfloat16" or method == "baseline")
    ]


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure all cases; returns the object of the JSON line."""
    cases, device = cases_of(args), torch.device(args.device)
    samplers = {scale: _sampler(scale, args) for scale in args.scales}
    with tempfile.TemporaryDirectory() as folder:
        runners = {
            case: Iterations(case, samplers[case.scale], Path(folder), device) for case in cases
        }
        bursts = interleave(runners, args.rounds, args.seconds, random.Random(0), attempts=2)
    rates = {case: timing(bursts[case]) for case in cases}
    rows = [
        {
            "network": case.network,
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
            "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
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
    """Markdown: iterations a second of PyTorch in both formats and of the native step."""
    lines = [
        "| network | method | scale | threads | float32 it/s | bfloat16 it/s | native it/s |",
        "|---|---|---|---|---|---|---|",
    ]
    rates: dict[tuple[str, ...], dict[str, float]] = {}
    for row in rows:
        case = (row["network"], row["method"], f"x{row['scale']}", str(row["threads"]))
        rates.setdefault(case, {})[row["layers"]] = row["iterations_per_s"]
    for case, rate in rates.items():
        cells = [f"{rate[layers]:.1f}" if layers in rate else "-" for layers in LAYERS]
        lines.append(f"| {' | '.join((*case, *cells))} |")
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
