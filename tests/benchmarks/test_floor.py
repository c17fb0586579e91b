from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from side_by_side.bursts import Timing
from side_by_side.floor import compile_peak, floor_ms, needed_kernels, peak_entry, peak_kernels
from side_by_side.process import Worker, chosen_cpus

from runtime.stats import device_facts


def test_a_floor_is_the_work_at_the_peak_rate() -> None:
    # 2e9 MACs at 0.25 s for 1e9.
    assert floor_ms(2_000_000_000, 0.25) == 500
    entry = peak_entry("int8", "avx2", Timing(0.25, 0.2, 0.3, 10, 5, 0), 2_000_000_000)
    assert entry == {"precision": "int8", "isa": "avx2", "gmac_per_s": 4.0, "floor_ms": 500.0}
    loud = peak_entry("int8", "avx2", Timing(0.25, 0.2, 0.3, 10, 5, 5), 1)
    assert loud["warning"] == "other load in 5 of 5 bursts"


def test_only_kernels_that_the_engine_runs_on_are_needed() -> None:
    kernels = [("fp32", "avx512"), ("fp32", "avx2"), ("int8", "avx2")]
    ran = [("int8", "avx2"), ("int8", "avx2"), ("fp32", "avx512"), ("fp32", "scalar")]
    assert needed_kernels(kernels, ran) == [("fp32", "avx512"), ("int8", "avx2")]


def test_without_a_compiler_there_is_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "g++")
    assert compile_peak(tmp_path) is None


@pytest.mark.parametrize("script", ["exit 1", 'echo no program > "${@: -1}"', "exit 0"])
def test_a_compiler_whose_program_does_not_run_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    compiler = tmp_path / "odd-compiler"
    compiler.write_text(f"#!{shutil.which('bash')}\n{script}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", str(compiler))
    assert compile_peak(tmp_path) is None


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_the_program_measures_every_kernel_that_it_lists(tmp_path: Path) -> None:
    program = compile_peak(tmp_path)
    assert program is not None
    kernels = peak_kernels(program)
    has_avx2 = "avx2" in device_facts()["isa"]
    assert (("fp32", "avx2") in kernels) == has_avx2
    for precision, isa in kernels:
        worker = Worker(
            isa, [str(program), precision, isa, "1"], cpus=chosen_cpus(1), environment={}
        )
        seconds = worker.burst(0.002).seconds
        assert worker.facts["detail"] == f"{precision} {isa}"
        assert worker.close() == {}
        assert len(seconds) == 10
        # Between 0.1 and 10 000 GMAC/s at best; a burst that other work interrupts may take longer.
        assert 1e-4 < min(seconds) < 10
