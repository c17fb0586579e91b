r"""Decibels against milliseconds of the shipped students, as a table and a picture.

    for model in fsrcnn_residual_small fsrcnn_residual_large fsrcnn_residual_xl; do
        python -m export.build --model $model --scale 2 --precision fp32,int8 --out $model-x2.esr
    done
    python benchmarks/student_curve.py runtime/bundles/fsrcnn-x2.esr *-x2.esr \
        --scores benchmarks/records/quality.json --picture students.png --out record.json

One 1280x720 picture by the native engine, every precision of every bundle in turns, in bursts. The
scores are the bundle's, by the file's name, in a record of benchmarks/quality.py. stdout is a
Markdown table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from side_by_side.facts import machine_facts
from side_by_side.process import usable_cpus

from runtime.atomic import written_beside
from runtime.bench import moving_texture
from runtime.cli import run_main
from runtime.manifest import read_manifest
from runtime.stats import summarize
from runtime.upscaler import Upscaler

BURST = 0.25
PRECISIONS = ("fp32", "int8")
COLOURS = {"fp32": "#1d4e89", "int8": "#e07a3f"}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of a run."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/student_curve.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("bundles", nargs="+", type=Path, metavar="BUNDLE")
    add("--scores", type=Path, required=True, help="record of benchmarks/quality.py")
    add("--height", type=int, default=720, help="of the picture, 16:9, default %(default)s")
    add("--threads", type=int, default=len(usable_cpus()))
    add("--rounds", type=int, default=9)
    add("--picture", type=Path, help="draw the curves here, such as students.png")
    add("--out", type=Path, help="also write the JSON object here")
    args = parser.parse_args(argv)
    if args.height < 64 or min(args.threads, args.rounds) < 1:
        parser.error("--height must be 64 or more, --threads and --rounds 1 or more")
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time all bundles and join the scores; returns the object of the JSON line."""
    scored = json.loads(args.scores.read_text())["bundles"]
    unknown = sorted({path.stem for path in args.bundles} - set(scored))
    if unknown:
        raise ValueError(f"{args.scores} has no scores of {', '.join(unknown)}")
    medians = _timed(args)
    rows = []
    for (path, precision), milliseconds in medians.items():
        name, scale = path.stem, scored[path.stem]["scale"]
        psnr = {data: _mean(row) for data, row in scored[name]["rows"][precision].items()}
        rows.append(
            {
                "name": name,
                "scale": scale,
                "precision": precision,
                "median_ms": round(milliseconds, 3),
                "psnr": psnr,
                "mean_psnr": _mean_of_all(scored[name]["rows"][precision]),
                "mean_bicubic": _mean_of_all(scored[name]["rows"]["bicubic"]),
            }
        )
    rows.sort(key=lambda row: (row["scale"], row["precision"], row["median_ms"]))
    record = {
        "machine": machine_facts(),
        **{name: getattr(args, name) for name in ("height", "threads", "rounds")},
        "results": rows,
    }
    print("\n".join(table_lines(rows)))  # noqa: T201
    if args.picture:
        draw(rows, args.picture)
    if args.out:
        with written_beside(args.out) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")
    return record


def _timed(args: argparse.Namespace) -> dict[tuple[Path, str], float]:
    """Median milliseconds of every bundle and precision."""
    seconds: dict[tuple[Path, str], list[float]] = {}
    with ExitStack() as stack:
        turns = []
        for path in args.bundles:
            scale = read_manifest(path).scale
            frame = moving_texture(round(args.height * 16 / 9 / scale), args.height // scale)
            for precision in PRECISIONS:
                engine = stack.enter_context(
                    Upscaler.open(
                        path,
                        backend="native",
                        precision=precision,
                        threads=args.threads,
                        may_fall_back=False,
                    )
                )
                turns.append((path, precision, engine, frame))
        for _ in range(args.rounds):
            for path, precision, engine, frame in turns:
                seconds.setdefault((path, precision), []).extend(_burst(engine, frame))
    return {key: summarize(values).median_ms for key, values in seconds.items()}


def _burst(engine: Upscaler, frame: NDArray[np.uint8]) -> list[float]:
    """Seconds of one frame after another for BURST seconds, at least one, after one to warm up."""
    engine.upscale_luma(frame)
    seconds: list[float] = []
    while sum(seconds) < BURST:
        started = perf_counter()
        engine.upscale_luma(frame)
        seconds.append(perf_counter() - started)
    return seconds


def _mean(pictures: Mapping[str, Sequence[float]]) -> float:
    return round(sum(psnr for psnr, _ in pictures.values()) / len(pictures), 4)


def _mean_of_all(sets: Mapping[str, Mapping[str, Sequence[float]]]) -> float:
    """Over all pictures of all sets alike."""
    return _mean({f"{data}/{k}": v for data, pictures in sets.items() for k, v in pictures.items()})


def table_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown: a bundle's milliseconds, and its PSNR in dB, at each precision."""
    sets = list(rows[0]["psnr"])
    lines = [
        f"| bundle | FP32, ms | INT8, ms | FP32, {' / '.join(sets)} | INT8 |",
        "| -- | -- | -- | -- | -- |",
    ]
    found = {(row["name"], row["precision"]): row for row in rows}
    for name in dict.fromkeys(row["name"] for row in rows):
        both = [found[name, precision] for precision in PRECISIONS]
        cells = [f"{row['median_ms']:.3g}" for row in both]
        cells += [" / ".join(f"{row['psnr'][data]:.2f}" for data in sets) for row in both]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines


def draw(rows: Sequence[Mapping[str, Any]], target: Path) -> None:
    """Decibels against milliseconds, a panel for each scale."""
    from matplotlib.figure import Figure

    scales = sorted({row["scale"] for row in rows})
    figure = Figure(figsize=(4.2 * len(scales), 3.6), layout="constrained")
    for place, scale in enumerate(scales):
        axes = figure.add_subplot(1, len(scales), place + 1)
        of_scale = [row for row in rows if row["scale"] == scale]
        for precision in PRECISIONS:
            line = [row for row in of_scale if row["precision"] == precision]
            x, y = [row["median_ms"] for row in line], [row["mean_psnr"] for row in line]
            axes.plot(x, y, marker="o", color=COLOURS[precision], label=precision.upper())
        for row in of_scale:
            if row["precision"] == "fp32":
                axes.annotate(
                    _size_of(row["name"]),
                    (row["median_ms"], row["mean_psnr"]),
                    xytext=(4, -12),
                    textcoords="offset points",
                    fontsize=8,
                )
        axes.set_xscale("log")
        axes.set(title=f"x{scale}", xlabel="ms for a 1280x720 picture")
        axes.grid(alpha=0.3, which="both")
        axes.margins(x=0.2)
        if place == 0:
            axes.set_ylabel("PSNR in dB, all pictures")
            axes.legend()
    figure.savefig(target, dpi=110)


def _size_of(bundle: str) -> str:
    """Small, large or xl; the bundle of the standard student has the plain name."""
    network = bundle.rsplit("-", 1)[0]
    return "standard" if network == "fsrcnn" else network.removeprefix("fsrcnn_residual_")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
