from __future__ import annotations

import numpy as np
import pytest

from calibration.observers import BINS, OBSERVERS, Histogram, entropy, minmax, mse, percentile


def histogram_of(values: np.ndarray) -> Histogram:
    magnitudes = np.abs(values)
    counts = np.histogram(magnitudes, BINS, range=(0, magnitudes.max()))[0]
    return Histogram(counts, float(magnitudes.max()))


def test_minmax_is_the_peak() -> None:
    assert minmax(Histogram(np.array([5, 0, 1]), 3.0)) == 3.0


@pytest.mark.parametrize(
    ("percent", "expected"), [(50.0, 1.0), (90.0, 2.0), (95.0, 4.0), (100.0, 4.0)]
)
def test_percentile_is_the_first_edge_that_covers_the_share(
    percent: float, expected: float
) -> None:
    assert percentile(Histogram(np.array([50, 40, 0, 10]), 4.0), percent) == expected


def test_mse_clips_a_lone_outlier_of_a_broad_distribution_only_if_that_pays() -> None:
    rng = np.random.default_rng(0)
    body = rng.normal(0, 1, 200_000)
    assert mse(histogram_of(np.append(body, 40.0))) < 30
    assert mse(histogram_of(rng.uniform(-1, 1, 200_000))) == pytest.approx(1.0, rel=0.02)


def quantisation_error(values: np.ndarray, amax: float) -> float:
    scale = amax / 127
    return float(np.mean((np.clip(np.rint(values / scale), -127, 127) * scale - values) ** 2))


def test_mse_range_is_not_beaten_by_any_other() -> None:
    values = np.random.default_rng(1).laplace(0, 1, 100_000)
    best = quantisation_error(values, mse(histogram_of(values)))
    others = [quantisation_error(values, a) for a in np.linspace(2, np.abs(values).max(), 60)]
    assert best <= min(others) * 1.02


def test_entropy_clips_a_long_tail_and_keeps_a_uniform_distribution() -> None:
    rng = np.random.default_rng(0)
    tail = histogram_of(np.append(rng.normal(0, 1, 200_000), [60.0, -50.0]))
    assert 2.5 < entropy(tail) < 30
    assert entropy(histogram_of(rng.uniform(-1, 1, 400_000))) > 0.9


@pytest.mark.parametrize("name", OBSERVERS)
def test_every_range_is_positive_and_within_the_peak(name: str) -> None:
    for values in (np.ones(10), np.random.default_rng(0).laplace(0, 1, 10_000)):
        histogram = histogram_of(values)
        assert 0 < OBSERVERS[name](histogram) <= histogram.peak * (1 + 1e-9)
