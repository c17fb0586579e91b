from __future__ import annotations

import threading
import time
from fractions import Fraction

import numpy as np
import pytest

from runtime.streams.frame_queue import Captured, FrameQueue
from runtime.streams.latency import LatencyCounter
from runtime.video.frame import LAYOUTS, Frame


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def item(number: int, arrival_s: float) -> Captured:
    frame = Frame((np.zeros((2, 2), np.uint8),), LAYOUTS["gray"], number, 1, Fraction(1, 25))
    return Captured(frame, arrival_s)


def numbers(queue: FrameQueue, work_s: float = 0.0) -> list[int]:
    taken = []
    while (captured := queue.take(work_s, 0)) is not None:
        taken.append(captured.frame.pts)
    return taken


def test_frames_in_time_are_served_in_order() -> None:
    clock = Clock()
    queue = FrameQueue(0.2, clock=clock)
    for number in range(5):
        clock.now = 0.04 * number
        queue.put(item(number, clock.now))
    assert numbers(queue) == [0, 1, 2, 3, 4]
    assert queue.dropped == 0


def test_full_queue_loses_its_oldest_frame() -> None:
    queue = FrameQueue(1.0, depth=3, clock=Clock())
    for number in range(5):
        queue.put(item(number, 0.0))
    assert numbers(queue) == [2, 3, 4]
    assert queue.dropped == 2


def test_frame_older_than_the_budget_is_dropped_when_its_turn_comes() -> None:
    clock = Clock()
    queue = FrameQueue(0.2, clock=clock)
    for number in range(3):
        queue.put(item(number, 0.1 * number))
    clock.now = 0.35
    assert numbers(queue) == [2]
    assert queue.dropped == 2
    queue.put(item(3, 0.1))
    assert numbers(queue) == []
    assert queue.dropped == 3


def test_frame_that_cannot_be_written_in_time_makes_room_for_one_that_can() -> None:
    clock = Clock()
    queue = FrameQueue(0.2, clock=clock)
    for number in range(3):
        queue.put(item(number, 0.04 * number))
    clock.now = 0.13
    assert queue.take(0.1, 0).frame.pts == 1  # type: ignore[union-attr]
    assert queue.dropped == 1


def test_newest_is_served_even_if_work_takes_longer_than_the_budget() -> None:
    clock = Clock()
    queue = FrameQueue(0.2, clock=clock)
    for number in range(3):
        queue.put(item(number, 0.0))
    assert queue.take(0.5, 0).frame.pts == 2  # type: ignore[union-attr]
    assert queue.dropped == 2


def test_latency_of_a_steady_overload_stays_within_the_budget() -> None:
    """A source of 25 fps, work of 90 ms, by a clock of our own."""
    clock, work_s, budget_s = Clock(), 0.09, 0.2
    queue = FrameQueue(budget_s, clock=clock)
    latencies, served, captured = [], [], 0
    while captured < 500:
        while captured * 0.04 <= clock.now:
            queue.put(item(captured, captured * 0.04))
            captured += 1
        taken = queue.take(work_s, 0)
        if taken is None:
            clock.now += 0.01
            continue
        clock.now += work_s
        latencies.append(clock.now - taken.arrival_s)
        served.append(taken.frame.pts)
    assert max(latencies) <= budget_s + 1e-9
    assert served == sorted(served)
    # All the time is spent on frames that are written, which are spread evenly.
    assert len(served) == pytest.approx(captured * 0.04 / work_s, abs=3)
    assert max(np.diff(served)) <= 3
    assert captured - len(served) - queue.dropped <= 8


def test_end_wakes_the_one_who_waits_and_keeps_what_came_before() -> None:
    queue = FrameQueue(10.0)
    queue.put(item(0, time.monotonic()))
    assert not queue.is_finished
    assert numbers(queue) == [0]
    threading.Timer(0.05, queue.close).start()
    begin = time.monotonic()
    assert queue.take(0.0, 10.0) is None
    assert time.monotonic() - begin < 5
    assert queue.is_finished


def test_what_is_discarded_counts_as_dropped() -> None:
    queue = FrameQueue(10.0)
    queue.put(item(0, time.monotonic()))
    queue.discard()
    assert (queue.dropped, numbers(queue)) == (1, [])


def test_percentiles_are_within_one_percent() -> None:
    counter = LatencyCounter()
    assert counter.percentile_ms(50) is None
    for number in range(1, 1001):
        counter.add(number / 1000)
    assert counter.percentile_ms(50) == pytest.approx(500, rel=0.01)
    assert counter.percentile_ms(99) == pytest.approx(990, rel=0.01)
    counter.add(0.0)
    assert counter.percentile_ms(100) == pytest.approx(1000, rel=0.01)
