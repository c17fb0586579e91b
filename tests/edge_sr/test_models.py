from __future__ import annotations

import pytest
import torch
from pictures_support import synthetic_luma

from edge_sr.data.resample import upscale
from edge_sr.models import MODELS, build_model
from edge_sr.models.bicubic_base import BicubicBase
from edge_sr.models.fsrcnn import start_from_bicubic
from edge_sr.models.pisr_teacher import PisrEncoder, PisrTeacher
from edge_sr.models.reparam import use_training_form


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("fsrcnn", {}, 12_644),
        ("fsrcnn", {"shared_prelu": False}, 12_809),
        ("fsrcnn_residual", {}, 12_644),
        ("fsrcnn_residual_small", {}, 6_319),
        ("fsrcnn_residual_large", {}, 45_444),
        ("fsrcnn_residual_xl", {}, 113_769),
        ("fsrcnn_l", {}, 125_504),
    ],
)
def test_parameter_counts_are_the_papers(
    name: str, options: dict[str, bool], expected: int, scale: int
) -> None:
    assert count(build_model(name, scale, **options)) == expected


def test_teacher_has_the_papers_parameter_counts() -> None:
    assert count(PisrEncoder(2)) == 86_084
    assert count(PisrTeacher(build_model("fsrcnn", 2))) == 98_728


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", list(MODELS))
def test_output_is_scale_times_larger_for_odd_sizes(name: str, scale: int) -> None:
    model = build_model(name, scale)
    samples = model.spec.samples
    sr = model(torch.rand(2, samples, 5, 7))
    assert sr.shape == (2, samples, 5 * scale, 7 * scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_encoder_gives_a_picture_of_lr_size(scale: int) -> None:
    assert PisrEncoder(scale)(torch.rand(1, 1, 12 * scale, 8 * scale)).shape == (1, 1, 12, 8)


@pytest.mark.parametrize(("scale", "radius"), [(2, 8), (3, 8), (4, 7)])
@pytest.mark.parametrize("name", ["fsrcnn", "fsrcnn_residual"])
def test_receptive_field_radius_equals_what_a_perturbation_reaches(
    name: str, scale: int, radius: int
) -> None:
    torch.manual_seed(1)
    model = build_model(name, scale).double()
    assert model.spec.receptive_field_radius == radius
    side, middle = 2 * radius + 9, radius + 4
    lr = torch.rand(1, 1, side, side, dtype=torch.float64)
    touched = lr.clone()
    touched[0, 0, middle, middle] += 0.5
    with torch.no_grad():
        changed = ((model(touched) - model(lr)).abs() > 0)[0, 0].nonzero() // scale
    assert int((changed - middle).abs().max()) == radius


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_training_form_equals_the_transposed_convolution(scale: int) -> None:
    model = build_model("fsrcnn", scale).double()
    lr = torch.rand(1, 1, 6, 7, dtype=torch.float64)
    expected = model(lr)
    assert (use_training_form(model)(lr) - expected).abs().max() < 1e-13


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_training_form_has_the_same_gradient_and_parameters(scale: int) -> None:
    torch.manual_seed(0)
    model = build_model("fsrcnn", scale).double()
    lr = torch.rand(1, 1, 6, 7, dtype=torch.float64)
    names = list(model.state_dict())
    model(lr).square().sum().backward()
    expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    use_training_form(model)(lr).square().sum().backward()
    assert list(model.state_dict()) == names
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-6, atol=1e-11)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_base_is_matlab_bicubic(scale: int) -> None:
    plane = synthetic_luma(10, 13).astype(float)
    base = build_model("fsrcnn_residual", scale).base
    assert base is not None
    sr = base(torch.from_numpy(plane).float()[None, None])[0, 0].numpy()
    assert abs(sr - upscale(plane, scale)).max() < 1e-3


def test_base_is_float32_where_the_other_layers_are_bfloat16() -> None:
    base, lr = BicubicBase(2), torch.rand(1, 1, 9, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = base(lr)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, base(lr))


def test_papers_form_started_from_bicubic_at_x2_is_bicubic_inside() -> None:
    torch.manual_seed(0)
    model = build_model("fsrcnn", 2)
    start_from_bicubic(model)
    with torch.no_grad():
        model.tail.get_parameter("weight")[1:] = 0
        plane = synthetic_luma(24, 24).astype(float) / 255
        sr = model(torch.from_numpy(plane).float()[None, None])[0, 0].numpy()
    assert abs(sr - upscale(plane, 2))[8:-8, 8:-8].max() < 1e-6


def test_unknown_names_scales_and_options_are_refused() -> None:
    with pytest.raises(ValueError, match="'resnet' is unknown"):
        build_model("resnet", 2)
    with pytest.raises(ValueError, match="scale 5"):
        build_model("fsrcnn", 5)
    with pytest.raises(ValueError, match="does not take these options"):
        build_model("fsrcnn", 2, width=3)


def multiplications(name: str) -> int:
    """Of the learnt layers for one LR pixel; a tap of the transposed convolution is one."""
    return sum(p.numel() for p in build_model(name, 2).parameters() if p.dim() == 4)


def test_students_of_other_sizes_cost_what_is_said() -> None:
    assert multiplications("fsrcnn_residual") == 12_464
    assert multiplications("fsrcnn_residual_small") <= 12_464 / 2
    assert multiplications("fsrcnn_residual_large") == 45_168
    assert multiplications("fsrcnn_residual_xl") == 113_376 < multiplications("fsrcnn_l")
