from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_networks import TinyEdsr, tiny_idn, tiny_vdsr
from torch import Tensor

from edge_sr.distillation import imitation
from edge_sr.distillation.affinity import AffinityLoss
from edge_sr.distillation.config import IMITATION_LOSSES
from edge_sr.distillation.features import distillation_loss, on_one_grid
from edge_sr.distillation.imitation import ImitationStage
from edge_sr.distillation.lsfd import fourier_distance, residual_attention
from edge_sr.distillation.lsfd_options import LsfdOptions
from edge_sr.distillation.pisr import (
    Baseline,
    Objective,
    OutputStage,
    StudentStage,
    TeacherStage,
)
from edge_sr.distillation.trainer import Process, Stage, StageOptions
from edge_sr.models import build_model
from edge_sr.models.network import Network
from edge_sr.models.pisr_teacher import LrTeacher, PisrTeacher

LOSSES = IMITATION_LOSSES["lsfd"]


NETWORKS = {
    "vdsr": tiny_vdsr,
    "idn": tiny_idn,
    "idn_rgb": partial(tiny_idn, name="idn_rgb"),
    "idn_rgb_subpixel": partial(tiny_idn, name="idn_rgb_subpixel"),
    "carn": partial(build_model, "carn", width=4),
    "fsrcnn_l": partial(build_model, "fsrcnn_l", d=8, s=4, m=1),
}


def stage_of(
    loss: str,
    student: Network | None = None,
    teacher: Network | None = None,
    weight: float = 10.0,
    **options: Any,
) -> ImitationStage:
    """A stage between tiny networks; those that are not given have different widths."""
    student = student or TinyEdsr(2)
    teacher = teacher or TinyEdsr(2, width=4 if loss == "mae" else 6)
    return ImitationStage(
        student, teacher, LsfdOptions(**options), imitation_loss=loss, lambda_student=weight
    )


def batch(channels: int = 3, scale: int = 2) -> tuple[Tensor, Tensor]:
    return torch.rand(2, channels, 6, 6), torch.rand(2, channels, 6 * scale, 6 * scale)


def test_pictures_are_weighed_in_grey_levels() -> None:
    stage = stage_of("none", alpha=0.25)
    lr, hr = batch()
    terms = stage(lr, hr)
    sr, target = stage.model(lr), stage._frozen[0](lr)
    total = sum(stage.weights[name] * term for name, term in terms.items())
    grey = 255 * (0.25 * (sr - hr).abs() + 0.75 * (sr - target).abs()).mean()
    torch.testing.assert_close(total, grey)
    assert set(terms) == {"reconstruction", "imitation"}
    assert list(stage.losses.parameters()) == []


@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "none"])
def test_feature_losses_are_summed_over_positions(loss: str) -> None:
    stage = stage_of(loss, positions=(1, 3), alpha2=10.0)
    lr, hr = batch()
    sr, mine = stage.model.picture_and_features(lr)
    target, theirs = stage._frozen[0].picture_and_features(lr)
    args: tuple[Any, ...] = ()
    if loss == "lsfd":
        attention = residual_attention(
            255 * sr, 255 * target, mine[0], pooling="mean", with_gradient=False
        )
        args = (attention,)
    first, last = stage.losses
    expected = first(mine[0], theirs[0], *args) + last(mine[2], theirs[2], *args)
    weight = {"lfd": 2000.0, "fitnet": 2000.0, "lsfd": 10.0}.get(loss, 10.0)
    found = stage.weights["distillation"] * stage(lr, hr)["distillation"]
    torch.testing.assert_close(found, weight * expected)


def test_fitnet_has_lsfds_form_or_its_own() -> None:
    lr, hr = batch()
    square = stage_of("fitnet", weight=0.5, fitnet_form="square")
    assert square.weights["distillation"] == 0.5
    assert isinstance(square.losses[0], type(distillation_loss("fitnet", 4, 6)))
    assert set(square(lr, hr)) == {"reconstruction", "imitation", "distillation"}


def test_fourier_term_is_of_grey_levels() -> None:
    stage = stage_of("none", fft_weight=0.05)
    lr, hr = batch()
    found = stage.weights["fourier"] * stage(lr, hr)["fourier"]
    pictures = 255 * stage.model(lr), 255 * stage._frozen[0](lr)
    torch.testing.assert_close(found, 0.05 * fourier_distance(*pictures))


