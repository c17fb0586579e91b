from __future__ import annotations

from pathlib import Path
from typing import Any

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
from torch import Tensor
from torch.nn import functional

from edge_sr.data.resample import upscale
from edge_sr.models import build_model
from edge_sr.models.idn import DistillationBlock, Idn
from edge_sr.models.reparam import SubpixelTail, use_training_form

SCALES = (2, 3, 4)
NAMES = ("idn", "idn_rgb", "idn_rgb_subpixel")


def tiny(name: str, scale: int, **options: Any) -> Idn:
    torch.manual_seed(0)
    network = build_model(name, scale, **{"width": 16, "d": 4, **options})
    assert isinstance(network, Idn)
    return network


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("idn", (552_769,) * 3),
        ("idn_rgb", (590_915,) * 3),
        ("idn_rgb_subpixel", (579_276, 587_931, 600_048)),
    ],
)
def test_parameters_are_counted(name: str, expected: tuple[int, ...]) -> None:
    networks = [build_model(name, scale) for scale in SCALES]
    assert tuple(sum(p.numel() for p in n.parameters()) for n in networks) == expected


def test_block_has_the_papers_channels_and_groups() -> None:
    convolutions = [
        m for m in DistillationBlock(64, 16).modules() if isinstance(m, torch.nn.Conv2d)
    ]
    assert [(c.in_channels, c.out_channels, c.kernel_size[0], c.groups) for c in convolutions] == [
        (64, 48, 3, 1),
        (48, 32, 3, 4),
        (32, 64, 3, 1),
        (48, 64, 3, 1),
        (64, 48, 3, 4),
        (48, 80, 3, 1),
        (80, 64, 1, 1),
    ]


def test_block_sets_the_first_channels_aside_with_its_input() -> None:
    torch.manual_seed(0)
    block, given = DistillationBlock(16, 4), torch.rand(1, 16, 6, 5)
    weights = iter(block.parameters())

    def layer(x: Tensor, groups: int = 1) -> Tensor:
        weight, bias = next(weights), next(weights)
        y = functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=groups)
        return torch.where(y > 0, y, 0.05 * y)

    part = layer(layer(layer(given), 4))
    other = layer(layer(layer(part[:, 4:]), 4))
    expected = layer(torch.cat([given, part[:, :4]], 1) + other)
    torch.testing.assert_close(block(given), expected)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_features_are_the_last_blocks_output(name: str, scale: int) -> None:
    network = tiny(name, scale)
    lr = torch.rand(2, network.spec.samples, 5, 7)
    picture, features = network.picture_and_features(lr)
    assert picture.shape == (2, network.spec.samples, 5 * scale, 7 * scale)
    assert len(features) == 1
    assert features[0].shape == (2, *network.feature_channels, 5, 7)
    residual = network.tail(network.before_tail(features[0]))
    torch.testing.assert_close(picture, network.base(lr) + residual)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_layers_predict_what_bicubic_misses_in_each_channel(name: str, scale: int) -> None:
    network = tiny(name, scale)
    for parameter in network.tail.parameters():
        torch.nn.init.zeros_(parameter)
    planes = [synthetic_luma(10, 13).astype(float) / (255 + 50 * c) for c in range(3)]
    planes = planes[: network.spec.samples]
    lr = torch.stack([torch.from_numpy(plane).float() for plane in planes])[None]
    sr = network(lr)[0].detach().numpy()
    for channel, plane in enumerate(planes):
        assert abs(sr[channel] - upscale(plane, scale)).max() < 1e-5


@pytest.mark.parametrize("scale", SCALES)
def test_last_alignment_is_caffes_output_moved_down_and_right(scale: int) -> None:
    network = tiny("idn", scale, tail="deconvolution_last").double()
    features = torch.rand(1, 16, 6, 7, dtype=torch.float64)
    weight, bias = (network.tail.get_parameter(name) for name in ("weight", "bias"))
    caffe = functional.conv_transpose2d(features, weight, bias, stride=scale, padding=8)
    assert caffe.shape == (1, 1, 5 * scale + 1, 6 * scale + 1)
    ours = network.tail(features)
    assert ours.shape == (1, 1, 6 * scale, 7 * scale)
    torch.testing.assert_close(ours[:, :, scale - 1 :, scale - 1 :], caffe)


