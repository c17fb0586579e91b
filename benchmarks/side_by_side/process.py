"""A process that times one case, so that no runtime shares threads or memory with another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from side_by_side.bursts import Burst
from side_by_side.load import LoadWatch


class WorkerError(RuntimeError):
    """A worker could not open or run its case: the message says which, ``reason`` why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.reason = reason


class Worker:
    """Speaks JSON lines with a worker: facts once it is ready, seconds for each burst."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        cpus: frozenset[int],
        environment: Mapping[str, str],
    ) -> None:
        self._name = name
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _end
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            env={**os.environ, **environment},
            preexec_fn=lambda: _pin(cpus),
        )
        self._load = LoadWatch(self._process.pid, cpus)
        try:
            self.facts: dict[str, Any] = self._read()
        except BaseException:
            self._end()
            raise

    def burst(self, seconds: float) -> Burst:
        """Time calls for so long; WorkerError if the worker fails."""
        values, foreign = self._load.watch(lambda: self._ask(seconds))
        return Burst(tuple(values), foreign)

    def close(self) -> dict[str, Any]:
        """End the worker; returns its last facts, none if it failed or was interrupted before."""
        last: Any = {}
        with suppress(WorkerError, OSError):
            if self._process.stdin:
                self._process.stdin.close()
            last = self._read()
        self._end()
        return last if isinstance(last, dict) else {}

    def _ask(self, seconds: float) -> list[float]:
        if not self._process.stdin:
            raise WorkerError(self._name, "the worker takes no input")
        try:
            self._process.stdin.write(f"{seconds}\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerError(self._name, self._ending()) from error
        values: list[float] = self._read()
        return values

    def _read(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line.endswith("\n"):
            raise WorkerError(self._name, self._ending())
        value = json.loads(line)
        if isinstance(value, dict) and "error" in value:
            raise WorkerError(self._name, value["error"])
        return value

    def _ending(self) -> str:
        code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
        return f"the worker ended with {how}: {last[:200]}"

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._complaints):
            if pipe:
                with suppress(OSError):
                    pipe.close()


def python_command(module: str, *words: str) -> list[str]:
    """Run a module with this interpreter."""
    return [sys.executable, "-m", module, *words]


def worker_environment(threads: int) -> dict[str, str]:
    """This process's import path, and one thread count for libraries that read it from here."""
    return {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": str(threads),
    }


def usable_cpus() -> frozenset[int]:
    """Numbers of the CPUs that this process may use."""
    if not hasattr(os, "sched_getaffinity"):
        return frozenset(range(os.cpu_count() or 1))
    return frozenset(os.sched_getaffinity(0))


def chosen_cpus(threads: int) -> frozenset[int]:
    """All usable CPUs, or for one thread the last of them: the first serves interrupts."""
    usable = usable_cpus()
    return frozenset({max(usable)}) if threads == 1 else usable


def _pin(cpus: frozenset[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
