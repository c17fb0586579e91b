from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from bundle_support import make_tiny_bundle

from runtime import bench, info
from runtime.stats import device_facts, summarize

KEYS = {"backend", "precision", "threads", "width", "height", "tile_size"}
KEYS |= {"median_ms", "p90_ms", "p99_ms", "fps"}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_tiny_bundle(tmp_path / "tiny.esr")


def test_each_precision_is_measured_whole_and_tiled(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bench.json"
    options = (
        "--size 48x32 --samples 3 --seconds 0 --tile-size 16 --threads 1 --precision fp32,int8"
    )
    assert bench.main([str(bundle), *options.split(), "--out", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    result = json.loads(printed[-1])
    rows = result["results"]
    assert [(r["precision"], r["tile_size"]) for r in rows] == [
        ("fp32", 0),
        ("fp32", 16),
        ("int8", 0),
        ("int8", 16),
    ]
    for row in rows:
        assert row.keys() >= KEYS
        assert row["samples"] == 3
        assert 0 < row["median_ms"] <= row["p90_ms"] <= row["p99_ms"]
        assert 0 < row["engine_ms"] <= row["p99_ms"]
    assert result["device"]["cores"] >= 1
    assert json.loads(out.read_text()) == result
    assert "CPUExecutionProvider" in printed[2]


class WakingUpscaler:
    """Slow in the first call after another one has run."""

    running: WakingUpscaler | None = None

    def upscale_timed(self, frame: np.ndarray) -> float:
        time.sleep(0.0 if WakingUpscaler.running is self else 0.05)
        WakingUpscaler.running = self
        return 0.0


def test_what_a_change_of_turns_costs_is_in_no_sample() -> None:
    cases = [bench.Case(WakingUpscaler()) for _ in range(2)]  # type: ignore[arg-type]
    frame = np.zeros((4, 4), np.uint8)
    for _ in range(2):
        for case in cases:
            bench._take_turn(case, frame, samples=len(case.samples) + 3, seconds=0.0)
    for case in cases:
        assert len(case.samples) == 6
        assert max(case.samples) < 0.04


def test_json_flag_leaves_one_line(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--size 16x16 --samples 1 --seconds 0 --tile-size 0 --precision int8 --json"
    assert bench.main([str(bundle), *options.split()]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("size", ["640", "0x4", "axb", "99999x4", "-1x4", ""])
def test_size_that_is_none_is_misuse(bundle: Path, size: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        bench.parse_args([str(bundle), f"--size={size}"])
    assert stopped.value.code == 2


def test_missing_bundle_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([str(tmp_path / "none.esr")]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"error: bundle {tmp_path / 'none.esr'} does not exist"
    ]


def test_info_checks_every_file(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert info.main([str(bundle)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "all files intact" in shown[0]
    assert json.loads(shown[-1])["model"] == "tiny"
    (bundle / "model.fp16.f32.onnx").write_bytes(b"x")
    assert info.main([str(bundle), "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["type"] == "ModelFormatError"


def test_summary_is_the_percentiles_in_milliseconds() -> None:
    summary = summarize([0.001 * n for n in range(1, 102)])
    assert (summary.median_ms, summary.p90_ms, summary.p99_ms) == pytest.approx((51, 91, 100))
    assert summary.spread == pytest.approx(91 / 51 - 1)


def test_device_facts_name_the_cpu_and_the_library() -> None:
    facts = device_facts()
    assert facts["cpu"]
    assert facts["onnxruntime"].count(".") >= 1
