from __future__ import annotations

import json
from pathlib import Path

import network_speed
import pytest


@pytest.mark.slow
def test_networks_are_counted_and_timed_in_turns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--networks", "fsrcnn", "fsrcnn_residual_small", "--size", "32x24", "--rounds", "2"]
    assert network_speed.main([*options, "--threads", "1", "--out", str(tmp_path / "r.json")]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    record = json.loads(last)
    assert record == json.loads((tmp_path / "r.json").read_text())
    assert [row["name"] for row in record["results"]] == ["fsrcnn", "fsrcnn_residual_small"]
    assert all(row["median_ms"] > 0 for row in record["results"])
    assert lines[2].startswith("| `fsrcnn` | Y | 12.6 | 2.872 (6.007) | 8 |")


def test_a_network_without_a_halo_is_run_whole() -> None:
    row = {"name": "x", "channels": "rgb", "radius": None, "parameters": 1500, "median_ms": 2.0}
    line = network_speed.table_lines([{**row, "macs": 10**9, "hr_macs": 10**9}], "8x8")[-1]
    assert line == "| `x` | RGB | 1.5 | 1 | whole frame | 2 |"


@pytest.mark.parametrize("options", [["--size", "9"], ["--size", "8x8"], ["--rounds", "0"]])
def test_impossible_options_are_refused(options: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        network_speed.parse_args(options)
    assert stopped.value.code == 2
