"""Train the rows of PISR's ablation tables and the controls they lack, all at equal budgets.

    python benchmarks/pisr_ablation.py --data clic/ cid22/ photos/ --score sets/Set5 sets/B100 \
        --iterations 10000 --teacher-iterations 10000 --jobs 4 --out runs/ablation

Rows are of tables 1 and, in the supplement, A, B and D (Lee et al., ECCV 2020), x2. A row is a run
of edge_sr.train in a folder of its own; finished ones are kept and interrupted ones go on when the
command is given again. stdout is a table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.atomic import written_beside
from runtime.cli import run_main

STUDENT = "student.safetensors"
BASELINE, TWICE = "baseline", "baseline, warm restart"
# Weights of the losses for which the paper gives none.
WEIGHTS = {"mae": "1e-2", "fitnet": "1e-2", "at": "1e2", "srkd": "1e-2"}


@dataclass(frozen=True)
class Row:
    """A line of a table: options of edge_sr.train, and the paper's Set5 and B100 in dB."""

    name: str
    options: tuple[str, ...]
    teacher: str = ""
    published: tuple[float | None, float | None] = (None, None)

    @property
    def folder(self) -> str:
        """The name as a folder's."""
        return "".join(c if c.isalnum() or c in ".-" else "_" for c in self.name)


def _pisr(name: str, lambda_teacher: str, *options: str, published: Any = (None, None)) -> Row:
    return Row(name, ("--method", "pisr", *options), f"hourglass {lambda_teacher}", published)


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
            (37.19, 31.60),
        ),
        _pisr("hourglass, MAE", "0", kept, *_loss("mae"), published=(37.22, 31.61)),
        _pisr("and transfer, MAE", "0", *_loss("mae"), published=(37.23, 31.63)),
        _pisr("and imitation, MAE", "1e-4", *_loss("mae"), published=(37.27, 31.65)),
        _pisr("and imitation, Gaussian", "1e-4", *_loss("gaussian"), published=(37.31, 31.66)),
        _pisr("full PISR (Laplace)", "1e-4", published=(37.33, 31.65)),
        Row(TWICE, ("--method", "baseline")),
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
        Row(f"FSRCNN-L as teacher, {loss}", ("--method", "pisr", *_loss(loss)), "fsrcnn_l", scores)
        for loss, scores in with_lr.items()
    ]
    return found


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of the ablation."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/pisr_ablation.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", nargs="+", required=True, metavar="DIR", help="folders of training pictures")
    add("--score", nargs="+", type=Path, required=True, metavar="DIR", help="test pictures")
    add("--out", type=Path, required=True, help="folder of all runs")
    add("--model", default="fsrcnn", help="student, default the paper's")
    add("--iterations", type=int, default=10_000, help="of each student, default %(default)s")
    add("--teacher-iterations", type=int, default=10_000, help="default %(default)s")
    add("--batch-size", type=int, default=16)
    add("--patch-size", type=int, default=32)
    add("--seeds", type=int, nargs="+", default=[0])
    add("--rows", nargs="+", metavar="NAME", help="only these; default all")
    add("--jobs", type=int, default=1, help="runs at a time, of one thread each")
    args = parser.parse_args(argv)
    names = [row.name for row in rows()]
    unknown = [name for name in args.rows or [] if name not in names]
    if unknown:
        parser.error(f"--rows {', '.join(unknown)!r} is not of: {'; '.join(names)}")
    if args.jobs < 1:
        parser.error(f"--jobs {args.jobs} must be at least 1")
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train what is not trained yet, score everything; returns the object of the JSON line."""
    chosen = [row for row in rows() if not args.rows or row.name in args.rows]
    if any(row.name == TWICE for row in chosen) and all(r.name != BASELINE for r in chosen):
        chosen.insert(0, next(row for row in rows() if row.name == BASELINE))
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        teachers = dict.fromkeys(row.teacher for row in chosen if row.teacher)
        later = [row for row in chosen if row.name == TWICE]
        first = [row for row in chosen if row.name != TWICE]
        _run_all(
            [(_teacher_folder(args, t, seed), _teaching(args, t)) for t in teachers], args, seed
        )
        for part in (first, later):
            _run_all([(_folder(args, r, seed), _learning(args, r, seed)) for r in part], args, seed)
    results = [_result(args, row) for row in chosen]
    record = {"settings": _settings(args), "results": results}
    with written_beside(args.out / "record.json") as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")
    for line in table_lines(results, [folder.name for folder in args.score]):
        print(line)  # noqa: T201
    return record


def table_lines(results: Sequence[dict[str, Any]], sets: Sequence[str]) -> list[str]:
    """Markdown: held-out PSNR, that of each test set beside the paper's, the gradients' ratio."""
    lines = [
        f"| row | held out | {' | '.join(sets)} | paper, Set5 / B100 | gradient ratio |",
        f"|{'---|' * (len(sets) + 4)}",
    ]
    for result in results:
        scores = [_spread(result["held_out"]), *(_spread(result["scores"][name]) for name in sets)]
        published = " / ".join("-" if x is None else f"{x:.2f}" for x in result["published"])
        ratio = result["gradient_ratio"]
        ratio_text = "-" if ratio is None else f"{ratio:.1e}"
        lines.append(f"| {result['name']} | {' | '.join(scores)} | {published} | {ratio_text} |")
    return lines


def _spread(values: Sequence[float]) -> str:
    """Mean, and half the range if there are several."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.2f}"
    return f"{mean:.2f} ± {(max(values) - min(values)) / 2:.2f}"


