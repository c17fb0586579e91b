from __future__ import annotations

import json
from pathlib import Path

import pytest
import quality
from pictures_support import write_pictures


def scored(*drops: float) -> dict[str, object]:
    pictures = {f"{i}.png": [30.0 + i, 0.9] for i in range(len(drops))}
    lower = {f"{i}.png": [30.0 + i - drop, 0.9] for i, drop in enumerate(drops)}
    rows = {"bicubic": {"set": pictures}, "fp32": {"set": pictures}, "int8": {"set": lower}}
    return {"scale": 2, "rows": rows}


def test_losses_are_means_and_the_worst_picture() -> None:
    lines = quality.loss_lines({"bundles": {"b-x2": scored(0.01, 0.05)}}, ["set"])
    assert lines[-1] == "| `b-x2` | int8 | 0.030 | 0.050 (set 1.png) |"


def test_scores_are_by_scale_with_bicubic_first() -> None:
    lines = quality.score_lines({"checkpoints": {"s-x2": scored(0.0, 0.0)}}, ["set"])
    assert lines[2:] == ["| x2 bicubic | 30.50 / 0.9000 |", "| `s-x2` | 30.50 / 0.9000 |"]


@pytest.mark.slow
def test_shipped_students_and_bundles_are_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pictures(tmp_path / "pictures", 2, height=60, width=72)
    out = tmp_path / "record.json"
    assert quality.main(["--data", str(data), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    record = json.loads(lines[-1])
    assert json.loads(out.read_text()) == record
    assert {scored["scale"] for scored in record["checkpoints"].values()} == {2, 3, 4}
    assert {"fsrcnn-x2", "fsrcnn-x3", "fsrcnn-x4"} <= set(record["bundles"])
    # A checkpoint and a bundle may have one name.
    assert set(record["checkpoints"]["fsrcnn-x2"]["rows"]) == {"bicubic", "fp32"}
    for bundle in record["bundles"].values():
        assert {"bicubic", "fp32", "int8"} <= set(bundle["rows"])
    assert any(line.startswith("| `fsrcnn-x3` | int8 | ") for line in lines)


def test_missing_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quality.main(["--data", str(tmp_path / "none")]) == 1
    assert "Traceback" not in capsys.readouterr().err
