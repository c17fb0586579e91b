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
def test_table_and_record_hold_every_way_of_every_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "record.json"
    networks = ["--networks", "student", "xl", "wide"]
    assert training_step.main([*OPTIONS.split(), *networks, "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    record = json.loads(lines[-1])
    assert record == json.loads(out.read_text())
    assert [(row["network"], row["method"], row["layers"]) for row in record["results"]] == [
        ("student", "baseline", "float32"),
        ("student", "baseline", "bfloat16"),
        ("student", "baseline", "native"),
        ("student", "qat", "float32"),
        ("student", "qat", "native"),
        ("xl", "baseline", "float32"),
        ("xl", "baseline", "bfloat16"),
        ("xl", "baseline", "native"),
        ("wide", "baseline", "float32"),
        ("wide", "baseline", "bfloat16"),
    ]
    assert all(row["iterations_per_s"] > 0 for row in record["results"])
    rates = [f"{row['iterations_per_s']:.1f}" for row in record["results"]]
    assert lines[2:6] == [
        f"| student | baseline | x2 | 1 | {' | '.join(rates[:3])} |",
        f"| student | qat | x2 | 1 | {rates[3]} | - | {rates[4]} |",
        f"| xl | baseline | x2 | 1 | {' | '.join(rates[5:8])} |",
        f"| wide | baseline | x2 | 1 | {rates[8]} | {rates[9]} | - |",
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_a_missing_gpu_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        training_step.main(["--device", "cuda"])
    assert ended.value.code == 2
    assert "--device cuda: PyTorch finds no CUDA device" in capsys.readouterr().err


def test_threads_beyond_the_machine_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        training_step.main(["--threads", "4000"])
    assert ended.value.code == 2
    assert "--threads must be from 1 to" in capsys.readouterr().err