@pytest.mark.parametrize("loss", LOSSES)
def test_student_and_regressors_are_trained_but_not_the_teacher(loss: str) -> None:
    stage = stage_of(loss, fft_weight=1.0)
    teacher = stage._frozen[0]
    assert not teacher.training
    sum(stage(*batch()).values()).backward()
    assert all(p.grad is not None for p in stage.parameters())
    assert all(p.grad is None for p in teacher.parameters())
    assert not any(name.startswith("_frozen") for name in stage.state_dict())
    own = {name for name, _ in stage.model.named_parameters()}
    assert own == {name for name, _ in TinyEdsr(2).named_parameters()}


def test_alpha2_makes_the_term_as_large_as_the_pictures_loss_then_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(imitation, "BALANCE_FROM", 2)
    monkeypatch.setattr(imitation, "BALANCE_UNTIL", 5)
    stage = stage_of("lsfd", fft_weight=1.0)
    pictures, distances, alphas = [], [], []
    for _ in range(8):
        terms = stage(*batch())
        names = ("reconstruction", "imitation")
        pictures.append(sum(float(stage.weights[n] * terms[n].detach()) for n in names))
        alphas.append(float(stage.alpha2))
        used = 10.0 if len(alphas) <= 5 else alphas[-1]
        distances.append(float(terms["distillation"].detach()) / used)
    expected = sum(pictures[2:5]) / sum(distances[2:5])
    assert alphas[:4] == [10.0] * 4
    assert alphas[4:] == pytest.approx([expected] * 4, rel=1e-5)
    literal = stage_of("lsfd", alpha2=10.0)
    for _ in range(6):
        literal(*batch())
    assert float(literal.alpha2) == 10.0


def test_networks_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="student's features have 4 and the teacher's 6"):
        stage_of("mae", teacher=TinyEdsr(2, width=6))
    with pytest.raises(ValueError, match="tiny_edsr has features at 3 positions and the teacher"):
        stage_of("lfd", teacher=TinyEdsr(2, blocks=2))
    with pytest.raises(ValueError, match="tiny_edsr has 3 of them"):
        stage_of("lfd", positions=(2, 4))
    stage = stage_of("none", teacher=TinyEdsr(2, blocks=2))
    assert set(stage(*batch())) == {"reconstruction", "imitation"}


def test_features_of_different_grids_meet_on_the_coarser() -> None:
    coarse, fine = torch.rand(1, 2, 3, 4), torch.rand(1, 5, 6, 8)
    pooled = fine.reshape(1, 5, 3, 2, 4, 2).mean(dim=(3, 5))
    for pair in (on_one_grid(coarse, fine), on_one_grid(fine, coarse)[::-1]):
        torch.testing.assert_close(pair[0], coarse)
        torch.testing.assert_close(pair[1], pooled)
    with pytest.raises(ValueError, match="4x3 and 5x6 positions lie on no common grid"):
        on_one_grid(coarse, torch.rand(1, 1, 6, 5))


@pytest.mark.parametrize("loss", ["lsfd", "fakd", "srkd"])
def test_features_on_the_hr_grid_are_compared_with_those_on_the_lr_grid(loss: str) -> None:
    for pair in ((tiny_vdsr(3), tiny_idn(3)), (tiny_idn(3), tiny_vdsr(3))):
        stage = stage_of(loss, *pair)
        sum(stage(*batch(1, 3)).values()).backward()
        assert all(p.grad is not None for p in stage.parameters())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("scale", [2, 3])
def test_pisr_takes_any_student_of_one_channel_or_three(name: str, scale: int) -> None:
    network = NETWORKS[name]
    teacher = PisrTeacher(network(scale))
    samples = teacher.decoder.spec.samples
    lr, hr = batch(samples, scale)
    teaching = TeacherStage(teacher, lambda_teacher=1e-4)
    sum(teaching(lr, hr).values()).backward()
    assert all(p.grad is not None for p in teacher.parameters())
    assert teaching.score(lr, hr).shape == hr.shape
    for loss in ("laplace", "gaussian", "mae", "fitnet", "at", "srkd"):
        stage = StudentStage(
            network(scale), teacher, lambda_student=1.0, imitation_loss=loss, scale_map="CxHxW"
        )
        sum(stage(lr, hr).values()).backward()
        assert all(p.grad is not None for p in stage.parameters())


@pytest.mark.parametrize("loss", ["laplace", "gaussian", "fitnet", "at", "srkd"])
def test_pisrs_losses_take_a_teacher_of_other_channels_and_grid(loss: str) -> None:
    stage = StudentStage(
        tiny_idn(2, width=16),
        LrTeacher(tiny_vdsr(2, width=7)),
        lambda_student=1.0,
        imitation_loss=loss,
        scale_map="CxHxW",
    )
    sum(stage(*batch(1)).values()).backward()
    assert all(p.grad is not None for p in stage.parameters())


