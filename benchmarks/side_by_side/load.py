"""How much of the CPUs others took while something of ours ran."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

# Columns of /proc/stat that are work: user, nice, system, irq, softirq, steal.
_BUSY = (0, 1, 2, 5, 6, 7)


class LoadWatch:
    """Compares the CPUs' busy time with that of one process."""

    def __init__(self, pid: int, cpus: frozenset[int], *, proc: Path = Path("/proc")) -> None:
        self._pid, self._cpus, self._proc = pid, cpus, proc

    def watch(
        self, work: Callable[[], Result], clock: Callable[[], float] = time.perf_counter
    ) -> tuple[Result, float]:
        """The result of ``work``, and how many cores others kept busy meanwhile, 0.0 if unknown."""
        started, before = clock(), self._others_seconds()
        result = work()
        elapsed, after = clock() - started, self._others_seconds()
        if before is None or after is None or elapsed <= 0:
            return result, 0.0
        return result, max(0.0, (after - before) / elapsed)

    def _others_seconds(self) -> float | None:
        stat, own = self._proc / "stat", self._proc / str(self._pid) / "stat"
        try:
            return (
                busy_ticks(stat.read_text(), self._cpus) - own_ticks(own.read_text())
            ) / _hertz()
        except OSError:
            return None


def busy_ticks(stat: str, cpus: frozenset[int]) -> int:
    """Ticks that these CPUs have worked, from /proc/stat."""
    total = 0
    for line in stat.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in cpus:
            total += sum(int(fields[column]) for column in _BUSY)
    return total


def own_ticks(stat: str) -> int:
    """Ticks in user and kernel mode of all threads, from /proc/PID/stat."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _hertz() -> int:
    return os.sysconf("SC_CLK_TCK")
