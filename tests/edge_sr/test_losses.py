from __future__ import annotations

import itertools
import math

import pytest
import torch

from edge_sr.distillation.config import FEATURE_LOSSES
from edge_sr.distillation.ema import WeightAverage
from edge_sr.distillation.features import distillation_loss
from edge_sr.distillation.optimizer import build_optimizer
from edge_sr.distillation.pisr import OutputStage, StudentStage, TeacherStage
from edge_sr.distillation.schedule import cosine, step
from edge_sr.distillation.vid import VidLoss
from edge_sr.models import build_model
from edge_sr.models.pisr_teacher import PisrTeacher


def test_vid_estimator_has_the_papers_parameter_count() -> None:
    assert sum(p.numel() for p in VidLoss(56).parameters()) == 12_770


@pytest.mark.parametrize(
    ("scale_map", "shape"),
    [
        ("CxHxW", (2, 6, 5, 4)),
        ("Cx1x1", (2, 6, 1, 1)),
        ("1xHxW", (2, 1, 5, 4)),
        ("1x1x1", (2, 1, 1, 1)),
    ],
)
def test_spread_has_the_shape_of_the_scale_map(scale_map: str, shape: tuple[int, ...]) -> None:
    assert VidLoss(6, scale_map=scale_map).spread(torch.rand(2, 6, 5, 4)).shape == shape


def constant_vid(density: str, *, location: float, raw_scale: float) -> VidLoss:
    loss = VidLoss(1, density=density)
    for branch, value in ((loss.location, location), (loss.scale, raw_scale)):
        torch.nn.init.zeros_(branch[2].weight)
        torch.nn.init.constant_(branch[2].bias, value)
    return loss


def test_laplace_loss_equals_the_formula_by_hand() -> None:
    loss = constant_vid("laplace", location=0.25, raw_scale=0.0)
    teacher = torch.tensor([[[[1.0, 0.5]]]])
    b = 0.1 * math.log(2) + 1e-8
    expected = math.log(2 * b) + (0.75 + 0.25) / 2 / b
    assert float(loss(torch.zeros(1, 1, 1, 2), teacher)) == pytest.approx(expected, rel=1e-5)


def test_gaussian_loss_equals_the_formula_by_hand() -> None:
    loss = constant_vid("gaussian", location=0.25, raw_scale=0.0)
    teacher = torch.tensor([[[[1.0, 0.5]]]])
    v = 0.001 * math.log(2) + 1e-8
    expected = 0.5 * math.log(v) + (0.75**2 + 0.25**2) / 2 / (2 * v)
    assert float(loss(torch.zeros(1, 1, 1, 2), teacher)) == pytest.approx(expected, rel=1e-5)


def test_gradient_of_the_laplace_loss_at_fixed_spread_is_l1_over_b() -> None:
    loss = constant_vid("laplace", location=0.0, raw_scale=0.3)
    teacher = torch.tensor([[[[2.0]]]], requires_grad=True)
    loss(torch.zeros(1, 1, 1, 1), teacher).backward()
    spread = float(loss.spread(torch.zeros(1, 1, 1, 1)))
    assert teacher.grad is not None
    assert float(teacher.grad) == pytest.approx(1 / spread, rel=1e-5)


def test_teacher_terms_are_means_over_pixels() -> None:
    teacher = PisrTeacher(build_model("fsrcnn", 2, d=8, s=4, m=1))
    lr, hr = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 16, 16)
    terms = TeacherStage(teacher, lambda_teacher=1e-4)(lr, hr)
    imitated, sr = teacher(hr)
    torch.testing.assert_close(terms["imitation"], (imitated - lr).abs().mean())
    torch.testing.assert_close(terms["reconstruction"], (sr - hr).abs().mean())


@pytest.mark.parametrize("imitation_loss", ["laplace", "gaussian", "mae"])
def test_student_stage_trains_student_and_estimator_but_not_the_teacher(
    imitation_loss: str,
) -> None:
    student = build_model("fsrcnn", 2, d=8, s=4, m=1)
    teacher = PisrTeacher(build_model("fsrcnn", 2, d=8, s=4, m=1))
    stage = StudentStage(
        student, teacher, lambda_student=1.0, imitation_loss=imitation_loss, scale_map="CxHxW"
    )
    terms = stage(torch.rand(2, 1, 8, 8), torch.rand(2, 1, 16, 16))
    sum(terms.values()).backward()
    assert all(p.grad is not None for p in stage.parameters())
    assert all(p.grad is None for p in teacher.parameters())
    assert not any(name.startswith("_frozen") for name in stage.state_dict())


