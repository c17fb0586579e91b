from __future__ import annotations

from pathlib import Path

import pytest
import torch
from network_checks import (
    export_error,
    layers_that_differ_by_scale,
    open_squeezes,
    parameters_without_gradient,
    same_after_a_checkpoint,
)
from torch import Tensor
from torch.nn import functional

from edge_sr.models import build_model
from edge_sr.models.rcan import Rcan

SCALES = (2, 3, 4)
MEAN = 255 * torch.tensor((0.4488, 0.4371, 0.4040)).reshape(1, 3, 1, 1)


def tiny(scale: int, *, groups: int = 4, blocks: int = 2, width: int = 32) -> Rcan:
    torch.manual_seed(0)
    network = build_model("rcan_s", scale, groups=groups, blocks=blocks, width=width)
    assert isinstance(network, Rcan)
    open_squeezes(network)
    return network


@pytest.mark.parametrize("scale", SCALES)
def test_network_is_the_papers_layer_by_layer(scale: int) -> None:
    network, lr = tiny(scale), torch.rand(2, 3, 6, 5)
    weights = network.state_dict()

    def conv(x: Tensor, key: str) -> Tensor:
        weight, bias = weights[f"{key}.weight"], weights[f"{key}.bias"]
        return functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)

    def block(x: Tensor, key: str) -> Tensor:
        inner = conv(conv(x, f"{key}.layers.0").relu(), f"{key}.layers.2")
        squeezed = conv(inner.mean((2, 3), keepdim=True), f"{key}.weights.0").relu()
        assert squeezed.shape == (2, 32 // 16, 1, 1)
        return x + inner * conv(squeezed, f"{key}.weights.2").sigmoid()

    shallow = x = conv(255 * lr - MEAN, "head")
    after = []
    for group in range(4):
        key = f"groups.{group}.layers"
        x = x + conv(block(block(x, f"{key}.0"), f"{key}.1"), f"{key}.2")
        after.append(x)
    deep = x = conv(x, "body_end") + shallow
    for step, factor in enumerate((2, 2) if scale == 4 else (scale,)):
        x = functional.pixel_shuffle(conv(x, f"upsampler.{2 * step}"), factor)
    picture, features = network.picture_and_features(lr)
    torch.testing.assert_close(picture, (conv(x, "tail") + MEAN) / 255)
    assert picture.shape == (2, 3, 6 * scale, 5 * scale)
    # The last place is after the long skip, which FAKD's code adds in place.
    for feature, expected in zip(features, (after[0], after[2], deep), strict=True):
        torch.testing.assert_close(feature, expected)
    assert network.feature_channels == (32, 32, 32)


@pytest.mark.parametrize("name", ["rcan_s", "rcan_t"])
def test_features_lie_where_fakd_takes_them(name: str) -> None:
    with torch.device("meta"):
        network = build_model(name, 2)
    assert isinstance(network, Rcan)
    assert network.places == (3, 7)


def test_far_pixels_count_so_that_it_is_not_tileable() -> None:
    network = tiny(2, groups=3, blocks=1).double()
    lr = torch.rand(1, 3, 4, 60, dtype=torch.float64)
    touched = lr.clone()
    touched[..., 0] += 0.5
    with torch.no_grad():
        assert (network(touched) - network(lr)).abs()[..., -1].min() > 1e-12
    assert not network.spec.tileable
    assert network.spec.receptive_field_radius == 0


def test_every_parameter_learns() -> None:
    assert parameters_without_gradient(tiny(4)) == []


def test_checkpoint_gives_the_network_back(tmp_path: Path) -> None:
    assert same_after_a_checkpoint(tiny(3), tmp_path)


def test_another_scale_starts_from_all_but_the_upsampler() -> None:
    network = tiny(2)
    assert network.scale_layers == ("upsampler",)
    assert layers_that_differ_by_scale(network) == {"upsampler"}


def test_exported_graph_computes_what_pytorch_computes() -> None:
    network = tiny(3, groups=3, blocks=1)
    assert export_error(network, [(1, 8, 31), (3, 30, 7), (1, 1, 1)]) < 1e-5


def test_bad_scales_and_options_are_refused() -> None:
    with pytest.raises(ValueError, match="scale 5"):
        build_model("rcan_t", 5)
    with pytest.raises(ValueError, match="2 groups are too few"):
        build_model("rcan_s", 2, groups=2)
