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
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from edge_sr.models import build_model
from edge_sr.models.san import (
    NonLocal,
    San,
    SecondOrderAttention,
    centre_crop,
    covariance,
    matrix_square_root,
)

SCALES = (2, 3, 4)
MEAN = 255 * torch.tensor((0.4488, 0.4371, 0.4040)).reshape(1, 3, 1, 1)


def tiny(scale: int, *, groups: int = 4, blocks: int = 1, width: int = 8, pooling: int = 2) -> San:
    """With weights where training begins from zeros, open ReLUs and attention to several pixels."""
    torch.manual_seed(0)
    options = {"groups": groups, "blocks": blocks, "width": width, "key_pooling": pooling}
    network = build_model("san_s", scale, **options, attention_width=4)
    assert isinstance(network, San)
    with torch.no_grad():
        network.gamma.fill_(0.5)
        nn.init.normal_(network.non_local.out.weight, std=0.3)
        network.non_local.query.weight.mul_(0.01)
        open_squeezes(network)
    return network


def random_covariance(channels: int) -> Tensor:
    mixing = torch.randn(channels, channels, dtype=torch.float64)
    pixels = torch.randn(2, channels, 9 * channels, 2, dtype=torch.float64)
    return covariance(torch.einsum("cd,ndhw->nchw", torch.eye(channels) + 0.1 * mixing, pixels))


def by_eigenvalues(matrix: Tensor, root: Tensor) -> float:
    """Relative distance of ``root`` from the exact square root."""
    values, vectors = torch.linalg.eigh(matrix)
    exact = vectors @ torch.diag_embed(values.clamp_min(0).sqrt()) @ vectors.transpose(1, 2)
    return float((root - exact).norm() / exact.norm())


def test_covariance_is_that_of_the_centring_matrix() -> None:
    features = 3 + torch.randn(2, 5, 6, 7, dtype=torch.float64)
    flat, m = features.flatten(2), 6 * 7
    centring = torch.eye(m, dtype=torch.float64) - torch.full((m, m), 1 / m, dtype=torch.float64)
    expected = flat @ centring @ flat.transpose(1, 2) / m
    torch.testing.assert_close(covariance(features), expected)


def test_square_root_is_that_of_the_eigenvalues() -> None:
    few, many = random_covariance(4), random_covariance(64)
    assert by_eigenvalues(few, matrix_square_root(few)) < 1e-2
    assert by_eigenvalues(many, matrix_square_root(many, steps=12)) < 1e-2


def test_five_steps_are_those_of_the_paper_also_before_they_arrive() -> None:
    """At 64 channels an eigenvalue is about a 64th of the trace, and five steps fall short."""
    matrix = random_covariance(64)
    values, vectors = torch.linalg.eigh(matrix)
    trace = values.sum(1, keepdim=True)
    y, z = values / trace, torch.ones_like(values)
    for _ in range(5):
        step = (3 - z * y) / 2
        y, z = y * step, step * z
    expected = vectors @ torch.diag_embed(y * trace.sqrt()) @ vectors.transpose(1, 2)
    torch.testing.assert_close(matrix_square_root(matrix), expected)
    assert by_eigenvalues(matrix, expected) > 0.1


def test_picture_without_contrast_has_a_result_and_a_gradient() -> None:
    attention = SecondOrderAttention(8)
    features = torch.ones(1, 8, 3, 3, requires_grad=True)
    attention(features).sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert matrix_square_root(torch.zeros(1, 4, 4)).equal(torch.zeros(1, 4, 4))


@pytest.mark.parametrize(
    ("height", "width", "first_row", "first_column"), [(1003, 20, 1, 0), (20, 1100, 0, 50)]
)
def test_statistics_are_those_of_the_middle_thousand(
    height: int, width: int, first_row: int, first_column: int
) -> None:
    features = torch.rand(1, 2, height, width)
    middle = features[:, :, first_row:, first_column:][:, :, :1000, :1000]
    assert centre_crop(features).equal(middle)
    assert centre_crop(middle).equal(middle)


