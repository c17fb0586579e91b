"""The process that times one case.

    python -m side_by_side.worker '{"case": {...}, "bundle": ..., "threads": ..., ...}'

Writes its result once, says that it is ready, then answers each line of seconds on stdin with the
seconds of its calls, and the end of stdin with its memory. All answers are JSON lines.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from side_by_side.cases import Case


def main(argv: list[str] | None = None) -> int:
    """Command line entry; 1 with an ``error`` line if the case cannot be opened."""
    words = json.loads((sys.argv[1:] if argv is None else argv)[0])
    answers = _private_stdout()
    idle_mb = memory_mb("VmRSS")
    try:
        run, facts = _open(words)
        _answer(answers, facts)
        for seconds in map(float, sys.stdin):
            _answer(answers, time_calls(run, seconds))
    # Runtimes raise classes of their own, some derived from Exception alone.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        _answer(answers, {"error": reason[:300]})
        return 1
    _answer(answers, {"idle_mb": idle_mb, "peak_mb": memory_mb("VmHWM")})
    return 0


def time_calls(
    run: Callable[[], Any], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Durations of calls that begin within ``seconds``, at least one; the first call is dropped."""
    run()
    durations: list[float] = []
    until = clock() + seconds
    while not durations or clock() < until:
        started = clock()
        run()
        durations.append(clock() - started)
    return durations


def memory_mb(field: str) -> float:
    """A field of /proc/self/status in MB, 0.0 where there is none.

    Not getrusage: its peak includes the parent's from before exec.
    """
    try:
        lines: Iterable[str] = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    found = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return round(int(next(found, "0")) * 1024 / 1e6, 1)


def _open(words: dict[str, Any]) -> tuple[Callable[[], Any], dict[str, Any]]:
    case = Case(**words["case"])
    # Read once by the native engine; empty is no cap, whatever the user's environment says.
    os.environ["EDGE_SR_ISA"] = case.isa
    from side_by_side.engines import Job, open_engine

    job = Job(case, Path(words["bundle"]), words["threads"], np.load(words["frame"]))
    engine = open_engine(job)
    np.save(words["result"], engine.result().astype(np.float32))
    for _ in range(2):
        engine.run()
    return engine.run, {"version": engine.version, "detail": engine.detail}


def _private_stdout() -> TextIO:
    """Our own stdout; what libraries print goes to stderr instead."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _answer(answers: TextIO, value: Any) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
