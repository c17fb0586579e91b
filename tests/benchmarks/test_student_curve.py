from __future__ import annotations

import json
from pathlib import Path

import pytest
import student_curve


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """A record of benchmarks/quality.py with one bundle, of two sets of two pictures and one."""
    rows = {
        "bicubic": {"Set5": {"a": [30.0, 0.9], "b": [32.0, 0.9]}, "B100": {"a": [28.0, 0.8]}},
        "fp32": {"Set5": {"a": [34.0, 0.9], "b": [36.0, 0.9]}, "B100": {"a": [29.0, 0.8]}},
        "int8": {"Set5": {"a": [33.0, 0.9], "b": [36.0, 0.9]}, "B100": {"a": [29.0, 0.8]}},
    }
    record = {"protocol": "B", "bundles": {"fsrcnn-x2": {"scale": 2, "rows": rows}}}
    path = tmp_path / "quality.json"
    path.write_text(json.dumps(record))
    return path


@pytest.mark.usefixtures("needs_core")
def test_every_precision_is_timed_and_has_its_scores(
    shipped: Path, scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--scores", str(scores), "--height", "72", "--threads", "1", "--rounds", "1"]
    picture, out = tmp_path / "students.png", tmp_path / "record.json"
    files = ["--picture", str(picture), "--out", str(out)]
    assert student_curve.main([str(shipped), *options, *files]) == 0
    record = json.loads(out.read_text())
    assert [row["precision"] for row in record["results"]] == ["fp32", "int8"]
    fp32, int8 = record["results"]
    assert fp32["psnr"] == {"Set5": 35.0, "B100": 29.0}
    assert (fp32["mean_psnr"], int8["mean_psnr"]) == (33.0, 32.6667)
    assert all(row["median_ms"] > 0 for row in record["results"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "| `fsrcnn-x2` | " in capsys.readouterr().out


def test_bundle_without_scores_is_named(
    scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert student_curve.main([str(tmp_path / "mine.esr"), "--scores", str(scores)]) == 1
    assert "has no scores of mine" in capsys.readouterr().err


def test_table_has_a_line_for_each_bundle_in_order_of_time() -> None:
    def row(name: str, precision: str, milliseconds: float) -> dict[str, object]:
        psnr = {"Set5": 37.104, "B100": 31.6}
        return {"name": name, "precision": precision, "median_ms": milliseconds, "psnr": psnr}

    rows = [row("a", "fp32", 6.04), row("b", "fp32", 23.7), row("a", "int8", 1.85)]
    rows.append(row("b", "int8", 5.91))
    assert student_curve.table_lines(rows)[2:] == [
        "| `a` | 6.04 | 1.85 | 37.10 / 31.60 | 37.10 / 31.60 |",
        "| `b` | 23.7 | 5.91 | 37.10 / 31.60 | 37.10 / 31.60 |",
    ]


def test_curve_needs_a_picture_of_some_size() -> None:
    with pytest.raises(SystemExit):
        student_curve.parse_args(["a.esr", "--scores", "q.json", "--height", "10"])