def test_tails_of_a_transposed_convolution_share_their_names() -> None:
    first, last = (tiny("idn", 2, tail=f"deconvolution{end}") for end in ("", "_last"))
    shapes = {name: value.shape for name, value in first.state_dict().items()}
    assert {name: value.shape for name, value in last.state_dict().items()} == shapes
    last.load_state_dict(first.state_dict())


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ["idn", "idn_rgb"])
def test_training_form_has_the_same_picture_and_gradients(name: str, scale: int) -> None:
    network = tiny(name, scale, blocks=1).double()
    lr = torch.rand(2, network.spec.samples, 6, 5, dtype=torch.float64)
    expected = network(lr)
    expected.square().sum().backward()
    gradients = {key: p.grad.clone() for key, p in network.named_parameters()}
    network.zero_grad()
    fast = use_training_form(network)
    assert isinstance(fast.tail, SubpixelTail)
    picture = fast(lr)
    torch.testing.assert_close(picture, expected)
    picture.square().sum().backward()
    assert gradients.keys() == dict(fast.named_parameters()).keys()
    for key, parameter in fast.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[key])


def test_weights_start_as_in_caffe() -> None:
    torch.manual_seed(0)
    network = Idn(2).requires_grad_(False)
    grouped = network.blocks[0].first[1][0].weight
    assert float(grouped.std()) == pytest.approx((4 / (9 * (48 / 4 + 32))) ** 0.5, rel=0.05)
    tail = network.tail.get_parameter("weight")
    assert float(tail.std()) == pytest.approx((4 / (289 * (64 + 1))) ** 0.5, rel=0.02)
    assert not any(p.any() for n, p in network.named_parameters() if n.endswith("bias"))


@pytest.mark.parametrize(
    ("name", "tail", "scale", "reach"),
    [
        ("idn", "deconvolution", 2, (30, 30)),
        ("idn", "deconvolution", 3, (28, 29)),
        ("idn", "deconvolution", 4, (28, 28)),
        ("idn", "deconvolution_last", 2, (30, 30)),
        ("idn", "deconvolution_last", 3, (29, 28)),
        ("idn", "deconvolution_last", 4, (28, 28)),
        ("idn_rgb", "deconvolution", 3, (28, 29)),
        *(("idn_rgb_subpixel", "subpixel", scale, (28, 28)) for scale in SCALES),
    ],
)
def test_receptive_field_is_what_gradients_reach(
    name: str, tail: str, scale: int, reach: tuple[int, int]
) -> None:
    network = tiny(name, scale, tail=tail, width=12)
    assert network.spec.receptive_field_radius == max(reach)
    assert reach_by_gradient(network) == (reach, reach)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
    ("name", "tail"),
    [
        ("idn", "deconvolution"),
        ("idn", "deconvolution_last"),
        ("idn_rgb", "deconvolution"),
        ("idn_rgb_subpixel", "subpixel"),
    ],
)
def test_tiles_with_their_halo_are_the_whole_picture(name: str, tail: str, scale: int) -> None:
    network = tiny(name, scale, tail=tail, width=12, blocks=1)
    assert tiling_error(network) < 1e-12 < tiling_error(network, missing=1)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name: str) -> None:
    assert parameters_without_gradient(tiny(name, 2)) == []


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("idn", {}),
        ("idn", {"tail": "deconvolution_last"}),
        ("idn_rgb", {"blocks": 2}),
        ("idn_rgb_subpixel", {}),
    ],
)
def test_checkpoint_gives_the_network_back(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    assert same_after_a_checkpoint(tiny(name, 3, **options), tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_another_scale_starts_from_all_but_the_tail(name: str) -> None:
    network = tiny(name, 2)
    assert network.scale_layers == ("tail",)
    assert layers_that_differ_by_scale(network) <= {"tail"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d": 5}, "width 16 and d 5"),
        ({"d": 8}, "width 16 and d 8"),
        ({"tail": "bicubic"}, "tail 'bicubic' is unknown"),
        ({"s": 4}, "does not take these options"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny("idn", 2, **options)


def test_bad_scales_are_refused() -> None:
    with pytest.raises(ValueError, match="scale 8"):
        build_model("idn", 8)
