from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures_support import write_pictures

from edge_sr.data.color import luma_from_rgb
from edge_sr.data.image_io import read_image
from edge_sr.data.patches import PatchSampler, load_pair, load_pairs, pair_of, transform
from edge_sr.data.resample import downscale


def test_lr_is_the_luminance_of_the_8_bit_rgb_downscale(tmp_path: Path) -> None:
    path = next(write_pictures(tmp_path, 1, height=33, width=40).iterdir())
    pair = load_pair(path, 2)
    expected = luma_from_rgb(downscale(read_image(path)[:32], 2)) / 255
    assert pair.hr.shape == (32, 40)
    np.testing.assert_allclose(pair.lr, expected, atol=1e-7)


def test_patches_are_aligned_at_every_symmetry(tmp_path: Path) -> None:
    pairs = load_pairs(sorted(write_pictures(tmp_path, 2).iterdir()), 2)
    flat = [type(p)(p.name, p.lr, np.kron(p.lr, np.ones((2, 2), np.float32))) for p in pairs]
    sampler = PatchSampler(flat, 2, patch_size=9, batch_size=32, seed=5)
    lr, hr = sampler.batch(0)
    np.testing.assert_array_equal(hr, np.kron(lr, np.ones((1, 1, 2, 2), np.float32)))


def test_a_batch_depends_on_seed_and_iteration_alone(tmp_path: Path) -> None:
    pairs = load_pairs(sorted(write_pictures(tmp_path, 2).iterdir()), 2)

    def batch(seed: int, iteration: int) -> np.ndarray:
        return PatchSampler(pairs, 2, patch_size=8, batch_size=4, seed=seed).batch(iteration)[0]

    np.testing.assert_array_equal(batch(1, 7), batch(1, 7))
    assert not np.array_equal(batch(1, 7), batch(1, 8))
    assert not np.array_equal(batch(1, 7), batch(2, 7))


def test_the_eight_symmetries_differ() -> None:
    patch = np.arange(9, dtype=np.float32).reshape(3, 3)
    assert len({transform(patch, i).tobytes() for i in range(8)}) == 8


def test_two_symmetries_are_the_picture_and_its_horizontal_flip(tmp_path: Path) -> None:
    (pair,) = load_pairs(sorted(write_pictures(tmp_path, 1).iterdir()), 2)
    square = type(pair)(pair.name, pair.lr[:12, :12], pair.hr[:24, :24])
    sampler = PatchSampler([square], 2, patch_size=12, batch_size=40, seed=0, symmetries=2)
    drawn = {patch.tobytes() for patch in sampler.batch(0)[0][:, 0]}
    assert drawn == {transform(square.lr, i).tobytes() for i in (0, 1)}


def test_pictures_below_the_patch_size_are_refused(tmp_path: Path) -> None:
    pairs = load_pairs(sorted(write_pictures(tmp_path, 1).iterdir()), 2)
    with pytest.raises(ValueError, match="no picture is at least 96 px"):
        PatchSampler(pairs, 2, patch_size=48, batch_size=4, seed=0)


def test_every_size_is_drawn_equally_often(tmp_path: Path) -> None:
    paths = sorted(write_pictures(tmp_path, 2, height=96, width=120).iterdir())
    pairs = load_pairs(paths, 2, shrinks=(1, 3))
    assert [pair.shrink for pair in pairs] == [1, 3, 1, 3]
    assert pairs[1].hr.shape == (32, 40)
    marked = [
        type(p)(p.name, np.full_like(p.lr, p.shrink), np.full_like(p.hr, p.shrink), p.shrink)
        for p in pairs
    ]
    sampler = PatchSampler(marked, 2, patch_size=8, batch_size=600, seed=0)
    assert sampler.counts() == {1: 2, 3: 2}
    drawn = sampler.batch(0)[0][:, 0, 0, 0]
    assert set(drawn.tolist()) == {1.0, 3.0}
    assert 0.4 < float((drawn == 3).mean()) < 0.6


def test_a_shrunk_pair_is_made_from_the_downscaled_picture(tmp_path: Path) -> None:
    path = next(write_pictures(tmp_path, 1, height=64, width=48).iterdir())
    expected = luma_from_rgb(downscale(read_image(path), 2)) / 255
    np.testing.assert_allclose(load_pair(path, 2, shrink=2).hr, expected, atol=1e-7)


def test_a_picture_too_small_for_a_shrink_is_used_at_the_others(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path, 1, height=7, width=30)
    pairs = load_pairs(list(folder.iterdir()), 2, shrinks=(1, 2, 4))
    assert [(pair.shrink, pair.hr.shape) for pair in pairs] == [(1, (6, 30)), (2, (2, 14))]
    assert load_pairs(list(folder.iterdir()), 8, crfs=(0, 30)) == []


def test_rgb_pairs_are_the_8_bit_pictures_and_batches_their_planes(tmp_path: Path) -> None:
    path = next(write_pictures(tmp_path, 1, height=32, width=40).iterdir())
    pair = load_pair(path, 2, channels="rgb")
    np.testing.assert_array_equal(pair.lr, downscale(read_image(path), 2))
    assert pair.channels == "rgb"
    assert pair.hr.dtype == np.uint8
    lr, hr = PatchSampler([pair], 2, patch_size=9, batch_size=3, seed=5).batch(0)
    assert lr.shape == (3, 3, 9, 9)
    assert hr.shape == (3, 3, 18, 18)
    assert float(hr.max()) <= 1.0
    levels = {tuple(colour) for colour in pair.lr.reshape(-1, 3)}
    drawn = np.rint(lr * 255).astype(np.uint8).transpose(0, 2, 3, 1).reshape(-1, 3)
    assert {tuple(colour) for colour in drawn} <= levels


def test_rgb_patches_are_aligned_at_every_symmetry(tmp_path: Path) -> None:
    pairs = load_pairs(sorted(write_pictures(tmp_path, 2).iterdir()), 2, channels="rgb")
    flat = [type(p)(p.name, p.lr, np.kron(p.lr, np.ones((2, 2, 1), np.uint8))) for p in pairs]
    lr, hr = PatchSampler(flat, 2, patch_size=9, batch_size=32, seed=5).batch(0)
    np.testing.assert_array_equal(hr, np.kron(lr, np.ones((1, 1, 2, 2), np.float32)))


def test_a_grey_picture_has_three_equal_channels_in_rgb() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pair = pair_of(grey, "grey", 2, channels="rgb")
    np.testing.assert_array_equal(pair.hr, np.dstack([grey] * 3))


def test_rgb_pairs_of_compressed_clips_are_refused(tmp_path: Path) -> None:
    paths = sorted(write_pictures(tmp_path, 1).iterdir())
    with pytest.raises(ValueError, match="luminance"):
        load_pairs(paths, 2, crfs=(30,), channels="rgb")
