"""Train a thin network with each distillation and without one, all at equal budgets.

    python benchmarks/distillation_comparison.py --student edsr --data clic/ cid22/ photos/ \
        --score sets/Set5 sets/B100 --iterations 3000 --teacher-iterations 12000 --batch-size 8 \
        --patch-size 24 --seeds 0 1 2 --jobs 4 --out runs/edsr

Students of EDSR's, RCAN's and SAN's kind imitate a deeper one of their width (FAKD, LSFD and what
LSFD's tables compare them with). FSRCNN-L, VDSR, IDN and CARN imitate PISR's teacher. Adam, 1e-3 to
1e-5 by a cosine, for all; how rows are trained is in training_rows.py. stdout is a table and, as
its last line, one JSON object; ``curves.png`` in the output folder shows held-out PSNR.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training_rows import (
    Row,
    Table,
    Teacher,
    add_arguments,
    check_arguments,
    folder_of,
    settings,
    table_lines,
    train_and_score,
    write_record,
)

from runtime.cli import run_main

ALONE, TWICE, PICTURE = "no distillation", "no distillation, warm restart", "picture alone"
# Matplotlib has ten colours.
LINES = ("-", "--", ":")
SETTINGS = "--optimizer adam --beta2 0.999 --learning-rate 1e-3 --final-learning-rate 1e-5"
SETTINGS += " --schedule cosine --warm-up 200 --ema-decay 0.999 --augmentation dihedral"
SETTINGS += " --shrinks 1 2 4 --pattern-share 0 --log-every 100 --evaluate-every 500"


@dataclass(frozen=True)
class Student:
    """A thin network of the family; ``teacher`` are the options of the deeper one it imitates."""

    model: str
    options: tuple[str, ...]
    teacher: tuple[str, ...] = ()


STUDENTS = {
    "edsr": Student("edsr_s", ("width=32", "blocks=3"), ("width=32", "blocks=16")),
    "rcan": Student(
        "rcan_s", ("width=32", "groups=3", "blocks=1"), ("width=32", "groups=3", "blocks=5")
    ),
    "san": Student(
        "san_s", ("width=32", "groups=2", "blocks=2"), ("width=32", "groups=4", "blocks=4")
    ),
    "fsrcnn_l": Student("fsrcnn_l", ()),
    "vdsr": Student("vdsr", ("width=16", "depth=8")),
    "idn": Student("idn", ("width=32", "d=8", "blocks=2")),
    "carn": Student("carn", ("width=16",)),
}


def table_of(name: str, teacher_iterations: int) -> Table:
    """The rows of a student, and its teacher."""
    student = STUDENTS[name]
    common = (*SETTINGS.split(), *_network(student.model, student.options))
    alone = [
        Row(ALONE, ("--method", "baseline", *common)),
        Row(TWICE, ("--method", "baseline", *common), after=ALONE),
    ]
    length = str(teacher_iterations)
    if student.teacher:
        network = (*SETTINGS.split(), *_network(student.model, student.teacher))
        taught = ("--method", "baseline", *network, "--iterations", length)
        rows = [
            Row(title, ("--method", "lsfd", *common, *options.split()), teacher="deeper")
            for title, options in IMITATIONS.items()
        ]
        return Table([*alone, *rows], {"deeper": Teacher(taught, is_network=True)})
    taught = ("--method", "pisr", *common, "--teacher-iterations", length, "--iterations", "1")
    rows = [
        Row(title, ("--method", "pisr", *common, *options.split()), teacher="hourglass")
        for title, options in PISR.items()
    ]
    return Table([*alone, *rows], {"hourglass": Teacher(taught, is_network=False)})


IMITATIONS = {
    PICTURE: "--imitation-loss none",
    "FAKD": "--imitation-loss fakd",
    "LFD": "--imitation-loss lfd",
    "LSFD": "--imitation-loss lsfd",
    "LSFD, alpha2 10": "--imitation-loss lsfd --alpha2 10",
    "FitNet": "--imitation-loss fitnet",
    "AT": "--imitation-loss at --lambda-student 1e4",
    "SRKD": "--imitation-loss srkd --lambda-student 1e-2",
    "MAE": "--imitation-loss mae --lambda-student 1e-2",
    "FAKD and FFT": "--imitation-loss fakd --fft-weight 1",
    "LSFD and FFT": "--imitation-loss lsfd --fft-weight 1",
}
PISR = {
    "PISR": "",
    "teacher's start, lambda_S 0": "--lambda-student 0",
    "PISR, lambda_S 1e-4": "--lambda-student 1e-4",
}


def _network(model: str, options: Sequence[str]) -> tuple[str, ...]:
    return ("--model", model, *(f"--model-option={option}" for option in options))


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of the comparison."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/distillation_comparison.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.add_argument("--student", choices=tuple(STUDENTS), required=True)
    args = parser.parse_args(argv)
    check_arguments(parser, args, table_of(args.student, args.teacher_iterations))
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train what is not trained yet, score everything; returns the object of the JSON line."""
    table = table_of(args.student, args.teacher_iterations)
    results = train_and_score(args, table)
    student = STUDENTS[args.student]
    networks = {"model": student.model, "options": student.options, "teacher": student.teacher}
    record = {"settings": settings(args, "student") | networks, "results": results}
    write_record(args, record)
    draw_curves(args, [row for row in table.rows if not args.rows or row.name in args.rows])
    for line in table_lines(results, [folder.name for folder in args.score]):
        print(line)  # noqa: T201
    return record


def draw_curves(args: argparse.Namespace, rows: Sequence[Row]) -> Path:
    """Held-out PSNR of every row's first seed over its iterations, as one picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    for index, row in enumerate(rows):
        log = folder_of(args, row, args.seeds[0]) / "student" / "log.jsonl"
        records = [json.loads(line) for line in log.read_text().splitlines()]
        scored = [(r["iteration"], r["psnr"]) for r in records if "psnr" in r]
        axes.plot(*zip(*scored, strict=True), label=row.name, ls=LINES[index // 10])
    axes.set(xlabel="iteration", ylabel="held-out PSNR, dB", title=f"{args.student}, x2")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    target: Path = args.out / "curves.png"
    figure.savefig(target, dpi=110)
    return target


def main(argv: Sequence[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
