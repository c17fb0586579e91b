from __future__ import annotations

import cmath
import itertools
import math

import pytest
import torch
from torch import Tensor

from edge_sr.distillation.affinity import AffinityLoss
from edge_sr.distillation.lsfd import (
    FeatureRegressor,
    FitNetRegressor,
    LocalFeatureLoss,
    fourier_distance,
    residual_attention,
    unit_features,
)


class Unchanged(torch.nn.Module):
    """A regressor that leaves the features alone."""

    def forward(self, features: Tensor) -> Tensor:
        return features


def literal(
    student: Tensor, teacher: Tensor, axis: str, reduction: str, attention: Tensor
) -> float:
    """|SFD * D|_1 in loops over elements, of features [N, C, H, W] as nested lists."""
    count, channels, height, width = student.shape

    def norm(features: Tensor, n: int, y: int, x: int) -> float:
        if axis == "c":
            return math.sqrt(sum(float(features[n, c, y, x]) ** 2 for c in range(channels)))
        return math.sqrt(sum(float(value) ** 2 for value in features[n].flatten()))

    total = 0.0
    for n, c, y, x in itertools.product(*(range(size) for size in student.shape)):
        d = float(teacher[n, c, y, x]) / norm(teacher, n, y, x)
        d -= float(student[n, c, y, x]) / norm(student, n, y, x)
        total += float(attention[n, 0, y, x]) * abs(d)
    elements = channels * height * width
    return total / count / (elements if reduction == "mean" else 1)


