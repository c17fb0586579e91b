from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.video.relay import run_stages


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(), max_size=40), st.integers(1, 5))
def test_all_values_arrive_in_order(values: list[int], depth: int) -> None:
    got: list[int] = []
    run_stages(values, lambda value: value * 2, got.append, depth=depth)
    assert got == [value * 2 for value in values]


def endless() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def test_no_stage_runs_far_ahead_of_a_slow_one() -> None:
    produced: list[int] = []
    ahead: list[int] = []

    def source() -> Iterator[int]:
        for number in range(50):
            produced.append(number)
            yield number

    def consume(value: int) -> None:
        ahead.append(len(produced) - value)

    run_stages(source(), lambda value: value, consume, depth=2)
    # Two queues of two, one value in the hands of each stage.
    assert max(ahead) <= 2 * 2 + 3


def test_workers_run_side_by_side_and_order_stays() -> None:
    meet = threading.Barrier(2, timeout=20)
    got: list[int] = []

    def transform(value: int) -> int:
        meet.wait()  # passes only while another value is in the works
        return value

    run_stages(range(10), transform, got.append, workers=2)
    assert got == list(range(10))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("stage", ["produce", "transform", "consume"])
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_error_of_any_stage_stops_all_and_is_raised(
    stage: str, kind: type[BaseException], workers: int
) -> None:
    def fail_at(name: str, value: int) -> int:
        if name == stage and value == 7:
            raise kind(f"{name} failed")
        return value

    def consume(value: int) -> None:
        fail_at("consume", value)

    before = threading.active_count()
    with pytest.raises(kind, match=f"{stage} failed"):
        run_stages(
            (fail_at("produce", value) for value in endless()),
            lambda value: fail_at("transform", value),
            consume,
            workers=workers,
        )
    assert threading.active_count() == before


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_result_is_handed_on_although_no_further_value_comes(workers: int) -> None:
    arrived = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        assert arrived.wait(5), "the first result waits for a second value"

    run_stages(source(), lambda value: value, lambda value: arrived.set(), workers=workers)
