from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from side_by_side.load import LoadWatch, busy_ticks, own_ticks

HERTZ = os.sysconf("SC_CLK_TCK")


def stat(*busy: int) -> str:
    """/proc/stat with the user ticks of each CPU; other columns must not count, or must."""
    lines = [f"cpu  {sum(busy)} 0 0 0 0 0 0 0 0 0"]
    lines += [f"cpu{cpu} {ticks} 0 0 5000 700 0 0 0 90 9" for cpu, ticks in enumerate(busy)]
    return "\n".join([*lines, "intr 123 4 5", "ctxt 99"]) + "\n"


def own(ticks: int) -> str:
    return f"77 (a (b) c) S 1 77 77 0 -1 4194560 1 2 3 4 {ticks - 1} 1 50 60 20 0 9 0 1 2 3"


def test_busy_ticks_are_those_of_the_chosen_cpus() -> None:
    text = stat(10, 200, 3000)
    assert busy_ticks(text, frozenset({0})) == 10
    assert busy_ticks(text, frozenset({0, 2})) == 3010


def test_all_kinds_of_work_count_and_waiting_does_not() -> None:
    text = "cpu0 1 20 300 4000 50000 600000 7000000 80000000 900000000 1\n"
    assert busy_ticks(text, frozenset({0})) == 87600321


def test_own_ticks_are_user_and_kernel_time_whatever_the_name() -> None:
    assert own_ticks(own(42)) == 42


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "77").mkdir()
    (tmp_path / "77" / "stat").write_text(own(10))
    (tmp_path / "stat").write_text(stat(100, 100, 100))
    return tmp_path


def watched(proc: Path, busy: tuple[int, ...], ours: int) -> float:
    """Foreign cores over two seconds in which the counters move to these."""
    clock = itertools.count(0, 2).__next__

    def work() -> str:
        (proc / "stat").write_text(stat(*busy))
        (proc / "77" / "stat").write_text(own(ours))
        return "done"

    watch = LoadWatch(77, frozenset({0, 1}), proc=proc)
    result, foreign = watch.watch(work, lambda: float(clock()))
    assert result == "done"
    return foreign


def test_the_work_of_others_is_busy_time_less_our_own(proc: Path) -> None:
    second = HERTZ
    # Two CPUs worked three seconds together, two of them are ours; a third CPU does not count.
    foreign = watched(proc, (100 + 2 * second, 100 + second, 9000), 10 + 2 * second)
    assert foreign == pytest.approx(0.5)


def test_rounding_of_the_counters_is_no_negative_load(proc: Path) -> None:
    assert watched(proc, (101, 100, 100), 15) == 0.0


def test_unknown_load_is_none(tmp_path: Path) -> None:
    watch = LoadWatch(77, frozenset({0}), proc=tmp_path)
    assert watch.watch(lambda: 5) == (5, 0.0)
