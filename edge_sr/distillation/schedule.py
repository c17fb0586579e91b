"""Learning-rate schedules."""

from __future__ import annotations

import math


def cosine(iteration: int, total: int, *, first: float, last: float, warm_up: int = 0) -> float:
    """Cosine from ``first`` to ``last``, held constant within each of 1000 equal epochs.

    PISR steps once per epoch of 1000 iterations over 1000 epochs; shorter runs scale the epoch.
    The first ``warm_up`` iterations rise linearly to it, at most a tenth of all.
    """
    epochs = min(1000, total)
    epoch = iteration * epochs // total
    rate = last + 0.5 * (first - last) * (1 + math.cos(math.pi * epoch / epochs))
    return rate * _rise(iteration, total, warm_up)


def step(
    iteration: int, total: int, *, first: float, every: int, factor: float, warm_up: int = 0
) -> float:
    """``first``, times ``factor`` after each ``every`` iterations: a half in EDSR, FAKD and LSFD.

    It rises to it as :func:`cosine` does.
    """
    return float(first * factor ** (iteration // every)) * _rise(iteration, total, warm_up)


def _rise(iteration: int, total: int, warm_up: int) -> float:
    return min(1.0, (iteration + 1) / max(1, min(warm_up, total // 10)))