def _folder(args: argparse.Namespace, row: Row, seed: int) -> Path:
    folder: Path = args.out / f"seed{seed}" / row.folder
    return folder


def _teacher_folder(args: argparse.Namespace, teacher: str, seed: int) -> Path:
    folder: Path = args.out / f"seed{seed}" / f"teacher_{teacher.replace(' ', '_')}"
    return folder


def _teaching(args: argparse.Namespace, teacher: str) -> list[str]:
    """Options of a run that leaves the teacher; the student after PISR's is not used."""
    length = str(args.teacher_iterations)
    if teacher == "fsrcnn_l":
        return ["--method", "baseline", "--model", "fsrcnn_l", "--iterations", length]
    options = ["--method", "pisr", "--model", args.model, "--teacher-iterations", length]
    options += ["--iterations", "1"]
    if teacher == "plain":
        return [*options, "--teacher-form", "plain"]
    return [*options, "--lambda-teacher", teacher.split()[1]]


def _learning(args: argparse.Namespace, row: Row, seed: int) -> list[str]:
    options = [*row.options, "--model", args.model, "--iterations", str(args.iterations)]
    if row.teacher == "fsrcnn_l":
        options += ["--teacher", str(_teacher_folder(args, row.teacher, seed) / STUDENT)]
    elif row.teacher:
        options += ["--teacher", str(_teacher_folder(args, row.teacher, seed))]
    if row.name == TWICE:
        before = next(r for r in rows() if r.name == BASELINE)
        options += ["--init", str(_folder(args, before, seed) / STUDENT)]
    return options


def _run_all(runs: Sequence[tuple[Path, list[str]]], args: argparse.Namespace, seed: int) -> None:
    def train(one: tuple[Path, list[str]]) -> None:
        folder, options = one
        if (folder / "summary.json").is_file():
            return
        command = [sys.executable, "-m", "edge_sr.train", "--out", str(folder), "--threads", "1"]
        if (folder / "run.json").is_file():
            command.append("--resume")
        else:
            command += [*options, "--data", *args.data, "--batch-size", str(args.batch_size)]
            command += ["--patch-size", str(args.patch_size), "--held-out", "12"]
            command += ["--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{folder.name}: {done.stderr.strip().splitlines()[-1]}")
        sys.stderr.write(f"trained {folder.parent.name}/{folder.name}\n")

    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(train, runs))


def _result(args: argparse.Namespace, row: Row) -> dict[str, Any]:
    folders = [_folder(args, row, seed) for seed in args.seeds]
    return {
        "name": row.name,
        "published": list(row.published),
        "held_out": [json.loads((f / "summary.json").read_text())["psnr"] for f in folders],
        "scores": {
            data.name: [_psnr(folder / STUDENT, data) for folder in folders] for data in args.score
        },
        "gradient_ratio": _gradient_ratio(folders[0]),
    }


def _psnr(checkpoint: Path, data: Path) -> float:
    command = [sys.executable, "-m", "edge_sr.evaluate", str(checkpoint), "--data", str(data)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    results = json.loads(done.stdout.splitlines()[-1])["results"]
    return next(float(r["psnr"]) for r in results if r["name"] != "bicubic")


def _gradient_ratio(folder: Path) -> float | None:
    """Mean over the log of |gradient of the feature loss| / |gradient of the reconstruction|."""
    records = [json.loads(x) for x in (folder / "student" / "log.jsonl").read_text().splitlines()]
    ratios = [
        record["gradient_distillation"] / record["gradient_reconstruction"]
        for record in records
        if "gradient_distillation" in record
    ]
    return sum(ratios) / len(ratios) if ratios else None


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    names = ("model", "iterations", "teacher_iterations", "batch_size", "patch_size", "seeds")
    return {name: getattr(args, name) for name in names} | {"loss_weights": WEIGHTS}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
