"""Percentiles of a stream of latencies, in little memory however long it runs."""

from __future__ import annotations

import math
from collections import Counter

# Values within one step of this ratio are counted as one.
STEP = 1.01
SHORTEST_S = 1e-5


class LatencyCounter:
    """Counts latencies in steps of one percent."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._total = 0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[round(math.log(max(seconds, SHORTEST_S), STEP))] += 1
        self._total += 1

    def percentile_ms(self, percent: float) -> float | None:
        """The value that ``percent`` of all do not exceed, within 1 %; None if there is none."""
        wanted, seen = percent / 100 * self._total, 0
        for step in sorted(self._counts):
            seen += self._counts[step]
            if seen >= wanted:
                return round(float(STEP**step) * 1e3, 1)
        return None
