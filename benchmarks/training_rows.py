"""Rows of a table that are training runs at equal budgets: train what is missing, score, print.

A row is a run of edge_sr.train in a folder of its own; finished ones are kept and interrupted ones
go on when the command is given again. A row's teacher and the row that it continues are trained
before it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.atomic import written_beside

STUDENT = "student.safetensors"


@dataclass(frozen=True)
class Row:
    """A line of a table: options of edge_sr.train, and the paper's Set5 and B100 in dB.

    ``teacher`` names one of the table's teachers; ``after`` a row whose weights it starts from.
    """

    name: str
    options: tuple[str, ...]
    teacher: str = ""
    after: str = ""
    published: tuple[float | None, float | None] = (None, None)

    @property
    def folder(self) -> str:
        """The name as a folder's."""
        return "".join(c if c.isalnum() or c in ".-" else "_" for c in self.name)


@dataclass(frozen=True)
class Teacher:
    """A run that leaves a teacher, for ``--teacher``: its whole folder, or its student."""

    options: tuple[str, ...]
    is_network: bool


@dataclass(frozen=True)
class Table:
    """All rows by name, and the teachers that they name."""

    rows: Sequence[Row]
    teachers: Mapping[str, Teacher]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that every table of runs has."""
    add = parser.add_argument
    add("--data", nargs="+", required=True, metavar="DIR", help="folders of training pictures")
    add("--score", nargs="+", type=Path, required=True, metavar="DIR", help="test pictures")
    add("--out", type=Path, required=True, help="folder of all runs")
    add("--iterations", type=int, default=10_000, help="of each student, default %(default)s")
    add("--teacher-iterations", type=int, default=10_000, help="default %(default)s")
    add("--batch-size", type=int, default=16)
    add("--patch-size", type=int, default=32)
    add("--seeds", type=int, nargs="+", default=[0])
    add("--rows", nargs="+", metavar="NAME", help="only these; default all")
    add("--jobs", type=int, default=1, help="runs at a time, of one thread each")


def check_arguments(
    parser: argparse.ArgumentParser, args: argparse.Namespace, table: Table
) -> None:
    """End with a line for rows that the table lacks, or no jobs."""
    names = [row.name for row in table.rows]
    unknown = [name for name in args.rows or [] if name not in names]
    if unknown:
        parser.error(f"--rows {', '.join(unknown)!r} is not of: {'; '.join(names)}")
    if args.jobs < 1:
        parser.error(f"--jobs {args.jobs} must be at least 1")


def train_and_score(args: argparse.Namespace, table: Table) -> list[dict[str, Any]]:
    """One result for each row that was asked for, and for those that they continue."""
    chosen = [row for row in table.rows if not args.rows or row.name in args.rows]
    missing = {row.after for row in chosen if row.after} - {row.name for row in chosen}
    chosen = [*(row for row in table.rows if row.name in missing), *chosen]
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        named = dict.fromkeys(row.teacher for row in chosen if row.teacher)
        teaching = [(_teacher_folder(args, t, seed), table.teachers[t].options) for t in named]
        _run_all(teaching, args, seed)
        for part in (False, True):
            runs = [
                (folder_of(args, row, seed), _options(args, table, row, seed))
                for row in chosen
                if bool(row.after) is part
            ]
            _run_all(runs, args, seed)
    return [_result(args, row) for row in chosen]


def write_record(args: argparse.Namespace, record: dict[str, Any]) -> None:
    """``record.json`` in the folder of all runs."""
    with written_beside(args.out / "record.json") as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")


def settings(args: argparse.Namespace, *more: str) -> dict[str, Any]:
    """What all rows share."""
    names = ("iterations", "teacher_iterations", "batch_size", "patch_size", "seeds")
    return {name: getattr(args, name) for name in (*more, *names)}


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


def folder_of(args: argparse.Namespace, row: Row, seed: int) -> Path:
    """Where a row of a seed is trained."""
    folder: Path = args.out / f"seed{seed}" / row.folder
    return folder


def _teacher_folder(args: argparse.Namespace, teacher: str, seed: int) -> Path:
    folder: Path = args.out / f"seed{seed}" / f"teacher_{teacher.replace(' ', '_')}"
    return folder


def _options(args: argparse.Namespace, table: Table, row: Row, seed: int) -> list[str]:
    options = [*row.options, "--iterations", str(args.iterations)]
    if row.teacher:
        folder = _teacher_folder(args, row.teacher, seed)
        is_network = table.teachers[row.teacher].is_network
        options += ["--teacher", str(folder / STUDENT if is_network else folder)]
    if row.after:
        before = next(r for r in table.rows if r.name == row.after)
        options += ["--init", str(folder_of(args, before, seed) / STUDENT)]
    return options


def _run_all(
    runs: Sequence[tuple[Path, Sequence[str]]], args: argparse.Namespace, seed: int
) -> None:
    def train(one: tuple[Path, Sequence[str]]) -> None:
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
    folders = [folder_of(args, row, seed) for seed in args.seeds]
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
