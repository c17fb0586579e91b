from __future__ import annotations

import random

import pytest
from side_by_side.bursts import QUIET_CORES, Burst, interleave, quietest_burst, timing


class FakeRunner:
    """Answers with the given loads in turn, and notes who was asked."""

    def __init__(self, name: str, loads: list[float], log: list[str]) -> None:
        self.name, self.loads, self.log = name, loads, log

    def burst(self, seconds: float) -> Burst:
        self.log.append(self.name)
        return Burst((seconds,), self.loads.pop(0) if self.loads else 0.0)


def quiet(*seconds: float) -> Burst:
    return Burst(seconds, 0.0)


def noisy(*seconds: float) -> Burst:
    return Burst(seconds, QUIET_CORES + 0.01)


def test_quiet_is_up_to_a_share_of_one_core() -> None:
    assert Burst((1.0,), QUIET_CORES).is_quiet
    assert not noisy(1.0).is_quiet


def test_every_runner_has_one_burst_in_each_round() -> None:
    log: list[str] = []
    pauses: list[float] = []
    runners = {name: FakeRunner(name, [], log) for name in "abcd"}
    found = interleave(runners, 6, 0.5, random.Random(1), pause=pauses.append)
    rounds = [log[start : start + 4] for start in range(0, 24, 4)]
    assert all(sorted(one) == list("abcd") for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1  # the order changes
    assert {name: len(bursts) for name, bursts in found.items()} == dict.fromkeys("abcd", 6)
    assert found["a"][0].seconds == (0.5,)
    assert len(pauses) == 24
    assert min(pauses) > 0


def test_the_same_seed_draws_the_same_order() -> None:
    logs: list[list[str]] = [[], [], []]
    for log, seed in zip(logs, (3, 3, 4), strict=True):
        runners = {name: FakeRunner(name, [], log) for name in "abcdef"}
        interleave(runners, 3, 0.1, random.Random(seed), pause=lambda _: None)
    assert logs[0] == logs[1]
    assert logs[0] != logs[2]


@pytest.mark.parametrize(
    ("loads", "attempts", "kept", "asked"),
    [
        ([0.0, 0.0], 4, 0.0, 1),
        ([2.0, 0.1, 0.0], 4, 0.1, 2),
        ([2.0, 1.0, 3.0], 3, 1.0, 3),
        ([2.0, 0.0], 1, 2.0, 1),
    ],
)
def test_a_disturbed_burst_is_tried_again(
    loads: list[float], attempts: int, kept: float, asked: int
) -> None:
    log: list[str] = []
    burst = quietest_burst(FakeRunner("a", list(loads), log), 0.1, attempts)
    assert burst.foreign_cores == kept
    assert len(log) == asked


def test_interleave_passes_the_attempts_on() -> None:
    log: list[str] = []
    runner = FakeRunner("a", [9.0, 9.0, 0.0], log)
    found = interleave({"a": runner}, 1, 0.1, random.Random(0), attempts=3, pause=lambda _: None)
    assert found["a"][0].is_quiet
    assert len(log) == 3


def test_timing_is_of_the_quiet_bursts_in_milliseconds() -> None:
    bursts = [quiet(0.001, 0.002), quiet(0.003), quiet(0.004, 0.005), noisy(9.0)]
    found = timing(bursts)
    assert (found.median, found.samples, found.bursts, found.disturbed) == (3.0, 5, 4, 1)
    assert (found.p10, found.p90) == (pytest.approx(1.4), pytest.approx(4.6))
    assert not found.is_disturbed
    assert found.warning == ""


def test_timing_takes_all_bursts_where_few_were_quiet() -> None:
    found = timing([quiet(0.001), quiet(0.001), noisy(0.003), noisy(0.003), noisy(0.003)])
    assert (found.median, found.samples) == (3.0, 5)
    assert found.is_disturbed
    assert found.warning == "other load in 3 of 5 bursts"


def test_two_quiet_bursts_are_enough_if_there_are_only_two() -> None:
    assert not timing([quiet(0.001), quiet(0.002)]).is_disturbed
    assert timing([quiet(0.001), noisy(0.002)]).is_disturbed


def test_timing_in_other_units() -> None:
    assert timing([quiet(0.25)], unit=1).median == 0.25
