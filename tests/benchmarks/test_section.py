"""Whole sections with workers that only play their part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from side_by_side import section as section_module
from side_by_side.bursts import Burst
from side_by_side.chain import Array
from side_by_side.process import WorkerError, chosen_cpus
from side_by_side.section import Settings, run_section
from side_by_side.subject import Subject, read_subject

SECONDS = {"native int8": 0.002, "native fp32": 0.006, "onnxruntime fp32": 0.03, "peak int8": 0.5}


class FakeWorker:
    """Takes a fixed time; ``broken`` cases fail, ``wrong`` ones compute nonsense."""

    broken: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    reference: Array = np.zeros(0)
    folder = Path()
    load = 0.0
    asked: list[str] = []  # noqa: RUF012
    opened: list[str] = []  # noqa: RUF012 - emptied by the fixture
    closed: list[str] = []  # noqa: RUF012

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        cpus: frozenset[int],
        environment: Mapping[str, str],
    ) -> None:
        self.name, self.command = name, command
        assert environment["OMP_NUM_THREADS"] == "1"
        assert cpus == chosen_cpus(1)
        if name in self.broken:
            raise WorkerError(name, "does not open")
        self.opened.append(name)
        np.save(self.folder / "result.npy", self.reference + (99 if name in self.wrong else 0))
        detail = "avx512vnni" if "native int8" in name else ""
        self.facts: dict[str, Any] = {"version": "1", "detail": detail}

    def burst(self, seconds: float) -> Burst:
        self.asked.append(self.name)
        time = next(value for key, value in SECONDS.items() if self.name.startswith(key))
        return Burst((time, time * (2 if "nchwc" in self.name else 1)), self.load)

    def close(self) -> dict[str, Any]:
        self.closed.append(self.name)
        return {"peak_mb": 40.0, "idle_mb": 20.0}


@pytest.fixture
def subject(shipped: Path, noise: Array) -> Subject:
    return read_subject(shipped, noise)


@pytest.fixture
def settings(subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(section_module, "Worker", FakeWorker)
    monkeypatch.setattr(
        section_module, "peak_kernels", lambda _: [("int8", "avx512vnni"), ("int8", "avx2")]
    )
    for name, value in {
        "reference": subject.reference,
        "folder": tmp_path,
        "asked": [],
        "opened": [],
        "closed": [],
    }.items():
        monkeypatch.setattr(FakeWorker, name, value)
    return Settings(
        runtimes=("native", "onnxruntime"),
        precisions=("fp32", "int8"),
        isas=("auto",),
        can_edit_graphs=False,
        rounds=3,
        seconds=0.01,
        attempts=1,
        seed=0,
        peak=tmp_path / "peak",
        folder=tmp_path,
    )


def silent(text: str) -> None:
    del text


def test_a_section_holds_rows_floors_and_ratios(subject: Subject, settings: Settings) -> None:
    told: list[str] = []
    settings = replace(settings, precisions=("fp32",), runtimes=("onnxruntime",), peak=None)
    section = run_section(subject, 1, settings, told.append)
    assert [row["setting"] for row in section["rows"]] == ["sub-pixel"]  # nchwc=off was slower
    assert section["heats_ms"] == {
        "onnxruntime fp32 sub-pixel": 30.0,
        "onnxruntime fp32 sub-pixel nchwc=off": 45.0,
    }
    assert section["peaks"] == []
    assert [line.split()[0] for line in told] == ["heat", "heat", "race"]


def test_the_peak_races_where_the_native_engine_has_its_kernel(
    subject: Subject, settings: Settings
) -> None:
    section = run_section(subject, 1, replace(settings, runtimes=("native",)), silent)
    assert [(peak["precision"], peak["isa"]) for peak in section["peaks"]] == [
        ("int8", "avx512vnni")
    ]
    assert section["peaks"][0]["gmac_per_s"] == 2.0
    # Half a second for 1e9 MACs.
    expected = 12464 * subject.frame.size / 1e9 * 500
    rows = {row["precision"]: row for row in section["rows"]}
    assert rows["int8"]["floor_ms"] == pytest.approx(expected, abs=1e-3)
    assert rows["int8"]["to_floor"] == pytest.approx(2 / expected, abs=1e-3)
    assert "floor_ms" not in rows["fp32"]
    assert rows["int8"]["psnr_db"] == 200
    assert (rows["int8"]["peak_mb"], rows["int8"]["idle_mb"]) == (40.0, 20.0)
    assert section["size"] == [23, 19]
    assert section["cpus"] == sorted(chosen_cpus(1))
    assert sorted(FakeWorker.opened) == sorted(FakeWorker.closed)


def test_cases_that_fail_or_are_wrong_are_left_out_with_the_reason(
    subject: Subject, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeWorker, "broken", ("native fp32 fused",))
    monkeypatch.setattr(FakeWorker, "wrong", ("onnxruntime fp32 sub-pixel nchwc=off",))
    section = run_section(subject, 1, replace(settings, precisions=("fp32",)), silent)
    assert section["left_out"]["native fp32 fused"] == "does not open"
    reason = section["left_out"]["onnxruntime fp32 sub-pixel nchwc=off"]
    assert reason == "wrong result: 8.2 dB from the reference, fp32 needs 80"
    assert [row["runtime"] for row in section["rows"]] == ["onnxruntime"]
    assert section["best_others"] == {}
    assert sorted(FakeWorker.opened) == sorted(FakeWorker.closed)


def test_only_the_race_tries_disturbed_bursts_again(
    subject: Subject, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeWorker, "load", 1.0)
    settings = replace(settings, runtimes=("native",), precisions=("fp32",), attempts=5)
    section = run_section(subject, 1, settings, silent)
    assert len(FakeWorker.asked) == 2 + 3 * 5  # two heats, three rounds
    assert section["rows"][0]["warning"] == "other load in 3 of 3 bursts"


def test_a_section_in_which_nothing_runs_is_an_error(
    subject: Subject, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeWorker, "broken", ("native fp32 fused",))
    only = replace(settings, runtimes=("native",), precisions=("fp32",))
    with pytest.raises(RuntimeError, match="no case runs; native fp32 fused: does not open"):
        run_section(subject, 1, only, silent)
    with pytest.raises(RuntimeError, match=r"^no case runs$"):
        run_section(subject, 1, replace(settings, runtimes=()), silent)
