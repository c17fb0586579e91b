from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from side_by_side.process import (
    Worker,
    WorkerError,
    chosen_cpus,
    python_command,
    usable_cpus,
    worker_environment,
)

READY = "import json, os, sys; print(json.dumps({'version': '7'}), flush=True)\n"
ANSWERS = READY + (
    "for line in sys.stdin: print(json.dumps([float(line), 2.0]), flush=True)\n"
    "print(json.dumps({'peak_mb': 5.0}))\n"
)


@contextmanager
def started(code: str, threads: int = 1) -> Iterator[Worker]:
    worker = Worker(
        "a case",
        [sys.executable, "-S", "-c", code],
        cpus=chosen_cpus(threads),
        environment=worker_environment(threads),
    )
    try:
        yield worker
    finally:
        worker._end()


def test_a_worker_tells_its_facts_answers_bursts_and_ends_with_its_memory() -> None:
    with started(ANSWERS) as worker:
        assert worker.facts == {"version": "7"}
        burst = worker.burst(0.25)
        assert burst.seconds == (0.25, 2.0)
        assert burst.foreign_cores >= 0
        assert worker.burst(0.5).seconds == (0.5, 2.0)
        assert worker.close() == {"peak_mb": 5.0}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; sys.exit('no such luck')", "exit code 1: no such luck"),
        ("import os; os._exit(3)", "exit code 3: no message"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9: no message"),
        ("import nothing_of_this_name", "nothing_of_this_name"),
        ("print('{\"half\": ', end='')", "exit code 0"),
    ],
)
def test_a_worker_that_dies_before_it_is_ready(code: str, reason: str) -> None:
    with pytest.raises(WorkerError) as caught, started(code):
        pass
    assert reason in caught.value.reason
    assert str(caught.value) == f"a case: {caught.value.reason}"


def test_a_worker_that_reports_an_error() -> None:
    code = 'print(\'{"error": "cannot open it"}\', flush=True); import time; time.sleep(60)'
    with pytest.raises(WorkerError) as caught, started(code):
        pass
    assert caught.value.reason == "cannot open it"


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ("sys.stdin.readline(); os.kill(os.getpid(), 11)", "signal 11"),
        ('sys.stdin.readline(); print(\'{"error": "out of luck"}\')', "out of luck"),
        ("sys.stdin.close(); sys.exit(4)", "exit code 4"),
    ],
)
def test_a_worker_that_dies_in_a_burst(after: str, reason: str) -> None:
    with started(READY + after) as worker:
        with pytest.raises(WorkerError, match=reason):
            worker.burst(0.1)
        assert worker.close() == {}


def test_a_worker_that_died_between_bursts() -> None:
    with started(READY + "sys.exit('tired')") as worker:
        worker._process.wait()
        with pytest.raises(WorkerError, match="exit code 1: tired"):
            worker.burst(0.1)


def test_an_answer_that_nobody_took_is_not_mistaken_for_the_last_facts() -> None:
    with started(READY + "print('[1.0]', flush=True); sys.stdin.read()") as worker:
        assert worker.close() == {}


def test_a_closed_worker_is_gone() -> None:
    with started(READY + "print(os.getpid(), flush=True); sys.stdin.read()") as worker:
        pid = worker._read()
        os.kill(pid, 0)
        worker.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_one_thread_is_kept_on_the_last_cpu() -> None:
    code = READY + (
        "print(json.dumps([sorted(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS']]))\n"
        "sys.stdout.flush(); sys.stdin.read()"
    )
    usable = os.sched_getaffinity(0)
    with started(code, threads=1) as worker:
        assert worker._read() == [[max(usable)], "1"]
    with started(code, threads=2) as worker:
        assert worker._read() == [sorted(usable), "2"]


def test_cpus_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5, 7}, raising=False)
    assert usable_cpus() == {2, 5, 7}
    assert chosen_cpus(1) == {7}
    assert chosen_cpus(2) == {2, 5, 7}


def test_workers_see_the_import_path_of_their_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["", "first", "second"])
    assert worker_environment(3)["PYTHONPATH"] == os.pathsep.join(["first", "second"])
    assert python_command("module", "word")[1:] == ["-m", "module", "word"]
