"""What every network of the family costs: parameters, multiplications, reach, CPU milliseconds.

    python benchmarks/network_speed.py --threads 4 --out record.json

Networks have their first weights, which cost as much as trained ones. ONNX Runtime runs the FP32
graph that a bundle holds, up to a picture of --size; networks take turns, in bursts. stdout is
a Markdown table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from side_by_side.facts import machine_facts
from side_by_side.process import usable_cpus

from edge_sr.models import MODELS, build_model
from edge_sr.models.complexity import complexity_of
from edge_sr.models.network import Network
from export.onnx_export import export_onnx
from export.rewrite import rewrite_deconvolution
from export.session import GraphRunner
from export.simplify import simplify
from runtime.atomic import written_beside
from runtime.cli import run_main
from runtime.stats import summarize

BURST = 0.3


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of a run."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/network_speed.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--networks", nargs="+", choices=tuple(MODELS), default=tuple(MODELS), metavar="NAME")
    add("--scale", type=int, choices=(2, 3, 4), default=2)
    add("--size", default="640x360", help="of the output, WIDTHxHEIGHT, default %(default)s")
    add("--threads", type=int, default=len(usable_cpus()))
    add("--rounds", type=int, default=5)
    add("--out", type=Path, help="also write the JSON object here")
    args = parser.parse_args(argv)
    try:
        args.width, args.height = (int(side) // args.scale for side in args.size.split("x"))
    except ValueError:
        parser.error(f"--size {args.size!r} is not WIDTHxHEIGHT")
    if min(args.width, args.height) < 8 or min(args.threads, args.rounds) < 1:
        parser.error("--size must have at least 8 LR pixels a side, --threads and --rounds be 1")
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Build, count and time all networks; returns the object of the JSON line."""
    rows, runners = [], {}
    rng = np.random.default_rng(0)
    for name in args.networks:
        torch.manual_seed(0)
        network = build_model(name, args.scale).eval()
        rows.append(facts_of(network))
        runner = GraphRunner(_graph_of(network), threads=args.threads)
        shape = (1, network.spec.samples, args.height, args.width)
        runners[name] = runner, rng.random(shape, dtype=np.float32)
        sys.stderr.write(f"exported {name}\n")
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(args.rounds):
        for name, (runner, lr) in runners.items():
            seconds[name] += _burst(runner, lr)
    for row in rows:
        row["median_ms"] = round(summarize(seconds[row["name"]]).median_ms, 2)
    record = {
        "machine": machine_facts(),
        **{name: getattr(args, name) for name in ("scale", "size", "threads", "rounds")},
        "results": rows,
    }
    print("\n".join(table_lines(rows, args.size)))  # noqa: T201
    if args.out:
        with written_beside(args.out) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")
    return record


def _burst(runner: GraphRunner, lr: NDArray[np.float32]) -> list[float]:
    """Seconds of one run after another for BURST seconds, but at least one, after one to warm up.

    What ran before has driven out its memory and put its threads to sleep.
    """
    runner(lr)
    seconds: list[float] = []
    while sum(seconds) < BURST:
        started = perf_counter()
        runner(lr)
        seconds.append(perf_counter() - started)
    return seconds


def facts_of(network: Network) -> dict[str, Any]:
    """What follows from the layers alone; the reach is None where it has no end."""
    spec = network.spec
    return {
        "name": spec.name,
        "channels": spec.channels,
        "radius": spec.receptive_field_radius if spec.tileable else None,
        **asdict(complexity_of(network)),
    }


def table_lines(rows: Sequence[dict[str, Any]], size: str) -> list[str]:
    """Markdown: thousands of parameters, G multiplications at 1280x720, LR pixels, milliseconds."""
    lines = [
        f"| network | pictures | parameters, K | G MACs | halo | {size}, ms |",
        "| -- | -- | -- | -- | -- | -- |",
    ]
    for row in rows:
        macs = f"{row['macs'] / 1e9:.4g}"
        if row["hr_macs"] != row["macs"]:
            macs += f" ({row['hr_macs'] / 1e9:.4g})"
        halo = "whole frame" if row["radius"] is None else str(row["radius"])
        cells = [row["channels"].upper(), f"{row['parameters'] / 1e3:.1f}", macs, halo]
        lines.append(f"| `{row['name']}` | {' | '.join(cells)} | {row['median_ms']:.4g} |")
    return lines


def _graph_of(network: Network) -> Any:
    return simplify(rewrite_deconvolution(export_onnx(network))[0])[0]


def main(argv: list[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
