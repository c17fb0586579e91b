from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures_support import write_pictures

from edge_sr.data.compression import FRAMES, clip_pairs, compressed, pan
from edge_sr.data.image_io import read_image
from edge_sr.data.patches import load_pairs
from edge_sr.data.resample import downscale
from edge_sr.distillation.config import RunConfig


def textured(frames: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    world = rng.integers(0, 256, (height, width + frames), np.uint8)
    return [world[:, k : k + width] for k in range(frames)]


def test_lossless_h264_gives_the_frames_back() -> None:
    frames = textured(5)
    for frame, decoded in zip(frames, compressed(frames, 0), strict=True):
        np.testing.assert_array_equal(decoded, frame)


def test_a_higher_crf_loses_more_and_the_same_each_time() -> None:
    frames = textured(5)
    errors = [
        np.mean(
            [
                np.abs(a.astype(int) - b)
                for a, b in zip(frames, compressed(frames, crf), strict=True)
            ]
        )
        for crf in (18, 28, 38)
    ]
    assert 0 < errors[0] < errors[1] < errors[2]
    np.testing.assert_array_equal(compressed(frames, 28), compressed(frames, 28))


def test_frames_of_any_size_keep_it() -> None:
    assert compressed([np.zeros((5, 33), np.uint8)], 20)[0].shape == (5, 33)
    with pytest.raises(ValueError, match="one size"):
        compressed([np.zeros((4, 4), np.uint8), np.zeros((4, 6), np.uint8)], 20)
    with pytest.raises(ValueError, match="CRF 52 is not in 0 to 51"):
        compressed(textured(1), 52)


@pytest.mark.parametrize(("height", "width"), [(120, 161), (9, 200), (4, 4)])
def test_a_pan_stays_inside_the_picture(height: int, width: int) -> None:
    image = np.arange(height * width * 3, dtype=np.uint32).astype(np.uint8)
    image = image.reshape(height, width, 3)
    for seed in range(8):
        views = pan(image, 2, np.random.default_rng(seed))
        assert len(views) == FRAMES
        assert len({view.shape for view in views}) == 1
        assert views[0].shape[0] % 2 == views[0].shape[1] % 2 == 0
        assert min(views[0].shape[:2]) >= 2


def test_lr_of_a_clip_matches_its_hr(tmp_path: Path) -> None:
    path = next(write_pictures(tmp_path, 1, height=150, width=180).iterdir())
    image = read_image(path)
    for crf, limit in ((1, 1.0), (20, 4.0)):
        ((lr, hr),) = clip_pairs(image, 3, [crf], np.random.default_rng(1))
        again = load_pairs([path], 3, crfs=(crf,))[0]
        assert hr.shape[:2] == (lr.shape[0] * 3, lr.shape[1] * 3)
        assert again.hr.shape == (again.lr.shape[0] * 3, again.lr.shape[1] * 3)
        clean = downscale(np.rint(again.hr * 255).astype(np.uint8), 3) / 255
        assert np.sqrt(np.mean((clean - again.lr) ** 2)) * 255 < limit


def test_every_shrink_is_seen_at_every_crf(tmp_path: Path) -> None:
    paths = sorted(write_pictures(tmp_path, 2, height=96, width=96).iterdir())
    pairs = load_pairs(paths, 2, shrinks=(1, 2), crfs=(0, 30))
    assert [pair.shrink for pair in pairs] == [1, 1, 2, 2] * 2
    clean, lossy = pairs[:2]
    assert clean.lr.shape == (48, 48)
    assert lossy.lr.shape <= clean.lr.shape
    same = load_pairs(paths, 2, shrinks=(1, 2), crfs=(0, 30))
    np.testing.assert_array_equal(lossy.lr, same[1].lr)


def test_both_ranges_of_video_are_seen() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 255
    found = set()
    for seed in range(12):
        ((lr, hr),) = clip_pairs(image, 2, [1], np.random.default_rng(seed))
        assert abs(int(lr.max()) - hr.max()) < 4
        found.add((round(hr.min()), round(hr.max())))
    assert found == {(16, 235), (0, 255)}


@pytest.mark.parametrize("crf", [(), (52,), (20, 20), (-1,)])
def test_crf_values_that_make_no_sense_are_refused(crf: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="h264_crf"):
        RunConfig(h264_crf=crf)
