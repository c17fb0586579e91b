"""Short bursts in random order, so that a change of clock or load meets all cases alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)

# A burst of 0.2 s is 20 ticks of the kernel's accounting: below this it says nothing.
QUIET_CORES = 0.15
_ENOUGH = 3
# Threads that spin after a call would take part in the next case's time.
_PAUSE_S = 0.02


@dataclass(frozen=True)
class Burst:
    """Seconds of the calls, the first one dropped, and how many cores others kept busy."""

    seconds: tuple[float, ...]
    foreign_cores: float

    @property
    def is_quiet(self) -> bool:
        """Nobody else worked, as far as the kernel's accounting can tell."""
        return self.foreign_cores <= QUIET_CORES


class Runner(Protocol):
    """Something that can be timed."""

    def burst(self, seconds: float) -> Burst:
        """Call it for so long."""
        ...


@dataclass(frozen=True)
class Timing:
    """Percentiles over the quiet bursts; over all of them if too few were quiet."""

    median: float
    p10: float
    p90: float
    samples: int
    bursts: int
    disturbed: int

    @property
    def is_disturbed(self) -> bool:
        """Other load is in the figures."""
        return self.bursts - self.disturbed < min(_ENOUGH, self.bursts)

    @property
    def warning(self) -> str:
        """Says so if other load is in the figures; empty if not."""
        if not self.is_disturbed:
            return ""
        return f"other load in {self.disturbed} of {self.bursts} bursts"


def interleave(
    runners: Mapping[Key, Runner],
    rounds: int,
    seconds: float,
    rng: random.Random,
    *,
    attempts: int = 1,
    pause: Callable[[float], None] = time.sleep,
) -> dict[Key, list[Burst]]:
    """One burst of every runner in each round, in an order drawn anew.

    A disturbed burst is tried again, ``attempts`` times in all.
    """
    bursts: dict[Key, list[Burst]] = {key: [] for key in runners}
    order = list(runners)
    for _ in range(rounds):
        rng.shuffle(order)
        for key in order:
            pause(_PAUSE_S)
            bursts[key].append(quietest_burst(runners[key], seconds, attempts))
    return bursts


def quietest_burst(runner: Runner, seconds: float, attempts: int) -> Burst:
    """The first quiet burst, or the least disturbed one of all attempts."""
    tried: list[Burst] = []
    while len(tried) < attempts and not (tried and tried[-1].is_quiet):
        tried.append(runner.burst(seconds))
    return min(tried, key=lambda burst: burst.foreign_cores)


def timing(bursts: Sequence[Burst], unit: float = 1e3) -> Timing:
    """Summary of at least one burst, in milliseconds unless told otherwise."""
    quiet = [burst for burst in bursts if burst.is_quiet]
    used = quiet if len(quiet) >= min(_ENOUGH, len(bursts)) else bursts
    samples = np.array([value for burst in used for value in burst.seconds]) * unit
    p10, median, p90 = np.percentile(samples, [10, 50, 90])
    return Timing(
        float(median), float(p10), float(p90), samples.size, len(bursts), len(bursts) - len(quiet)
    )