@pytest.mark.parametrize("axis", ["chw", "c"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_lfd_and_lsfd_equal_the_formula_in_loops(axis: str, reduction: str) -> None:
    student, teacher = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    attention = torch.rand(2, 1, 4, 5)
    loss = LocalFeatureLoss(Unchanged(), norm_axis=axis, reduction=reduction)
    lfd = literal(student, teacher, axis, reduction, torch.ones_like(attention))
    assert float(loss(student, teacher)) == pytest.approx(lfd, rel=1e-5)
    lsfd = literal(student, teacher, axis, reduction, attention)
    assert float(loss(student, teacher, attention)) == pytest.approx(lsfd, rel=1e-5)


def test_d_is_the_difference_of_two_components_of_norm_one() -> None:
    student, teacher = torch.randn(2, 5, 6, 7), 40 * torch.randn(2, 3, 6, 7)
    regressor = FeatureRegressor(5, 3)
    imitated = regressor(student).detach()
    ones = {"chw": torch.ones(2), "c": torch.ones(2, 6, 7)}
    for axis, dims in (("chw", (1, 2, 3)), ("c", (1,))):
        parts = [unit_features(features, axis) for features in (teacher, imitated)]
        for part in parts:
            torch.testing.assert_close(torch.linalg.vector_norm(part, dim=dims), ones[axis])
        loss = LocalFeatureLoss(regressor, norm_axis=axis, reduction="mean")
        difference = loss.difference(student, teacher)
        torch.testing.assert_close(difference, parts[0] - parts[1])
    # A scale of the features is no difference, and a map of zeros no error.
    same = LocalFeatureLoss(Unchanged(), norm_axis="chw", reduction="mean")
    assert float(same(3 * teacher, teacher)) < 1e-7
    empty = torch.zeros(1, 3, 2, 2, requires_grad=True)
    same(empty, torch.ones(1, 3, 2, 2)).backward()
    assert empty.grad is not None
    assert bool(torch.isfinite(empty.grad).all())


def test_regressor_is_five_convolutions_each_with_a_leaky_relu() -> None:
    regressor = FeatureRegressor(64, 256)
    sizes = [(m.in_channels, m.out_channels, m.kernel_size) for m in list(regressor)[::2]]
    assert sizes == [(64, 256, (3, 3))] + [(256, 256, (3, 3))] * 4
    assert [m.negative_slope for m in list(regressor)[1::2]] == [0.1] * 5
    reach = torch.zeros(1, 64, 15, 15, requires_grad=True)
    regressor(reach)[0, :, 7, 7].sum().backward()
    assert reach.grad is not None
    seen = reach.grad.abs().sum(dim=(0, 1)).nonzero()
    assert (seen.min().item(), seen.max().item()) == (2, 12)
    fitnet = FitNetRegressor(64, 256)
    assert fitnet[0].weight.shape == (256, 64, 1, 1)
    assert float(fitnet(torch.randn(1, 64, 3, 3)).detach().min()) == 0


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_attention_has_the_features_spatial_size_at_every_scale(scale: int, pooling: str) -> None:
    student, teacher = (
        torch.rand(2, 3, 5 * scale, 6 * scale),
        torch.rand(2, 3, 5 * scale, 6 * scale),
    )
    features = torch.rand(2, 7, 5, 6)
    attention = residual_attention(student, teacher, features, pooling=pooling, with_gradient=False)
    assert attention.shape == (2, 1, 5, 6)
    for n, y, x in ((0, 0, 0), (1, 4, 5), (1, 2, 3)):
        part = (
            n,
            slice(None),
            slice(y * scale, (y + 1) * scale),
            slice(x * scale, (x + 1) * scale),
        )
        total = float((student - teacher)[part].abs().sum())
        expected = total / scale**2 if pooling == "mean" else total
        assert float(attention[n, 0, y, x]) == pytest.approx(expected, rel=1e-5)


def test_attention_is_a_constant_unless_asked() -> None:
    student = torch.rand(1, 3, 8, 8, requires_grad=True)
    features, teacher = torch.rand(1, 4, 4, 4), torch.rand(1, 3, 8, 8)
    for with_gradient in (False, True):
        attention = residual_attention(
            student, teacher, features, pooling="mean", with_gradient=with_gradient
        )
        assert attention.requires_grad == with_gradient


def test_fourier_distance_equals_the_transform_in_loops() -> None:
    student, teacher = torch.rand(1, 2, 4, 6), torch.rand(1, 2, 4, 6)
    total, count = 0.0, 0
    for c, v, u in itertools.product(range(2), range(4), range(6 // 2 + 1)):
        value = sum(
            float((student - teacher)[0, c, y, x])
            * cmath.exp(-2j * cmath.pi * (v * y / 4 + u * x / 6))
            for y, x in itertools.product(range(4), range(6))
        ) / math.sqrt(24)
        total, count = total + abs(value.real) + abs(value.imag), count + 2
    assert float(fourier_distance(student, teacher)) == pytest.approx(total / count, rel=1e-5)


def test_affinity_loss_equals_the_formula_in_loops() -> None:
    student, teacher = torch.randn(2, 3, 2, 3), torch.randn(2, 5, 2, 3)

    def cosine(features: Tensor, n: int, i: int, j: int) -> float:
        a, b = features[n].flatten(1)[:, i], features[n].flatten(1)[:, j]
        return float(a @ b) / ((float(a.norm()) + 1e-8) * (float(b.norm()) + 1e-8))

    total = sum(
        abs(cosine(student, n, i, j) - cosine(teacher, n, i, j))
        for n, i, j in itertools.product(range(2), range(6), range(6))
    )
    assert float(AffinityLoss()(student, teacher)) == pytest.approx(total / 72, rel=1e-5)


def test_affinity_has_the_gradient_of_the_whole_matrices_and_keeps_none_of_them() -> None:
    student = torch.randn(3, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(3, 8, 6, 6, dtype=torch.float64)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        loss = AffinityLoss()(student, teacher)
    assert max(kept) == student.numel()
    columns = [
        f.flatten(2) / (f.flatten(2).norm(dim=1, keepdim=True) + 1e-8) for f in (student, teacher)
    ]
    maps = [c.transpose(1, 2) @ c for c in columns]
    whole = (maps[0] - maps[1]).abs().mean()
    torch.testing.assert_close(loss, whole)
    (expected,) = torch.autograd.grad(whole, student)
    for _ in range(2):
        (grad,) = torch.autograd.grad(3 * loss, student, retain_graph=True)
        torch.testing.assert_close(grad, 3 * expected)


def test_affinity_of_empty_positions_has_a_finite_gradient() -> None:
    student = torch.zeros(1, 2, 3, 3, requires_grad=True)
    AffinityLoss()(student, torch.rand(1, 2, 3, 3)).backward()
    assert student.grad is not None
    assert bool(torch.isfinite(student.grad).all())


def test_names_that_are_not_offered_are_refused() -> None:
    with pytest.raises(ValueError, match="norm axis 'hw' is not one of chw c"):
        LocalFeatureLoss(Unchanged(), norm_axis="hw", reduction="mean")
    with pytest.raises(ValueError, match="reduction 'max' is not one of mean sum"):
        LocalFeatureLoss(Unchanged(), norm_axis="c", reduction="max")
    pictures = torch.rand(1, 3, 4, 4)
    with pytest.raises(ValueError, match="pooling 'max' is not one of mean sum"):
        residual_attention(pictures, pictures, pictures, pooling="max", with_gradient=False)
