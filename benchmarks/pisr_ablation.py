"""Train the rows of PISR's ablation tables and the controls they lack, all at equal budgets.

    python benchmarks/pisr_ablation.py --data clic/ cid22/ photos/ --score sets/Set5 sets/B100 \
        --iterations 10000 --teacher-iterations 10000 --jobs 4 --out runs/ablation

Rows are of tables 1 and, in the supplement, A, B and D (Lee et al., ECCV 2020), x2; how they are
trained is in training_rows.py. stdout is a table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from training_rows import (
    Row,
    Table,
    Teacher,
    add_arguments,
    check_arguments,
    settings,
    table_lines,
    train_and_score,
    write_record,
)

from runtime.cli import run_main

BASELINE, TWICE = "baseline", "baseline, warm restart"
# Weights of the losses for which the paper gives none.
WEIGHTS = {"mae": "1e-2", "fitnet": "1e-2", "at": "1e2", "srkd": "1e-2"}


def _pisr(name: str, lambda_teacher: str, *options: str, published: Any = (None, None)) -> Row:
    teacher = f"hourglass {lambda_teacher}"
    return Row(name, ("--method", "pisr", *options), teacher, published=published)


def _loss(name: str) -> tuple[str, ...]:
    weight = WEIGHTS.get(name, "1e-6")
    return ("--imitation-loss", name, "--lambda-student", weight)


def rows() -> list[Row]:
    """All rows, those that others start from first."""
    kept = "--no-transfer"
    found = [
        Row(BASELINE, ("--method", "baseline"), published=(37.15, 31.58)),
        Row(
            "plain teacher, MAE",
            ("--method", "pisr", "--teacher-form", "plain", *_loss("mae")),
            "plain",
            published=(37.19, 31.60),
        ),
        _pisr("hourglass, MAE", "0", kept, *_loss("mae"), published=(37.22, 31.61)),
        _pisr("and transfer, MAE", "0", *_loss("mae"), published=(37.23, 31.63)),
        _pisr("and imitation, MAE", "1e-4", *_loss("mae"), published=(37.27, 31.65)),
        _pisr("and imitation, Gaussian", "1e-4", *_loss("gaussian"), published=(37.31, 31.66)),
        _pisr("full PISR (Laplace)", "1e-4", published=(37.33, 31.65)),
        Row(TWICE, ("--method", "baseline"), after=BASELINE),
        _pisr("teacher's start, lambda_S 0", "1e-4", "--lambda-student", "0"),
    ]
    found += [
        _pisr(f"full, lambda_S {weight}", "1e-4", "--lambda-student", weight)
        for weight in ("1e-5", "1e-4", "1e-3", "1e-2")
    ]
    maps = {"1x1x1": 37.29, "1xHxW": 37.29, "Cx1x1": 37.32}
    found += [
        _pisr(f"full, scale map {shape}", "1e-4", "--scale-map", shape, published=(score, None))
        for shape, score in maps.items()
    ]
    weights = {"0": 37.23, "1e-6": 37.25, "1e-2": 37.27, "1": 37.25}
    found += [
        _pisr(f"full, lambda_T {weight}", weight, published=(score, None))
        for weight, score in weights.items()
    ]
    with_hr = {"fitnet": (37.31, 31.64), "at": (37.31, 31.65), "srkd": (37.29, 31.64)}
    found += [
        _pisr(f"PISR's teacher, {loss}", "1e-4", *_loss(loss), published=scores)
        for loss, scores in with_hr.items()
    ]
    with_lr = {
        "mae": (37.20, 31.61),
        "fitnet": (37.16, 31.59),
        "at": (37.21, 31.61),
        "srkd": (37.21, 31.60),
        "laplace": (37.23, 31.61),
    }
    found += [
        Row(
            f"FSRCNN-L as teacher, {loss}",
            ("--method", "pisr", *_loss(loss)),
            "fsrcnn_l",
            published=scores,
        )
        for loss, scores in with_lr.items()
    ]
    return found


def table(args: argparse.Namespace) -> Table:
    """The rows with the student's name, and their teachers."""
    student = ("--model", args.model)
    length = str(args.teacher_iterations)
    # The student that follows PISR's teacher in its run is not used.
    taught = ("--method", "pisr", *student, "--teacher-iterations", length, "--iterations", "1")
    teachers = {
        name: Teacher((*taught, "--lambda-teacher", name.split()[1]), is_network=False)
        for name in (row.teacher for row in rows() if row.teacher.startswith("hourglass"))
    }
    teachers["plain"] = Teacher((*taught, "--teacher-form", "plain"), is_network=False)
    large = ("--method", "baseline", "--model", "fsrcnn_l", "--iterations", length)
    teachers["fsrcnn_l"] = Teacher(large, is_network=True)
    named = [replace(row, options=(*row.options, *student)) for row in rows()]
    return Table(named, teachers)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of the ablation."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/pisr_ablation.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.add_argument("--model", default="fsrcnn", help="student, default the paper's")
    args = parser.parse_args(argv)
    check_arguments(parser, args, table(args))
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train what is not trained yet, score everything; returns the object of the JSON line."""
    results = train_and_score(args, table(args))
    record = {
        "settings": settings(args, "model") | {"loss_weights": WEIGHTS},
        "results": results,
    }
    write_record(args, record)
    for line in table_lines(results, [folder.name for folder in args.score]):
        print(line)  # noqa: T201
    return record


def main(argv: Sequence[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
