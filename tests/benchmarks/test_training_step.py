from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import training_step

from edge_sr.models import build_model
from edge_sr.models.native_step import reason_against

AGAINST = reason_against(build_model("fsrcnn_residual", 2), 16, torch.device("cpu"))
OPTIONS = "--scales 2 --threads 1 --batch-size 2 --patch-size 16 --rounds 1 --seconds 0.01"


@pytest.mark.skipif(AGAINST is not None, reason=f"no native step: {AGAINST}")
def test_table_and_record_hold_both_ways_of_every_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "record.json"
    assert training_step.main([*OPTIONS.split(), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    record = json.loads(lines[-1])
    assert record == json.loads(out.read_text())
    assert [(row["method"], row["layers"]) for row in record["results"]] == [
        ("baseline", "torch"),
        ("baseline", "native"),
        ("qat", "torch"),
        ("qat", "native"),
    ]
    assert all(row["iterations_per_s"] > 0 for row in record["results"])
    torch_row, native_row = record["results"][:2]
    ratio = torch_row["median_ms"] / native_row["median_ms"]
    assert lines[2].startswith("| baseline | x2 | 1 |")
    assert lines[2].endswith(f"| {ratio:.1f} |")


def test_threads_beyond_the_machine_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        training_step.main(["--threads", "4000"])
    assert ended.value.code == 2
    assert "--threads must be from 1 to" in capsys.readouterr().err
