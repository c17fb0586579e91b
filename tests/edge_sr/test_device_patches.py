from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures_support import write_pictures

from edge_sr.data.patches import PatchSampler, load_pairs
from edge_sr.data.patterns import pattern_pairs
from edge_sr.distillation.device_patches import DevicePatches

CPU = torch.device("cpu")


def sampler_of(folder: Path, channels: str, scale: int) -> PatchSampler:
    paths = sorted(write_pictures(folder, 3, height=70, width=91).iterdir())
    return PatchSampler(
        load_pairs(paths, scale, shrinks=(1, 2), channels=channels),
        scale,
        patch_size=9,
        batch_size=64,
        seed=3,
        patterns=(0.2, pattern_pairs(scale, 3, side=20, seed=0, channels=channels)),
    )


@pytest.mark.parametrize("channels", ["y", "rgb"])
@pytest.mark.parametrize("scale", [2, 3])
def test_batches_are_the_samplers_bit_for_bit(tmp_path: Path, channels: str, scale: int) -> None:
    sampler = sampler_of(tmp_path, channels, scale)
    patches = DevicePatches(sampler, CPU)
    assert set(sampler.draws(0)[:, 3].tolist()) == set(range(8))
    for iteration in (0, 7):
        for cropped, copied in zip(patches.batch(iteration), sampler.batch(iteration), strict=True):
            assert cropped.dtype == torch.float32
            np.testing.assert_array_equal(cropped.numpy(), copied)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA device")
@pytest.mark.parametrize("channels", ["y", "rgb"])
def test_a_gpu_crops_the_same_patches(tmp_path: Path, channels: str) -> None:
    sampler = sampler_of(tmp_path, channels, 2)
    patches = DevicePatches(sampler, torch.device("cuda"))
    for cropped, copied in zip(patches.batch(5), sampler.batch(5), strict=True):
        assert cropped.is_cuda
        np.testing.assert_array_equal(cropped.cpu().numpy(), copied)


def test_each_process_gets_its_share(tmp_path: Path) -> None:
    sampler = sampler_of(tmp_path, "y", 2)
    patches = DevicePatches(sampler, CPU)
    for rank in (0, 1, 2):
        for cropped, copied in zip(
            patches.batch(1, rank=rank, world_size=3), sampler.batch(1), strict=True
        ):
            np.testing.assert_array_equal(cropped.numpy(), copied[rank::3])


@pytest.mark.parametrize(("channels", "samples", "width"), [("y", 1, 4), ("rgb", 3, 1)])
def test_size_is_that_of_the_pictures_in_memory(
    tmp_path: Path, channels: str, samples: int, width: int
) -> None:
    paths = sorted(write_pictures(tmp_path, 2, height=40, width=60).iterdir())
    pairs = load_pairs(paths, 2, channels=channels)
    sampler = PatchSampler(pairs, 2, patch_size=8, batch_size=2, seed=0)
    pixels = 2 * (40 * 60 + 20 * 30)
    assert DevicePatches.size_of(sampler) == pixels * samples * width
