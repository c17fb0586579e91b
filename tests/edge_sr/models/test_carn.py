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
from torch import Tensor, nn
from torch.nn import functional

from edge_sr.models import build_model
from edge_sr.models.carn import Carn

SCALES = (2, 3, 4)
NAMES = ("carn", "carn_m")
MEAN = torch.tensor((0.4488, 0.4371, 0.4040)).reshape(1, 3, 1, 1)


def tiny(name: str, scale: int) -> Carn:
    torch.manual_seed(0)
    network = build_model(name, scale, width=8)
    assert isinstance(network, Carn)
    return network


def count(parameters: list[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)


def of_all_scales(name: str, *, biases: bool = True) -> int:
    """Parameters of the published form: three upsamplers, all other layers once."""
    total = 0
    for scale in SCALES:
        for key, parameter in build_model(name, scale).named_parameters():
            is_wanted = biases or not key.endswith("bias")
            if is_wanted and (key.startswith("upsample.") or scale == 2):
                total += parameter.numel()
    return total


def test_parameters_are_counted() -> None:
    counts = [count(list(build_model("carn", scale).parameters())) for scale in SCALES]
    assert counts == [964_163, 1_148_803, 1_111_875]
    mean_shifts = 2 * (3 * 3 + 3)
    assert of_all_scales("carn") + mean_shifts == 1_591_963


def test_mobile_form_has_the_papers_412k_weights() -> None:
    counts = [count(list(build_model("carn_m", scale).parameters())) for scale in SCALES]
    assert counts == [257_027, 303_427, 294_147]
    assert of_all_scales("carn_m", biases=False) == 412_032


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_features_are_the_last_fusion_before_the_upsampler(name: str, scale: int) -> None:
    network, lr = tiny(name, scale), torch.rand(2, 3, 5, 7)
    picture, features = network.picture_and_features(lr)
    assert network.spec.channels == "rgb"
    assert picture.shape == (2, 3, 5 * scale, 7 * scale)
    assert len(features) == 1
    assert features[0].shape == (2, *network.feature_channels, 5, 7)
    expected = network.exit(network.upsample(features[0])) + MEAN
    torch.testing.assert_close(picture, expected)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_network_is_the_papers_layer_by_layer(name: str, scale: int) -> None:
    network, lr = tiny(name, scale), torch.rand(1, 3, 6, 5)
    weights = network.state_dict()
    is_mobile = name == "carn_m"

    def conv(x: Tensor, key: str, groups: int = 1) -> Tensor:
        weight, bias = weights[f"{key}.weight"], weights[f"{key}.bias"]
        return functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=groups)

    def residual(x: Tensor, key: str) -> Tensor:
        groups = 4 if is_mobile else 1
        y = conv(x, f"{key}.layers.0", groups).relu()
        y = conv(y, f"{key}.layers.2", groups)
        return ((conv(y.relu(), f"{key}.layers.4") if is_mobile else y) + x).relu()

    def block(x: Tensor, key: str) -> Tensor:
        first, second, third = (f"{key}.units.{0 if is_mobile else i}" for i in range(3))
        a = residual(x, first)
        fused = conv(torch.cat([x, a], 1), f"{key}.fusions.0.0").relu()
        b = residual(fused, second)
        fused = conv(torch.cat([x, a, b], 1), f"{key}.fusions.1.0").relu()
        c = residual(fused, third)
        return conv(torch.cat([x, a, b, c], 1), f"{key}.fusions.2.0").relu()

    x = conv(lr - MEAN, "entry")
    a = block(x, "blocks.units.0")
    b = block(conv(torch.cat([x, a], 1), "blocks.fusions.0.0").relu(), "blocks.units.1")
    c = block(conv(torch.cat([x, a, b], 1), "blocks.fusions.1.0").relu(), "blocks.units.2")
    x = conv(torch.cat([x, a, b, c], 1), "blocks.fusions.2.0").relu()
    for step, factor in enumerate((2, 2) if scale == 4 else (scale,)):
        x = conv(x, f"upsample.{3 * step}", 4 if is_mobile else 1).relu()
        x = functional.pixel_shuffle(x, factor)
    torch.testing.assert_close(network(lr), conv(x, "exit") + MEAN)


def test_mean_colour_of_div2k_is_zero_inside() -> None:
    network = tiny("carn", 2)
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if key.endswith("bias"):
                parameter.zero_()
        sr = network(MEAN.expand(1, 3, 6, 6))
    torch.testing.assert_close(sr, MEAN.expand(1, 3, 12, 12))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_receptive_field_is_what_gradients_reach(name: str, scale: int) -> None:
    network = tiny(name, scale)
    assert network.spec.receptive_field_radius == 21
    assert reach_by_gradient(network) == ((21, 21), (21, 21))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_tiles_with_their_halo_are_the_whole_picture(name: str, scale: int) -> None:
    network = tiny(name, scale)
    assert tiling_error(network) < 1e-12 < tiling_error(network, missing=1)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name: str) -> None:
    assert parameters_without_gradient(tiny(name, 4)) == []


@pytest.mark.parametrize("name", NAMES)
def test_checkpoint_gives_the_network_back(name: str, tmp_path: Path) -> None:
    network = tiny(name, 3)
    assert "mean" not in network.state_dict()
    assert same_after_a_checkpoint(network, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_another_scale_starts_from_all_but_the_upsampler(name: str) -> None:
    network = tiny(name, 2)
    assert network.scale_layers == ("upsample",)
    assert layers_that_differ_by_scale(network) == {"upsample"}


def test_bad_scales_and_options_are_refused() -> None:
    with pytest.raises(ValueError, match="scale 5"):
        build_model("carn", 5)
    with pytest.raises(ValueError, match="width 6 of carn_m"):
        build_model("carn_m", 2, width=6)
    with pytest.raises(ValueError, match="does not take these options"):
        build_model("carn", 2, units=1)
