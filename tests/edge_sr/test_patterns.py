from __future__ import annotations

import numpy as np
import pytest

from edge_sr.data.patches import PatchSampler, PicturePair
from edge_sr.data.patterns import pattern_pairs
from edge_sr.data.resample import downscale


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_patterns_are_pairs_that_the_seed_alone_decides(scale: int) -> None:
    pairs = pattern_pairs(scale, 18, side=32, seed=4)
    again, other = (pattern_pairs(scale, 18, side=32, seed=seed) for seed in (4, 5))
    for pair, same, different in zip(pairs, again, other, strict=True):
        assert pair.hr.shape == (32 * scale, 32 * scale)
        np.testing.assert_array_equal(pair.hr, same.hr)
        assert not np.array_equal(pair.hr, different.hr)
        assert pair.hr.min() >= 0
        assert pair.hr.max() <= 1
        assert pair.hr.std() > 0.01
        levels = np.rint(pair.hr * 255).astype(np.uint8)
        np.testing.assert_allclose(pair.lr * 255, downscale(levels, scale), atol=1e-4)


def test_patterns_take_their_share_of_the_patches() -> None:
    def flat(value: float) -> PicturePair:
        return PicturePair("x", np.full((20, 20), value, np.float32), np.ones((40, 40), np.float32))

    sampler = PatchSampler(
        [flat(0.0)],
        2,
        patch_size=8,
        batch_size=1000,
        seed=0,
        patterns=(0.2, [flat(1.0), flat(1.0)]),
    )
    assert 0.15 < float(sampler.batch(0)[0][:, 0, 0, 0].mean()) < 0.25


def test_rgb_patterns_run_from_one_colour_to_another() -> None:
    grey, colour = (pattern_pairs(2, 18, side=32, seed=4, channels=c)[3] for c in ("y", "rgb"))
    assert colour.hr.shape == (64, 64, 3)
    assert colour.lr.shape == (32, 32, 3)
    assert np.ptp(colour.hr.astype(int), axis=2).max() > 10
    structure = [
        abs(np.corrcoef(grey.hr.ravel(), colour.hr[:, :, c].ravel())[0, 1]) for c in range(3)
    ]
    assert max(structure) > 0.99
