"""Learning-rate schedule."""

from __future__ import annotations

import math


def cosine(iteration: int, total: int, *, first: float, last: float) -> float:
    """Cosine from ``first`` to ``last``, held constant within each of 1000 equal epochs.

    PISR steps once per epoch of 1000 iterations over 1000 epochs; shorter runs scale the epoch.
    """
    epochs = min(1000, total)
    epoch = iteration * epochs // total
    return last + 0.5 * (first - last) * (1 + math.cos(math.pi * epoch / epochs))