class Patches:
    """Batches of smooth pictures, LR every second sample of HR; a sampler's ``batch`` alone.

    The target of those that have one is HR of less contrast.
    """

    def __init__(self, channels: int, *, has_target: bool = False) -> None:
        self.channels, self.has_target = channels, has_target

    def batch(self, iteration: int) -> tuple[Any, ...]:
        generator = torch.Generator().manual_seed(iteration)
        coarse = torch.rand(2, self.channels, 5, 5, generator=generator)
        hr = torch.nn.functional.interpolate(coarse, (16, 16), mode="bilinear")
        batch = (hr[:, :, ::2, ::2], hr, 0.9 * hr + 0.05)
        return tuple(part.numpy() for part in batch[: 3 if self.has_target else 2])


class InterruptedPatches(Patches):
    """The same until iteration 25."""

    def batch(self, iteration: int) -> tuple[Any, ...]:
        if iteration == 25:
            raise KeyboardInterrupt
        return super().batch(iteration)


def tiny_objective(name: str) -> tuple[Objective, int]:
    """A fresh objective of a method and the channels of its pictures."""
    torch.manual_seed(0)
    if name in LOSSES:
        width = 4 if name == "mae" else 6
        networks = TinyEdsr(2, blocks=2), TinyEdsr(2, width=width, blocks=2)
        return stage_of(name, *networks, fft_weight=0.1), 3
    student = tiny_idn(2, "idn_rgb") if name == "teacher" else tiny_vdsr(2)
    if name == "baseline":
        return Baseline(student), 1
    if name == "teacher":
        return TeacherStage(PisrTeacher(student), lambda_teacher=1e-4), 3
    if name == "output":
        return OutputStage(student, tiny_idn(2), lambda_student=0.5), 1
    teacher = PisrTeacher(tiny_vdsr(2))
    return StudentStage(
        student, teacher, lambda_student=1e-3, imitation_loss=name, scale_map="CxHxW"
    ), 1


def tiny_stage(name: str, folder: Path, iterations: int) -> tuple[Stage, Patches]:
    objective, channels = tiny_objective(name)
    options = StageOptions(
        name="student",
        folder=folder,
        iterations=iterations,
        optimizer="adam",
        learning_rate=3e-3,
        final_learning_rate=1e-5,
        warm_up=0,
        weight_decay=0.0,
        ema_decay=0.99,
        log_every=10,
        evaluate_every=100,
        step_every=max(20, iterations // 3),
        betas=(None, 0.99),
    )
    patches = Patches(channels, has_target=name == "output")
    return Stage(objective, options, Process(0, 1, torch.device("cpu"))), patches


METHODS = ("baseline", "teacher", "laplace", "output", *LOSSES)


@pytest.mark.parametrize("name", METHODS)
def test_200_iterations_learn(name: str, tmp_path: Path) -> None:
    stage, patches = tiny_stage(name, tmp_path, 200)
    stage.run(patches, [])
    records = [json.loads(line) for line in stage.log_file.read_text().splitlines()]
    # A teacher of random weights pulls away from HR: both pictures count.
    losses = [record["reconstruction"] + record.get("imitation", 0.0) for record in records]
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    if name in LOSSES and name != "none":
        assert records[-1]["distillation"] < records[0]["distillation"]
    if len(stage.objective.weights) > 1:
        assert {f"gradient_{term}" for term in stage.objective.weights} <= set(records[-1])


@pytest.mark.parametrize("name", METHODS)
def test_a_stage_resumes_exactly(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imitation, "BALANCE_FROM", 10)
    monkeypatch.setattr(imitation, "BALANCE_UNTIL", 30)
    monkeypatch.setattr("edge_sr.distillation.trainer.SAVE_SECONDS", -1.0)
    interrupted, patches = tiny_stage(name, tmp_path / "parts", 40)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(InterruptedPatches(patches.channels, has_target=patches.has_target), [])
    parts, _ = tiny_stage(name, tmp_path / "parts", 40)
    parts.run(patches, [])
    whole, _ = tiny_stage(name, tmp_path / "whole", 40)
    whole.run(patches, [])
    assert parts.log_file.read_text() == whole.log_file.read_text()
    states = parts.objective.state_dict(), whole.objective.state_dict()
    for (key, value), other in zip(states[0].items(), states[1].values(), strict=True):
        assert torch.equal(value, other), key
    if name == "lsfd":
        assert float(whole.objective.alpha2) != 10.0


def test_every_feature_loss_of_lsfd_has_its_own_kind() -> None:
    kinds = {name: type(stage_of(name).losses[0]) for name in LOSSES if name != "none"}
    assert kinds["fakd"] is AffinityLoss
    assert len(set(kinds.values())) == 5
