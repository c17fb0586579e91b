from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from side_by_side.cases import Case
from side_by_side.chain import Array, read_chain
from side_by_side.process import (
    Worker,
    WorkerError,
    chosen_cpus,
    python_command,
    worker_environment,
)
from side_by_side.reference import psnr_db, reference_frame
from side_by_side.worker import memory_mb, time_calls


class Clock:
    """Moves only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def timed(durations: list[float], seconds: float) -> list[float]:
    clock, left = Clock(), list(durations)

    def run() -> None:
        clock.now += left.pop(0)

    return time_calls(run, seconds, clock)


def test_calls_begin_within_the_time_and_the_first_one_is_dropped() -> None:
    assert timed([100.0, 1.0, 2.0, 3.0, 4.0], 4.0) == [1.0, 2.0, 3.0]


def test_one_call_is_timed_however_long_it_takes() -> None:
    assert timed([100.0, 50.0], 0.0) == [50.0]


def test_memory_is_that_of_this_process() -> None:
    pytest.importorskip("resource")
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here")
    assert 5 < memory_mb("VmRSS") <= memory_mb("VmHWM") < 1e6
    assert memory_mb("VmNothing") == 0.0


def test_what_libraries_print_is_no_answer() -> None:
    code = (
        "import os; from side_by_side import worker; answers = worker._private_stdout()\n"
        "os.write(1, b'a greeting\\n'); print('another', flush=True)\n"
        "worker._answer(answers, {'version': '1'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **worker_environment(1)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"version": "1"}
    assert done.stderr.split() == ["a", "greeting", "another"]


def opened(case: Case, bundle: Path, frame: Array, folder: Path) -> Worker:
    np.save(folder / "frame.npy", frame)
    words: dict[str, Any] = {
        "case": asdict(case),
        "bundle": str(bundle),
        "threads": 1,
        "frame": str(folder / "frame.npy"),
        "result": str(folder / "result.npy"),
    }
    return Worker(
        case.name,
        python_command("side_by_side.worker", json.dumps(words)),
        cpus=chosen_cpus(1),
        environment=worker_environment(1),
    )


def test_the_worker_leaves_its_result_and_times_calls(
    shipped: Path, noise: Array, tmp_path: Path
) -> None:
    worker = opened(Case("onnxruntime", "fp32"), shipped, noise, tmp_path)
    durations = worker.burst(0.001).seconds
    last = worker.close()
    assert min(durations) > 0
    assert worker.facts["version"].count(".") == 2
    expected = reference_frame(read_chain(shipped), noise)
    assert psnr_db(np.load(tmp_path / "result.npy"), expected) > 100
    assert 0 < last["idle_mb"] < last["peak_mb"]


def test_what_a_runtime_raises_is_the_reason(shipped: Path, noise: Array, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="no-such-runtime"):
        opened(Case("no-such-runtime", "fp32"), shipped, noise, tmp_path)
    with pytest.raises(WorkerError, match="does not exist"):
        opened(Case("onnxruntime", "fp32"), tmp_path / "none.esr", noise, tmp_path)


@pytest.mark.usefixtures("needs_core")
def test_the_engine_says_what_it_runs_on_and_never_runs_less(
    shipped: Path, noise: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_SR_ISA", "no-such-cap")  # a case's own cap counts, even none
    worker = opened(Case("native", "int8", isa="scalar"), shipped, noise, tmp_path)
    worker.close()
    assert worker.facts["detail"] == "scalar"
    opened(Case("native", "fp32"), shipped, noise, tmp_path).close()
    with pytest.raises(WorkerError, match="runs as fp32 with these instructions"):
        opened(Case("native", "bf16", isa="scalar"), shipped, noise, tmp_path)
