from __future__ import annotations

from pathlib import Path

import pytest
import torch
from network_checks import (
    export_error,
    layers_that_differ_by_scale,
    parameters_without_gradient,
    reach_by_gradient,
    same_after_a_checkpoint,
    tiling_error,
)
from torch import Tensor, nn
from torch.nn import functional

from edge_sr.models import build_model
from edge_sr.models.drn import Drn, bottleneck_width

SCALES = (2, 3, 4)
MEAN = 255 * torch.tensor((0.4488, 0.4371, 0.4040)).reshape(1, 3, 1, 1)


def tiny(scale: int, *, blocks: int = 2, width: int = 4, elu_after: str = "group") -> Drn:
    torch.manual_seed(0)
    network = build_model("drn", scale, blocks=blocks, width=width, elu_after=elu_after)
    assert isinstance(network, Drn)
    return network


def count(**options: str | int) -> int:
    with torch.device("meta"):
        network = build_model("drn_plus", 4, **options)
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("elu_after", ["reduce,spatial,group", "expand", ""])
@pytest.mark.parametrize("scale", SCALES)
def test_network_is_the_papers_layer_by_layer(scale: int, elu_after: str) -> None:
    network, lr = tiny(scale, elu_after=elu_after), torch.rand(2, 3, 6, 5)
    weights = network.state_dict()

    def conv(x: Tensor, key: str, place: str = "") -> Tensor:
        weight, bias = weights[f"{key}.weight"], weights[f"{key}.bias"]
        y = functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        is_active = place and place in elu_after
        return torch.where(y > 0, y, 0.2 * (y.exp() - 1)) if is_active else y

    def block(x: Tensor, key: str) -> Tensor:
        inner = conv(x, f"{key}.layers.0", "reduce")
        assert inner.shape[1] == x.shape[1] // 2
        inner = conv(conv(inner, f"{key}.layers.2", "spatial"), f"{key}.layers.4", "expand")
        channels = x.shape[1]
        return torch.cat([x + inner[:, :channels], inner[:, channels:]], 1)

    shallow = x = conv(255 * lr - MEAN, "head")
    after = []
    for group in range(6):
        key = f"groups.{group}.layers"
        dense = block(block(x, f"{key}.0"), f"{key}.1")
        assert dense.shape[1] == 4 + 2 * 8
        x = x + conv(dense, f"{key}.2", "group")
        after.append(x)
    deep = x = x + shallow
    for step, factor in enumerate((2, 2) if scale == 4 else (scale,)):
        x = functional.pixel_shuffle(conv(x, f"upsampler.{2 * step}"), factor)
    picture, features = network.picture_and_features(lr)
    torch.testing.assert_close(picture, (conv(x, "tail") + MEAN) / 255)
    for feature, expected in zip(features, (after[1], after[3], deep), strict=True):
        torch.testing.assert_close(feature, expected)
    assert network.feature_channels == (4, 4, 4)


def test_elus_stand_after_the_first_two_convolutions_and_the_group() -> None:
    network = build_model("drn", 2, blocks=1, width=4)
    assert isinstance(network, Drn)
    elus = [name for name, layer in network.named_modules() if isinstance(layer, nn.ELU)]
    assert elus[:3] == [
        "groups.0.layers.0.layers.1",
        "groups.0.layers.0.layers.3",
        "groups.0.layers.2",
    ]
    assert len(elus) == 18


@pytest.mark.parametrize(
    ("rule", "expected"), [("D/2", 40), ("C/2", 32), ("3C/8", 24), ("D", 80), ("64", 64)]
)
def test_bottleneck_is_a_number_or_a_share(rule: str, expected: int) -> None:
    assert bottleneck_width(rule, 64, 80) == expected


def test_only_half_the_input_saves_54_percent_of_edsr() -> None:
    with torch.device("meta"):
        edsr = sum(parameter.numel() for parameter in build_model("edsr_t", 4).parameters())
    rules = ["C", "C/2", "C/4", "64", "D", "D/2", "D/4", "3C/8"]
    saved = {rule: round(100 * (1 - count(bottleneck=rule) / edsr)) for rule in rules}
    assert [rule for rule, percent in saved.items() if percent == 54] == ["D/2"]
    assert count(bottleneck=64) == count(bottleneck="64")


def test_single_step_upscales_by_four_at_once() -> None:
    network = build_model("drn", 4, blocks=1, width=4, single_step=True)
    assert network(torch.rand(1, 3, 5, 4)).shape == (1, 3, 20, 16)
    assert network.state_dict()["upsampler.0.weight"].shape == (4 * 16, 4, 3, 3)
    assert len([key for key in network.state_dict() if key.startswith("upsampler")]) == 2


@pytest.mark.parametrize("scale", SCALES)
def test_receptive_field_is_what_gradients_reach(scale: int) -> None:
    network = tiny(scale, blocks=9, width=2)
    assert network.spec.receptive_field_radius == 57
    assert network.spec.tileable
    assert reach_by_gradient(network) == ((57, 57), (57, 57))


@pytest.mark.parametrize("scale", SCALES)
def test_tiles_with_their_halo_are_the_whole_picture(scale: int) -> None:
    network = tiny(scale, blocks=1)
    assert network.spec.receptive_field_radius == 57 - 6 * 8
    assert tiling_error(network) < 1e-12 < tiling_error(network, missing=1)


def test_every_parameter_learns() -> None:
    assert parameters_without_gradient(tiny(4)) == []


def test_checkpoint_gives_the_network_back(tmp_path: Path) -> None:
    assert same_after_a_checkpoint(tiny(3, elu_after="spatial"), tmp_path)


def test_another_scale_starts_from_all_but_the_upsampler() -> None:
    network = tiny(2)
    assert network.scale_layers == ("upsampler",)
    assert layers_that_differ_by_scale(network) == {"upsampler"}


def test_exported_graph_computes_what_pytorch_computes() -> None:
    network = build_model("drn", 3, blocks=1, width=8).eval()
    assert export_error(network, [(1, 8, 31), (3, 30, 7), (1, 1, 1)]) < 1e-5


def test_bad_scales_and_options_are_refused() -> None:
    with pytest.raises(ValueError, match="scale 5"):
        build_model("drn_plus", 5)
    with pytest.raises(ValueError, match="bottleneck 'half' is no width"):
        build_model("drn", 2, bottleneck="half")
    with pytest.raises(ValueError, match="bottleneck 'C/8' leaves no channel"):
        build_model("drn", 2, width=4, bottleneck="C/8")
    with pytest.raises(ValueError, match="elu_after 'last' is unknown"):
        build_model("drn", 2, elu_after="reduce,last")
