from __future__ import annotations

import json
from pathlib import Path

import pisr_ablation
import pytest
from pictures_support import write_pictures


def test_rows_have_names_and_folders_of_their_own_and_known_options() -> None:
    from edge_sr.train import parse_args

    rows = pisr_ablation.rows()
    assert len({row.folder for row in rows}) == len(rows) == len({row.name for row in rows})
    assert len(rows) == 28
    for row in rows:
        parse_args(["--data", "x", "--out", "y", *row.options])


@pytest.mark.slow
def test_a_short_ablation_trains_scores_and_is_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pictures(tmp_path / "pictures", 14, height=48, width=48)
    test = write_pictures(tmp_path / "tests", 1, height=40, width=40)
    names = ["full PISR (Laplace)", pisr_ablation.TWICE, "FSRCNN-L as teacher, fitnet"]
    options = ["--iterations", "3", "--teacher-iterations", "3", "--batch-size", "2"]
    options += ["--patch-size", "16", "--jobs", "2", "--rows", *names]
    options += ["--data", str(data), "--score", str(test), "--out", str(tmp_path / "out")]
    assert pisr_ablation.main(options) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    results = json.loads(lines[-1])["results"]
    assert [r["name"] for r in results] == [pisr_ablation.BASELINE, names[0], names[1], names[2]]
    assert all(len(r["scores"]["tests"]) == 1 for r in results)
    assert len(lines) == 2 + 4 + 1
    assert captured.err.count("trained seed0/") == 6
    assert (tmp_path / "out" / "record.json").is_file()
    assert pisr_ablation.main(options) == 0
    assert "trained" not in capsys.readouterr().err


def test_unknown_rows_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pisr_ablation.parse_args(["--data", "x", "--score", "y", "--out", "z", "--rows", "nothing"])
    assert "'nothing' is not of: baseline;" in capsys.readouterr().err


def test_seeds_are_a_mean_and_half_the_range() -> None:
    result = {
        "name": "row",
        "published": [37.15, None],
        "held_out": [30.0, 30.2],
        "scores": {"Set5": [36.0, 36.1]},
        "gradient_ratio": 2e-5,
    }
    line = pisr_ablation.table_lines([result], ["Set5"])[-1]
    assert line == "| row | 30.10 ± 0.10 | 36.05 ± 0.05 | 37.15 / - | 2.0e-05 |"
