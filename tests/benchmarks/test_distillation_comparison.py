from __future__ import annotations

import json
from pathlib import Path

import distillation_comparison
import pytest
from pictures_support import write_pictures

from edge_sr.train import configure, parse_args


@pytest.mark.parametrize("student", list(distillation_comparison.STUDENTS))
def test_rows_are_runs_of_known_options(student: str) -> None:
    table = distillation_comparison.table_of(student, 100)
    assert len({row.folder for row in table.rows}) == len(table.rows) >= 5
    for row in table.rows:
        teacher = ["--teacher", "t.safetensors"] if row.teacher else []
        config = configure(parse_args(["--data", "x", "--out", "y", *row.options, *teacher]))
        assert (config.optimizer, config.schedule) == ("adam", "cosine")
        assert config.first_learning_rate == 1e-3
    for teacher_run in table.teachers.values():
        configure(parse_args(["--data", "x", "--out", "y", *teacher_run.options]))


@pytest.mark.slow
@pytest.mark.parametrize(("student", "row"), [("edsr", "LSFD and FFT"), ("idn", "PISR")])
def test_a_short_comparison_trains_scores_and_draws(
    student: str, row: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pictures(tmp_path / "pictures", 14, height=48, width=48)
    test = write_pictures(tmp_path / "tests", 1, height=40, width=40)
    options = ["--student", student, "--iterations", "2", "--teacher-iterations", "2"]
    options += ["--batch-size", "2", "--patch-size", "12", "--rows", row]
    options += ["--data", str(data), "--score", str(test), "--out", str(tmp_path / "out")]
    assert distillation_comparison.main(options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [r["name"] for r in json.loads(lines[-1])["results"]] == [row]
    assert lines[2].startswith(f"| {row} | ")
    assert (tmp_path / "out" / "curves.png").stat().st_size > 5000
