"""One bundle at one size and thread count: open every case, race the best, check all results."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from side_by_side.bursts import Burst, interleave, timing
from side_by_side.cases import Case, finalists, plan_cases
from side_by_side.floor import needed_kernels, peak_entry, peak_kernels
from side_by_side.process import (
    Worker,
    WorkerError,
    chosen_cpus,
    python_command,
    worker_environment,
)
from side_by_side.rows import PEAK, Measured, best_others, case_rows, peak_case
from side_by_side.subject import Subject

_HEATS = 2
Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What all sections share."""

    runtimes: tuple[str, ...]
    precisions: tuple[str, ...]
    isas: tuple[str, ...]
    can_edit_graphs: bool
    rounds: int
    seconds: float
    attempts: int
    seed: int
    peak: Path | None
    folder: Path


def run_section(subject: Subject, threads: int, settings: Settings, say: Say) -> dict[str, Any]:
    """Measure a section; returns its part of the record. RuntimeError if no case runs."""
    return _Section(subject, threads, settings, say).run()


class _Section:
    def __init__(self, subject: Subject, threads: int, settings: Settings, say: Say) -> None:
        self.subject, self.threads, self.settings, self.say = subject, threads, settings, say
        self.cpus = chosen_cpus(threads)
        self.facts: dict[Case, dict[str, Any]] = {}
        self.left_out: dict[str, str] = {}
        np.save(settings.folder / "frame.npy", subject.frame)

    def run(self) -> dict[str, Any]:
        heats = self._heats()
        bursts = self._race(finalists(heats))
        peaks = self._peaks(bursts)
        floors = {(peak["precision"], peak["isa"]): float(peak["floor_ms"]) for peak in peaks}
        measured = [
            Measured(case, timing(found), self.facts[case])
            for case, found in bursts.items()
            if case.runtime != PEAK
        ]
        rows = case_rows(measured, floors)
        height, width = self.subject.frame.shape
        return {
            "bundle": self.subject.bundle.name,
            "model": self.subject.manifest.model,
            "scale": self.subject.chain.scale,
            "macs_per_pixel": self.subject.chain.macs,
            "size": [width, height],
            "threads": self.threads,
            "cpus": sorted(self.cpus),
            "peaks": peaks,
            "rows": rows,
            "best_others": best_others(rows),
            "heats_ms": {case.name: round(median, 3) for case, median in heats.items()},
            "left_out": self.left_out,
        }

    def _heats(self) -> dict[Case, float]:
        """Each case alone, briefly: its median, its result checked; failures are left out."""
        settings = self.settings
        cases = plan_cases(
            settings.runtimes,
            settings.precisions,
            isas=settings.isas,
            bundled=self.subject.manifest.precisions,
            can_edit_graphs=settings.can_edit_graphs,
        )
        medians: dict[Case, float] = {}
        for number, case in enumerate(cases, 1):
            self.say(f"heat {number}/{len(cases)}  {case.name}  {self.threads} threads")
            try:
                medians[case] = self._heat(case)
            except WorkerError as error:
                self.left_out[case.name] = error.reason
        if not medians:
            reasons = [f"{name}: {reason}" for name, reason in self.left_out.items()]
            raise RuntimeError("; ".join(["no case runs", *reasons]))
        return medians

    def _heat(self, case: Case) -> float:
        with self._worker(case) as worker:
            try:
                psnr = self.subject.checked_psnr(np.load(self._result), case.precision)
            except ValueError as error:
                raise WorkerError(case.name, str(error)) from error
            self.facts[case] = {**worker.facts, "psnr_db": psnr}
            found = interleave({case: worker}, _HEATS, self.settings.seconds, random.Random(0))
        return timing(found[case]).median

    def _race(self, cases: list[Case]) -> dict[Case, list[Burst]]:
        settings = self.settings
        entrants = [*cases, *(peak_case(*kernel) for kernel in self._kernels(cases))]
        with ExitStack() as stack:
            workers = {case: stack.enter_context(self._worker(case)) for case in entrants}
            self.say(f"race  {len(workers)} processes  {settings.rounds} rounds")
            return interleave(
                workers,
                settings.rounds,
                settings.seconds,
                random.Random(settings.seed),
                attempts=settings.attempts,
            )

    def _kernels(self, cases: list[Case]) -> list[tuple[str, str]]:
        native = [c for c in cases if c.runtime == "native"]
        if self.settings.peak is None or not native:
            return []
        ran = [(case.precision, self.facts[case]["detail"]) for case in native]
        return needed_kernels(peak_kernels(self.settings.peak), ran)

    def _peaks(self, bursts: Mapping[Case, list[Burst]]) -> list[dict[str, Any]]:
        return [
            peak_entry(case.precision, case.option, timing(found, unit=1), self.subject.frame_macs)
            for case, found in bursts.items()
            if case.runtime == PEAK
        ]

    @property
    def _result(self) -> Path:
        return self.settings.folder / "result.npy"

    @contextmanager
    def _worker(self, case: Case) -> Iterator[Worker]:
        worker = Worker(
            case.name,
            self._command(case),
            cpus=self.cpus,
            environment=worker_environment(self.threads),
        )
        try:
            yield worker
        finally:
            self.facts.setdefault(case, {}).update(worker.close())

    def _command(self, case: Case) -> list[str]:
        if case.runtime == PEAK:
            return [str(self.settings.peak), case.precision, case.option, str(self.threads)]
        words = {
            "case": asdict(case),
            "bundle": str(self.subject.bundle),
            "threads": self.threads,
            "frame": str(self.settings.folder / "frame.npy"),
            "result": str(self._result),
        }
        return python_command("side_by_side.worker", json.dumps(words))
