from __future__ import annotations

from pathlib import Path

import pytest
import torch
from network_checks import (
    layers_that_differ_by_scale,
    parameters_without_gradient,
    reach_by_gradient,
    same_after_a_checkpoint,
    tiling_error,
)
from pictures_support import synthetic_luma

from edge_sr.data.resample import upscale
from edge_sr.models import build_model
from edge_sr.models.vdsr import Vdsr

SCALES = (2, 3, 4)


def tiny(scale: int, **options: int | bool) -> Vdsr:
    torch.manual_seed(0)
    network = build_model("vdsr", scale, **{"width": 4, **options})
    assert isinstance(network, Vdsr)
    return network


def test_parameters_are_counted_with_and_without_biases() -> None:
    for bias, expected in ((True, 665_921), (False, 664_704)):
        network = build_model("vdsr", 2, bias=bias)
        assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize("scale", SCALES)
def test_features_are_what_the_last_convolution_reads_on_the_hr_grid(scale: int) -> None:
    network, lr = tiny(scale), torch.rand(2, 1, 5, 7)
    picture, features = network.picture_and_features(lr)
    assert picture.shape == (2, 1, 5 * scale, 7 * scale)
    assert len(features) == 1
    assert features[0].shape == (2, *network.feature_channels, 5 * scale, 7 * scale)
    assert (features[0] >= 0).all()
    torch.testing.assert_close(picture, network.base(lr) + network.tail(features[0]))


def test_twenty_convolutions_are_run() -> None:
    convolutions = [m for m in build_model("vdsr", 2).modules() if isinstance(m, torch.nn.Conv2d)]
    widths = [(conv.in_channels, conv.out_channels) for conv in convolutions]
    assert widths == [(1, 64), *[(64, 64)] * 18, (64, 1)]


@pytest.mark.parametrize("scale", SCALES)
def test_layers_predict_what_bicubic_misses(scale: int) -> None:
    network = tiny(scale)
    torch.nn.init.zeros_(network.tail.weight)
    plane = synthetic_luma(10, 13).astype(float) / 255
    sr = network(torch.from_numpy(plane).float()[None, None])[0, 0].detach().numpy()
    assert abs(sr - upscale(plane, scale)).max() < 1e-5


def test_convolutions_pad_with_zeros_at_the_hr_border() -> None:
    network = tiny(2, depth=2).double()
    lr = torch.rand(1, 1, 6, 6, dtype=torch.float64)
    base = network.base(lr)
    framed = torch.nn.functional.pad(base, (3, 3, 3, 3))
    expected = base + network.tail(network.layers(framed) * (framed != 0))[:, :, 3:-3, 3:-3]
    torch.testing.assert_close(network(lr), expected)


def test_he_weights_keep_the_signal_alive() -> None:
    torch.manual_seed(0)
    network = Vdsr(2).requires_grad_(False)
    assert float(network.layers[5][0].weight.std()) == pytest.approx(
        (2 / (9 * 64)) ** 0.5, rel=0.02
    )
    assert not any(p.any() for n, p in network.named_parameters() if n.endswith("bias"))
    assert 0.1 < float(network.features(torch.rand(1, 1, 12, 12)).std()) < 2


@pytest.mark.parametrize(("scale", "reach"), [(2, (12, 12)), (3, (8, 8)), (4, (7, 7))])
def test_receptive_field_is_what_gradients_reach(scale: int, reach: tuple[int, int]) -> None:
    network = tiny(scale)
    assert network.spec.receptive_field_radius == max(reach)
    assert reach_by_gradient(network) == (reach, reach)


@pytest.mark.parametrize("scale", SCALES)
def test_tiles_with_their_halo_are_the_whole_picture(scale: int) -> None:
    network = tiny(scale)
    assert tiling_error(network) < 1e-12 < tiling_error(network, missing=1)


def test_every_parameter_learns() -> None:
    assert parameters_without_gradient(tiny(2)) == []


@pytest.mark.parametrize("bias", [True, False])
def test_checkpoint_gives_the_network_back(bias: bool, tmp_path: Path) -> None:
    assert same_after_a_checkpoint(tiny(3, bias=bias, depth=4), tmp_path)


def test_another_scale_starts_from_all_layers() -> None:
    network = tiny(2)
    assert network.scale_layers == ()
    assert layers_that_differ_by_scale(network) == set()


def test_bad_scales_and_options_are_refused() -> None:
    with pytest.raises(ValueError, match="scale 5"):
        build_model("vdsr", 5)
    with pytest.raises(ValueError, match="depth 1"):
        build_model("vdsr", 2, depth=1)
    with pytest.raises(ValueError, match="does not take these options"):
        build_model("vdsr", 2, d=3)
