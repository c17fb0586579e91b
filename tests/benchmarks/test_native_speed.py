from __future__ import annotations

import json
from pathlib import Path

import native_speed
import pytest


@pytest.mark.slow
def test_engines_take_turns_on_both_networks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("runtime._core")
    options = ["--networks", "fsrcnn", "--size", "32x24", "--rounds", "1", "--threads", "1", "2"]
    assert native_speed.main([*options, "--out", str(tmp_path / "r.json")]) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record == json.loads((tmp_path / "r.json").read_text())
    found = {(row["threads"], row["engine"]) for row in record["results"]}
    engines = ("native fp32", "native int8", "ONNX Runtime fp32", "ONNX Runtime int8")
    assert found >= {(threads, engine) for threads in (1, 2) for engine in engines}
    assert all(row["median_ms"] > 0 for row in record["results"])


def test_ratios_are_against_fp32_of_onnx_runtime() -> None:
    common = {"name": "x", "threads": 1, "gmac_per_s": 12.0}
    rows = [
        {**common, "engine": "native fp32", "median_ms": 2.0},
        {**common, "engine": "ONNX Runtime fp32", "median_ms": 5.0},
    ]
    lines = native_speed.table_lines(rows)
    assert lines[2] == "| `x` | 1 | native fp32 | 2 | 12 | 2.50 |"
    assert lines[3].endswith("| 1.00 |")


@pytest.mark.parametrize("options", [["--size", "9"], ["--rounds", "0"], ["--threads", "0"]])
def test_impossible_options_are_refused(options: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        native_speed.parse_args(options)
    assert stopped.value.code == 2
