"""Time the native engine beside ONNX Runtime on networks of the plain-chain class.

    python benchmarks/native_speed.py --networks vdsr fsrcnn_l --size 320x180 --threads 1 4

Networks have their first weights and any ranges, which cost as much as trained ones. Bytes go in
and out, engines take turns, round by round. stdout is a Markdown table and, as its last line, one
JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from side_by_side.facts import machine_facts

from edge_sr.models import MODELS, build_model
from edge_sr.models.complexity import complexity_of
from export.heads import PEAK, with_float_io, with_uint8_io
from export.native_pack import pack_native
from export.onnx_export import export_onnx
from export.qdq import quantizable_tensors, quantize
from export.rewrite import rewrite_deconvolution
from export.session import GraphRunner
from export.simplify import simplify
from runtime.atomic import written_beside
from runtime.backends.native import load_core
from runtime.bench import parse_size
from runtime.cli import run_main
from runtime.stats import summarize

Plane = NDArray[np.uint8]
PRECISIONS = ("fp32", "bf16", "int8")
HR_720P = 1280 * 720


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of a run."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/native_speed.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    choices = tuple(MODELS)
    add("--networks", nargs="+", choices=choices, default=("vdsr", "fsrcnn_l"), metavar="NAME")
    add("--scale", type=int, choices=(2, 3, 4), default=2)
    add("--size", default="320x180", help="of the LR frame, WIDTHxHEIGHT, default %(default)s")
    add("--threads", type=int, nargs="+", default=[1])
    add("--rounds", type=int, default=5)
    add("--out", type=Path, help="also write the JSON object here")
    args = parser.parse_args(argv)
    try:
        args.width, args.height = parse_size(args.size)
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    if min(*args.threads, args.rounds) < 1:
        parser.error("--threads and --rounds must be 1 or more")
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time all networks; returns the object of the JSON line."""
    rng = np.random.default_rng(0)
    lr = rng.integers(0, 256, (args.height, args.width), np.uint8)
    rows = []
    for name in args.networks:
        torch.manual_seed(0)
        network = build_model(name, args.scale).eval()
        graphs = graphs_of(network)
        macs = complexity_of(network).macs * lr.size * args.scale**2 / HR_720P
        for threads in args.threads:
            medians = timed(runners_of(*graphs, args.scale, threads), lr, args.rounds)
            rows += [
                {
                    "name": name,
                    "threads": threads,
                    "engine": engine,
                    "median_ms": round(median, 2),
                    "gmac_per_s": round(macs / median / 1e6, 1),
                }
                for engine, median in medians.items()
            ]
            sys.stderr.write(f"timed {name} on {threads} threads\n")
    record = {
        "machine": machine_facts(),
        **{name: getattr(args, name) for name in ("scale", "size", "rounds")},
        "results": rows,
    }
    print("\n".join(table_lines(rows)))  # noqa: T201
    if args.out:
        with written_beside(args.out) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")
    return record


def graphs_of(network: torch.nn.Module) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The float graph as a bundle holds it, and one in INT8 with ranges of no meaning."""
    twin = simplify(with_float_io(rewrite_deconvolution(export_onnx(network))[0]))[0]
    return twin, quantize(twin, dict.fromkeys(quantizable_tensors(twin), PEAK))


def runners_of(
    twin: onnx.ModelProto, int8_twin: onnx.ModelProto, scale: int, threads: int
) -> dict[str, Callable[[Plane], Any]]:
    """Each engine and precision; bf16 only where the CPU has it."""
    runners: dict[str, Callable[[Plane], Any]] = {}
    model = pack_native(twin, scale, int8_twin=int8_twin).data
    for precision in PRECISIONS:
        engine = load_core().Upscaler(model, precision, threads)
        if engine.precision == precision:
            runners[f"native {precision}"] = _native_runner(engine)
    for precision, graph in (("fp32", twin), ("int8", int8_twin)):
        runner = GraphRunner(with_uint8_io(graph), threads=threads)
        runners[f"ONNX Runtime {precision}"] = runner.picture
    return runners


def _native_runner(engine: Any) -> Callable[[Plane], Any]:
    def upscale(lr: Plane) -> Plane:
        sr = np.empty((lr.shape[0] * engine.scale, lr.shape[1] * engine.scale), np.uint8)
        engine.upscale(lr, sr)
        return sr

    return upscale


def timed(runners: dict[str, Callable[[Plane], Any]], lr: Plane, rounds: int) -> dict[str, float]:
    """Median milliseconds of each; the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(1 + rounds):
        for name, runner in runners.items():
            started = perf_counter()
            runner(lr)
            seconds[name].append(perf_counter() - started)
    return {name: summarize(values[1:]).median_ms for name, values in seconds.items()}


def table_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown: milliseconds, and times ONNX Runtime's FP32."""
    lines = [
        "| network | threads | engine | ms | GMAC/s | over ONNX Runtime fp32 |",
        "| -- | -- | -- | -- | -- | -- |",
    ]
    reference = {
        (row["name"], row["threads"]): row["median_ms"]
        for row in rows
        if row["engine"] == "ONNX Runtime fp32"
    }
    for row in rows:
        ratio = reference[row["name"], row["threads"]] / row["median_ms"]
        cells = [row["engine"], f"{row['median_ms']:.4g}", f"{row['gmac_per_s']:.4g}"]
        lines.append(f"| `{row['name']}` | {row['threads']} | {' | '.join(cells)} | {ratio:.2f} |")
    return lines


def main(argv: list[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
