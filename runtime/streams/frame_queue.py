"""A bounded queue of captured frames that would rather lose a frame than show it late."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from runtime.video.frame import Frame

# Bursts of a network are longer than what a camera delivers at once; memory stays bounded.
DEPTH = 8


@dataclass(frozen=True)
class Captured:
    """A frame with the moment at which it came, in seconds of the clock of the run."""

    frame: Frame
    arrival_s: float


class FrameQueue:
    """Frames from one thread to another, in order; ``dropped`` counts those that are lost.

    A full queue loses its oldest frame. A frame that cannot be written within ``budget_s`` of its
    arrival is lost when its turn comes; of several, the oldest that still can be is served. If
    even a new frame cannot be, the newest is served, unless it is itself older than the budget.
    """

    def __init__(
        self,
        budget_s: float,
        depth: int = DEPTH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.dropped = 0
        self._budget_s, self._depth, self._clock = budget_s, depth, clock
        self._items: deque[Captured] = deque()
        self._changed = threading.Condition()
        self._is_closed = False

    def put(self, item: Captured) -> None:
        """Add the newest frame."""
        with self._changed:
            if len(self._items) == self._depth:
                self._drop()
            self._items.append(item)
            self._changed.notify()

    def close(self) -> None:
        """No more frames will come; those that wait are still served."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def discard(self) -> None:
        """Lose all that waits."""
        with self._changed:
            while self._items:
                self._drop()

    def take(self, work_s: float, timeout_s: float) -> Captured | None:
        """The frame whose turn it is, if there is one in time; None after ``timeout_s``.

        ``work_s`` is how long it will take from its turn until it is written.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._is_closed, timeout_s)
            now = self._clock()
            while len(self._items) > 1 and self._age(now) + work_s > self._budget_s:
                self._drop()
            if self._items and self._age(now) > self._budget_s:
                self._drop()
            return self._items.popleft() if self._items else None

    @property
    def is_finished(self) -> bool:
        """Whether nothing waits and nothing will come."""
        with self._changed:
            return self._is_closed and not self._items

    def _age(self, now: float) -> float:
        return now - self._items[0].arrival_s

    def _drop(self) -> None:
        self._items.popleft()
        self.dropped += 1