def test_output_stage_compares_with_the_teachers_picture() -> None:
    student = build_model("fsrcnn", 2, d=8, s=4, m=1)
    network = build_model("fsrcnn", 2, d=6, s=4, m=1)
    stage = OutputStage(student, network, lambda_student=0.5)
    lr, hr, target = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16)
    terms = stage(lr, hr, target)
    torch.testing.assert_close(terms["distillation"], (student(lr) - target).abs().mean())
    torch.testing.assert_close(terms["reconstruction"], (student(lr) - hr).abs().mean())
    assert stage.weights == {"reconstruction": 1.0, "distillation": 0.5}
    terms["distillation"].backward()
    assert all(p.grad is None for p in network.parameters())
    assert all(p.grad is not None for p in student.parameters())
    assert {name for name, _ in stage.named_parameters()} == {
        f"model.{name}" for name, _ in student.named_parameters()
    }


def test_cosine_starts_and_ends_at_its_rates_in_1000_steps() -> None:
    rates = [cosine(i, 5000, first=1e-3, last=1e-5) for i in range(5000)]
    assert rates[0] == 1e-3
    assert rates[-1] == pytest.approx(1e-5, rel=0.01)
    assert all(a >= b for a, b in itertools.pairwise(rates))
    assert len(set(rates)) == 1000
    assert rates[2500] == pytest.approx((1e-3 + 1e-5) / 2)


def test_step_keeps_a_rate_for_so_many_iterations() -> None:
    rates = [step(i, 300, first=1e-4, every=100, factor=0.5) for i in range(300)]
    assert rates == [1e-4] * 100 + [5e-5] * 100 + [2.5e-5] * 100
    rising = [step(i, 300, first=1e-4, every=100, factor=0.5, warm_up=4) for i in range(5)]
    assert rising == pytest.approx([2.5e-5, 5e-5, 7.5e-5, 1e-4, 1e-4])


@pytest.mark.parametrize(("name", "own"), [("soap", (0.95, 0.95)), ("adam", (0.9, 0.999))])
def test_optimisers_keep_their_own_betas_where_none_is_given(
    name: str, own: tuple[float, float]
) -> None:
    weights = [torch.nn.Parameter(torch.zeros(2))]
    assert build_optimizer(name, weights, 1e-3).defaults["betas"] == own
    made = build_optimizer(name, weights, 1e-3, betas=(None, 0.99))
    assert made.defaults["betas"] == (own[0], 0.99)


def test_average_with_decay_zero_follows_and_swap_is_its_own_inverse() -> None:
    layer = torch.nn.Linear(2, 1)
    average = WeightAverage(layer, 0.0)
    with torch.no_grad():
        layer.weight.fill_(3.0)
    average.update(layer)
    assert float(average.average["weight"][0, 0]) == 3.0
    with torch.no_grad():
        layer.weight.fill_(5.0)
    average.swap(layer)
    assert float(layer.weight[0, 0]) == 3.0
    average.swap(layer)
    assert float(layer.weight[0, 0]) == 5.0


def test_losses_without_a_density_equal_their_formulas_by_hand() -> None:
    student = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])  # two channels, two positions
    teacher = torch.tensor([[[[1.0, 1.0]], [[1.0, 1.0]]]])
    losses = {
        name: float(distillation_loss(name, 2, 2)(student, teacher).detach())
        for name in ("mae", "at", "srkd")
    }
    assert losses["mae"] == pytest.approx((0 + 1 + 2 + 1) / 4)
    # Mean squares 5 and 2, over their norm, against 1 and 1 over theirs.
    expected = [
        (5 / math.sqrt(29) - math.sqrt(0.5)) ** 2,
        (2 / math.sqrt(29) - math.sqrt(0.5)) ** 2,
    ]
    assert losses["at"] == pytest.approx(sum(expected) / 2)
    assert losses["srkd"] == pytest.approx(((2 - 1) ** 2 + (1 - 1) ** 2) / 2)


def test_fitnet_compares_after_its_regressor() -> None:
    loss = distillation_loss("fitnet", 2, 2)
    with torch.no_grad():
        loss.regressor.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 3.0]])[:, :, None, None])
        loss.regressor.bias.zero_()
    student, teacher = torch.ones(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)
    assert float(loss(student, teacher).detach()) == pytest.approx((4 + 9) / 2)


@pytest.mark.parametrize("loss", [name for name in FEATURE_LOSSES if name != "mae"])
def test_losses_but_mae_compare_features_of_different_channels(loss: str) -> None:
    compare = distillation_loss(loss, 3, 5)
    student, teacher = torch.rand(2, 3, 4, 4, requires_grad=True), torch.rand(2, 5, 4, 4)
    compare(student, teacher).backward()
    assert student.grad is not None
    assert float(student.grad.abs().sum()) > 0
    with pytest.raises(ValueError, match="student's features have 3 and the teacher's 5"):
        distillation_loss("mae", 3, 5)


def test_every_imitation_loss_of_the_options_exists() -> None:
    for name in FEATURE_LOSSES:
        features = torch.rand(1, 4, 3, 3)
        assert torch.isfinite(distillation_loss(name, 4, 4)(features, features))
