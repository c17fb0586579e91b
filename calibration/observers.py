"""Observers: from the histogram of a tensor's magnitudes to the symmetric range INT8 keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 2048
LEVELS = 127  # magnitudes that a symmetric signed 8-bit code can hold
PERCENTILE = 99.99


@dataclass(frozen=True)
class Histogram:
    """Counts of absolute values in equal bins over [0, peak]; ``peak`` is the largest one seen."""

    counts: NDArray[np.int64]
    peak: float

    @property
    def edges(self) -> NDArray[np.float64]:
        """Upper edges of the bins."""
        width = self.peak / len(self.counts)
        return np.arange(1, len(self.counts) + 1, dtype=np.float64) * width


Observer = Callable[[Histogram], float]


def minmax(histogram: Histogram) -> float:
    """The largest magnitude: nothing is clipped."""
    return histogram.peak


def percentile(histogram: Histogram, percent: float = PERCENTILE) -> float:
    """The smallest bin edge that covers ``percent`` of all values."""
    covered = np.cumsum(histogram.counts)
    needed = percent / 100 * covered[-1]
    return float(histogram.edges[int(np.searchsorted(covered, needed))])


def mse(histogram: Histogram) -> float:
    """The range with the least expected squared error of rounding and clipping together."""
    candidates = histogram.peak * np.linspace(0.1, 1.0, 181)
    centres = histogram.edges - 0.5 * histogram.peak / len(histogram.counts)
    scales = candidates[:, None] / LEVELS
    codes = np.clip(np.rint(centres[None, :] / scales), 0, LEVELS)
    errors = ((codes * scales - centres[None, :]) ** 2) @ histogram.counts.astype(np.float64)
    return float(candidates[int(np.argmin(errors))])


def entropy(histogram: Histogram) -> float:
    """The range whose 8-bit histogram loses least information (Kullback-Leibler divergence).

    After Migacz, "8-bit inference with TensorRT", GTC 2017: values beyond the range count into the
    last bin of the reference, but not of the quantised distribution.
    """
    counts = histogram.counts.astype(np.float64)
    counts[0] = counts[1]  # zeros are exact in any range, and would outweigh everything else
    best_range, least = histogram.peak, np.inf
    for stop in range(LEVELS + 1, len(counts) + 1, 8):
        reference = counts[:stop].copy()
        reference[-1] += counts[stop:].sum()
        divergence = _divergence(reference, _quantised(counts[:stop]))
        if divergence < least:
            best_range, least = float(histogram.edges[stop - 1]), divergence
    return best_range


def _quantised(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts merged into LEVELS + 1 groups, spread back over the bins that were not empty."""
    group = np.arange(len(counts)) * (LEVELS + 1) // len(counts)
    sums = np.bincount(group, counts, LEVELS + 1)
    used = np.bincount(group, counts > 0, LEVELS + 1)
    shares = np.divide(sums, used, out=np.zeros_like(sums), where=used > 0)
    return np.where(counts > 0, shares[group], 0.0)


def _divergence(reference: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if other.sum() == 0:
        return float("inf")
    p, q = reference / reference.sum(), other / other.sum()
    smallest = 1e-12  # a reference bin that the other lost costs much, but not everything
    mask = p > 0
    return float(np.sum(p[mask] * np.log(p[mask] / np.maximum(q[mask], smallest))))


OBSERVERS: dict[str, Observer] = {
    "minmax": minmax,
    "percentile": percentile,
    "entropy": entropy,
    "mse": mse,
}
