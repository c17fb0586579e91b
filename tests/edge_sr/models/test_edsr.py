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
from torch import Tensor
from torch.nn import functional

from edge_sr.data.color import luma_from_rgb
from edge_sr.models import build_model
from edge_sr.models.edsr import Edsr

SCALES = (2, 3, 4)
MEAN = 255 * torch.tensor((0.4488, 0.4371, 0.4040)).reshape(1, 3, 1, 1)
LUMA = 255 * torch.tensor(0.4379).reshape(1, 1, 1, 1)


def tiny(scale: int, *, blocks: int = 4, width: int = 6, residual_scale: float = 0.1) -> Edsr:
    torch.manual_seed(0)
    options = {"blocks": blocks, "width": width, "residual_scale": residual_scale}
    network = build_model("edsr_s", scale, **options)
    assert isinstance(network, Edsr)
    return network


@pytest.mark.parametrize("scale", SCALES)
def test_network_is_the_papers_layer_by_layer(scale: int) -> None:
    network, lr = tiny(scale), torch.rand(2, 3, 6, 5)
    weights = network.state_dict()

    def conv(x: Tensor, key: str) -> Tensor:
        return functional.conv2d(x, weights[f"{key}.weight"], weights[f"{key}.bias"], padding=1)

    shallow = x = conv(lr * 255 - MEAN, "head")
    after = []
    for block in range(4):
        inner = conv(x, f"blocks.{block}.layers.0").relu()
        x = x + 0.1 * conv(inner, f"blocks.{block}.layers.2")
        after.append(x)
    deep = x = conv(x, "body_end") + shallow
    for step, factor in enumerate((2, 2) if scale == 4 else (scale,)):
        x = functional.pixel_shuffle(conv(x, f"upsampler.{2 * step}"), factor)
    picture, features = network.picture_and_features(lr)
    torch.testing.assert_close(picture, (conv(x, "tail") + MEAN) / 255)
    assert picture.shape == (2, 3, 6 * scale, 5 * scale)
    # The last place is after the long skip, which FAKD's code adds in place.
    for feature, expected in zip(features, (after[0], after[1], deep), strict=True):
        torch.testing.assert_close(feature, expected)
    assert network.feature_channels == (6, 6, 6)


@pytest.mark.parametrize(("name", "places"), [("edsr_s", (5, 10)), ("edsr_t", (10, 21))])
def test_features_lie_where_fakd_takes_them(name: str, places: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = build_model(name, 2)
    assert isinstance(network, Edsr)
    assert network.places == places


def test_mean_colour_of_div2k_is_zero_inside() -> None:
    network = tiny(3)
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if key.endswith("bias"):
                parameter.zero_()
        sr = network((MEAN / 255).expand(1, 3, 5, 5))
    torch.testing.assert_close(sr, (MEAN / 255).expand(1, 3, 15, 15))


def test_its_form_for_luminance_takes_and_gives_one_channel() -> None:
    network = build_model("edsr_s", 3, blocks=4, width=6, channels="y")
    assert (network.spec.channels, network.spec.samples) == ("y", 1)
    assert network(torch.rand(2, 1, 6, 5)).shape == (2, 1, 18, 15)
    assert torch.equal(network.get_buffer("mean"), LUMA[0])
    luma = luma_from_rgb(MEAN.movedim(1, 3).numpy()).item()
    assert luma == pytest.approx(LUMA.item(), abs=0.1)
    grey = LUMA / 255
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if key.endswith("bias"):
                parameter.zero_()
        torch.testing.assert_close(network(grey.expand(1, 1, 5, 5)), grey.expand(1, 1, 15, 15))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("blocks", "radius"), [(16, 36), (32, 68)])
def test_receptive_field_is_what_gradients_reach(blocks: int, radius: int, scale: int) -> None:
    network = tiny(scale, blocks=blocks, width=1, residual_scale=1.0)
    assert network.spec.receptive_field_radius == radius
    assert network.spec.tileable
    assert reach_by_gradient(network) == ((radius, radius), (radius, radius))


@pytest.mark.parametrize("scale", SCALES)
def test_tiles_with_their_halo_are_the_whole_picture(scale: int) -> None:
    network = tiny(scale, residual_scale=1.0)
    assert tiling_error(network) < 1e-12 < tiling_error(network, missing=1)
    assert tiling_error(tiny(scale, blocks=16, width=2)) < 1e-12


def test_every_parameter_learns() -> None:
    assert parameters_without_gradient(tiny(4)) == []


def test_checkpoint_gives_the_network_back(tmp_path: Path) -> None:
    network = tiny(3)
    network.mean.add_(1.0)
    assert same_after_a_checkpoint(network, tmp_path)
    assert same_after_a_checkpoint(build_model("edsr_s", 2, blocks=3, channels="y"), tmp_path)


def test_another_scale_starts_from_all_but_the_upsampler() -> None:
    network = tiny(2)
    assert network.scale_layers == ("upsampler",)
    assert layers_that_differ_by_scale(network) == {"upsampler"}


@pytest.mark.parametrize("scale", [3, 4])
def test_exported_graph_computes_what_pytorch_computes(scale: int) -> None:
    assert export_error(tiny(scale, blocks=3), [(1, 8, 31), (3, 30, 7), (1, 1, 1)]) < 1e-5


def test_bad_scales_and_options_are_refused() -> None:
    with pytest.raises(ValueError, match="scale 5"):
        build_model("edsr_s", 5)
    with pytest.raises(ValueError, match="2 blocks are too few"):
        build_model("edsr_s", 2, blocks=2)
    with pytest.raises(ValueError, match="does not take these options"):
        build_model("edsr_t", 2, groups=3)
    with pytest.raises(ValueError, match="channels 'yuv' is neither rgb nor y"):
        build_model("edsr_s", 2, channels="yuv")