@pytest.mark.parametrize("pooling", [1, 2])
def test_positions_attend_to_their_quadrant(pooling: int) -> None:
    torch.manual_seed(0)
    layer, features = NonLocal(6, 3, pooling), torch.randn(2, 6, 9, 11)
    assert layer(features).equal(features)
    nn.init.normal_(layer.out.weight)
    expected = features.clone()
    for rows in (slice(0, 4), slice(4, 9)):
        for columns in (slice(0, 5), slice(5, 11)):
            region = features[:, :, rows, columns]
            key, value = layer.key(region), layer.value(region)
            if pooling == 2:
                key, value = functional.max_pool2d(key, 2), functional.max_pool2d(value, 2)
            scores = torch.einsum("nchw,ncp->nhwp", layer.query(region), key.flatten(2))
            mixed = torch.einsum("nhwp,ncp->nchw", scores.softmax(-1), value.flatten(2))
            expected[:, :, rows, columns] += layer.out(mixed)
    torch.testing.assert_close(layer(features), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_network_is_the_papers_group_by_group(scale: int) -> None:
    network, lr = tiny(scale), torch.rand(2, 3, 9, 8)
    weights = network.state_dict()

    def conv(x: Tensor, key: str) -> Tensor:
        weight, bias = weights[f"{key}.weight"], weights[f"{key}.bias"]
        return functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)

    def group(x: Tensor, key: str) -> Tensor:
        inner = x + conv(conv(x, f"{key}.0.layers.0").relu(), f"{key}.0.layers.2")
        statistics = matrix_square_root(covariance(inner)).mean(1)[:, :, None, None]
        squeezed = conv(statistics, f"{key}.1.weights.0").relu()
        inner = inner * conv(squeezed, f"{key}.1.weights.2").sigmoid()
        return x + conv(inner, f"{key}.2")

    shallow = conv(255 * lr - MEAN, "head")
    source = x = network.non_local(shallow)
    after = []
    for index in range(4):
        x = group(x, f"groups.{index}.layers") + 0.5 * source
        after.append(x)
    last = network.non_local(x)
    x = last + shallow
    for step, factor in enumerate((2, 2) if scale == 4 else (scale,)):
        x = functional.pixel_shuffle(conv(x, f"upsampler.{2 * step}"), factor)
    picture, features = network.picture_and_features(lr)
    torch.testing.assert_close(picture, (conv(x, "tail") + MEAN) / 255)
    # Unlike EDSR's and RCAN's, the last place is before the long skip.
    for feature, expected in zip(features, (after[1], after[3], last), strict=True):
        torch.testing.assert_close(feature, expected)


@pytest.mark.parametrize(("name", "places"), [("san_s", (2, 4)), ("san_t", (7, 14))])
def test_features_lie_where_fakd_takes_them(name: str, places: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = build_model(name, 2)
    assert isinstance(network, San)
    assert network.places == places


class LargestTensor(TorchDispatchMode):
    """Remembers how many numbers the largest result of any operation holds."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = result if isinstance(result, tuple | list) else [result]
        sizes = [tensor.numel() for tensor in tensors if isinstance(tensor, Tensor)]
        self.numbers = max(self.numbers, *sizes, 0)
        return result


def test_no_matrix_of_positions_by_positions_is_made() -> None:
    network, (height, width) = tiny(2, groups=3).eval(), (160, 240)
    with torch.no_grad(), LargestTensor() as largest:
        network(torch.rand(1, 3, height, width))
    # The upsampler's output, four times eight channels; a quadrant's scores would be 23 million.
    assert largest.numbers == 4 * 8 * height * width


def test_whole_picture_counts_so_that_it_is_not_tileable() -> None:
    spec = tiny(2).spec
    assert not spec.tileable
    assert spec.receptive_field_radius == 0


def test_every_parameter_learns_but_those_that_nothing_reads() -> None:
    network = tiny(4)
    unread = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert unread == [
        *(f"groups.{group}.unread_gamma" for group in range(4)),
        "unread_conv.weight",
        "unread_conv.bias",
    ]
    without = set(parameters_without_gradient(network))
    # A constant added to all scores of a position changes no softmax.
    assert without - {"non_local.key.bias"} == set(unread)


def test_checkpoint_gives_the_network_back(tmp_path: Path) -> None:
    assert same_after_a_checkpoint(tiny(3, pooling=1), tmp_path)


def test_another_scale_starts_from_all_but_the_upsampler() -> None:
    network = tiny(2)
    assert network.scale_layers == ("upsampler",)
    assert layers_that_differ_by_scale(network) == {"upsampler"}


def test_exported_graph_computes_what_pytorch_computes() -> None:
    """At odd sizes, with quadrants of no pixel, and beyond the crop of the statistics."""
    sizes = [(1, 8, 31), (3, 30, 7), (1, 1, 1), (1, 2, 3), (1, 1003, 5), (1, 4, 1101)]
    assert export_error(tiny(2, groups=3).eval(), sizes) < 1e-5


def test_bad_scales_and_options_are_refused() -> None:
    with pytest.raises(ValueError, match="scale 5"):
        build_model("san_t", 5)
    with pytest.raises(ValueError, match="2 groups are too few"):
        build_model("san_s", 2, groups=2)
    with pytest.raises(ValueError, match="key_pooling 0"):
        build_model("san_s", 2, key_pooling=0)
