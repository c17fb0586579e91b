from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from network_support import tiny_rgb_network
from numpy.typing import NDArray
from pictures_support import write_pictures
from torch import nn

from edge_sr.data.patches import PatchSampler, PicturePair, load_pairs
from edge_sr.distillation import targets
from edge_sr.distillation.device_patches import DevicePatches
from edge_sr.distillation.targets import (
    picture_of,
    read_targets,
    save_targets,
    with_targets,
)
from edge_sr.models import build_model
from edge_sr.models.network import Network
from edge_sr.scored_models import Opened, with_self_ensemble


def network_of(channels: str, scale: int = 2) -> Network:
    torch.manual_seed(0)
    if channels == "rgb":
        return tiny_rgb_network("edsr_s", scale)
    return build_model("edsr_s", scale, blocks=3, width=6, channels="y")


def pairs_in(folder: Path, channels: str, scale: int = 2) -> list[PicturePair]:
    paths = sorted(write_pictures(folder, 2, height=48, width=60).iterdir())
    return load_pairs(paths, scale, channels=channels)


def test_a_target_is_the_teachers_picture_of_the_whole_lr(tmp_path: Path) -> None:
    network, pairs = network_of("y"), pairs_in(tmp_path, "y")
    for before, after in zip(pairs, with_targets(pairs, network), strict=True):
        assert after.hr is before.hr
        assert after.target is not None
        assert after.target.dtype == np.float32
        with torch.no_grad():
            expected = network(torch.from_numpy(before.lr)[None, None])[0, 0].clamp(0, 1)
        np.testing.assert_allclose(after.target, expected.numpy(), rtol=0, atol=0.51 / 65535)


def test_a_self_ensemble_is_the_mean_over_the_symmetries_of_the_square(tmp_path: Path) -> None:
    network, pairs = network_of("y"), pairs_in(tmp_path, "y")

    def upscale(lr: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            return network(torch.from_numpy(lr)[None, None])[0, 0].numpy()

    opened = Opened(2, "y", [("edsr_s", "fp32", upscale)])
    _, (_, _, averaged) = with_self_ensemble(opened).upscalers
    (pair, *_) = with_targets(pairs, network, self_ensemble=True)
    np.testing.assert_allclose(pair.target, averaged(pair.lr).clip(0, 1), atol=1e-5)
    (alone, *_) = with_targets(pairs, network)
    assert abs(pair.target - alone.target).max() > 1e-4


def test_an_rgb_target_is_8_bit_as_hr_is(tmp_path: Path) -> None:
    network, pairs = network_of("rgb"), pairs_in(tmp_path, "rgb")
    (pair, *_) = with_targets(pairs, network)
    assert pair.target is not None
    assert (pair.target.dtype, pair.target.shape) == (np.uint8, pair.hr.shape)
    lr = torch.from_numpy(pair.lr).movedim(2, 0)[None] / 255
    with torch.no_grad():
        levels = (255 * network(lr)[0]).clamp(0, 255).movedim(0, 2).numpy()
    assert abs(pair.target - levels).max() <= 0.501


@pytest.mark.parametrize("scale", [2, 3])
def test_strips_give_the_whole_picture(scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, lr = network_of("y", scale).double(), torch.rand(1, 1, 61, 17).double()
    with torch.no_grad():
        whole = network(lr)
        monkeypatch.setattr(targets, "STRIP_PIXELS", 7 * 17)
        calls: list[int] = []
        network.register_forward_hook(lambda _, given, __: calls.append(given[0].shape[2]))
        strips = picture_of(network, lr)
        torch.testing.assert_close(strips, whole, rtol=0, atol=1e-12)
        assert len(calls) == 9
        assert max(calls) == 7 + 2 * network.spec.receptive_field_radius
        network.spec = replace(network.spec, tileable=False)
        calls.clear()
        assert torch.equal(picture_of(network, lr), whole)
        assert calls == [61]


@pytest.mark.parametrize("channels", ["y", "rgb"])
def test_targets_are_kept_exactly(tmp_path: Path, channels: str) -> None:
    network, pairs = network_of(channels), pairs_in(tmp_path / "pictures", channels)
    made, file = with_targets(pairs, network), tmp_path / "targets.safetensors"
    save_targets(file, made)
    for kept, fresh in zip(read_targets(file, pairs), made, strict=True):
        assert kept.lr is fresh.lr
        assert kept.target is not None
        assert fresh.target is not None
        assert kept.target.dtype == fresh.target.dtype
        np.testing.assert_array_equal(kept.target, fresh.target)
    cropped = [replace(pair, hr=pair.hr[2:]) for pair in pairs]
    for other in (pairs[:1], [*pairs, pairs[0]], cropped):
        with pytest.raises(ValueError, match="is of other pictures than --data now holds"):
            read_targets(file, other)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"targets.safetensors is damaged .*delete it"):
        read_targets(file, pairs)


@pytest.mark.parametrize("channels", ["y", "rgb"])
def test_patches_of_targets_lie_where_those_of_hr_do(tmp_path: Path, channels: str) -> None:
    pairs = [replace(pair, target=pair.hr) for pair in pairs_in(tmp_path, channels, 3)]
    sampler = PatchSampler(pairs, 3, patch_size=7, batch_size=32, seed=1)
    patches = DevicePatches(sampler, torch.device("cpu"))
    for lr, hr, target in (sampler.batch(4), patches.batch(4)):
        assert lr.shape[2:] == (7, 7)
        assert hr.shape[2:] == (21, 21)
        np.testing.assert_array_equal(np.asarray(target), np.asarray(hr))


def test_a_teacher_computes_in_bfloat16_where_it_is_asked_to(tmp_path: Path) -> None:
    network, pairs = network_of("y"), pairs_in(tmp_path, "y")
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    exact = with_targets(pairs, network)[0].target
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = with_targets(pairs, network)[0].target
    assert exact is not None
    assert rounded is not None
    assert rounded.dtype == np.float32
    assert not np.array_equal(exact, rounded)
