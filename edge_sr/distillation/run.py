"""A whole training run: its stages in order, in a run folder."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

import edge_sr
from edge_sr.atomic import write_atomically
from edge_sr.data.image_io import list_images
from edge_sr.data.patches import PatchSampler, PicturePair, load_pairs
from edge_sr.data.patterns import pattern_pairs
from edge_sr.distillation.config import RunConfig
from edge_sr.distillation.pisr import (
    Baseline,
    Objective,
    OutputStage,
    PlainTeacherStage,
    StudentStage,
    TeacherStage,
)
from edge_sr.distillation.qat import QatStage
from edge_sr.distillation.trainer import Process, Stage, StageOptions
from edge_sr.models import build_model
from edge_sr.models.checkpoint import load_checkpoint, save_checkpoint
from edge_sr.models.fsrcnn import Fsrcnn, start_from_bicubic
from edge_sr.models.native_step import NativeStep, reason_against
from edge_sr.models.network import Network
from edge_sr.models.pisr_teacher import LrTeacher, PisrTeacher, PlainTeacher, Teacher
from edge_sr.models.quantized import equalize_channels, observed_ranges
from edge_sr.models.reparam import use_training_form

# Synthetic pictures, and their LR side in pixels.
PATTERNS, PATTERN_SIDE = 288, 128
TEACHER_FILE = "teacher.safetensors"


def train(config: RunConfig, out: Path, process: Process) -> dict[str, Any]:
    """Run or resume all stages; returns the summary that is also written to ``summary.json``.

    The folder receives ``run.json``, one subfolder a stage (``log.jsonl``, ``state.safetensors``),
    ``teacher.safetensors`` of PISR, ``student.safetensors`` with its sidecar and ``curves.png``.
    """
    torch.manual_seed(config.seed)
    student = _fresh_network(config)
    training, held_out = load_data(config, student.spec.channels)
    if process.is_main:
        _write_json(out / "run.json", {"config": config.to_json(), "versions": versions()})
    _choose_layers(student, config, process)
    stages = []
    objective: Objective = Baseline(student)
    if config.method == "pisr":
        teacher, stage = _teacher_of(config, out, process, training, held_out)
        stages += stage
        if config.transfer and isinstance(teacher, PisrTeacher):
            student.load_state_dict(teacher.decoder.state_dict())
        objective = _imitation(config, student, teacher.to(process.device))
    if config.method == "qat":
        student = _fsrcnn(student, "method qat")
        lr, _ = _sampler(config, training, seed=config.seed).batch(0)
        equalize_channels(student, torch.from_numpy(lr))
        ranges = observed_ranges(student, torch.from_numpy(lr))
        objective = QatStage(student, ranges, lambda_float=config.lambda_float)
    stages.append(_run_stage("student", objective, config, out, process, training, held_out))
    summary = {
        "run": str(out),
        "iterations": stages[-1].iteration,
        "psnr": stages[-1].score(held_out) if held_out else None,
        "seconds": {stage.options.name: round(stage.seconds, 1) for stage in stages},
    }
    if process.is_main:
        metadata = {"training": {**config.to_json(), **summary, "versions": versions()}}
        if isinstance(objective, QatStage):
            metadata["activation_ranges"] = objective.ranges()
        save_checkpoint(out / "student.safetensors", student, metadata)
        _write_json(out / "summary.json", summary)
    return summary


def _imitation(config: RunConfig, student: Network, teacher: Teacher) -> Objective:
    if config.imitation_loss == "output":
        assert isinstance(teacher, LrTeacher)  # RunConfig asks for a checkpoint
        return OutputStage(student, teacher, lambda_student=config.lambda_student)
    return StudentStage(
        student,
        teacher,
        lambda_student=config.lambda_student,
        imitation_loss=config.imitation_loss,
        scale_map=config.scale_map,
    )


def _teacher_of(
    config: RunConfig,
    out: Path,
    process: Process,
    training: Sequence[PicturePair],
    held_out: Sequence[PicturePair],
) -> tuple[Teacher, list[Stage]]:
    """The teacher that ``config`` names, or one that is trained now, and the stage if so."""
    given = None if config.teacher is None else Path(config.teacher)
    if given is not None and given.suffix == ".safetensors":
        network, _ = load_checkpoint(given)
        if network.spec.scale != config.scale:
            raise ValueError(f"the teacher {given} upscales by {network.spec.scale}")
        return LrTeacher(network), []
    network = _fresh_network(config)
    teacher: PisrTeacher | PlainTeacher
    teaching: Objective
    if config.teacher_form == "plain":
        teacher = PlainTeacher(_fsrcnn(network, "a plain teacher"))
        teaching = PlainTeacherStage(teacher)
    else:
        teacher = PisrTeacher(network)
        teaching = TeacherStage(teacher, lambda_teacher=config.lambda_teacher)
    if given is not None:
        _read_teacher(given, teacher, config)
        return teacher, []
    stage = _run_stage("teacher", teaching, config, out, process, training, held_out)
    if process.is_main:
        tensors = {k: v.detach().cpu().contiguous() for k, v in teacher.state_dict().items()}
        write_atomically(out / TEACHER_FILE, save(tensors))
    return teacher, [stage]


def _read_teacher(run: Path, teacher: nn.Module, config: RunConfig) -> None:
    """Weights of a run's finished teacher; FileNotFoundError or ValueError in one line."""
    file = run / TEACHER_FILE
    if not file.is_file():
        raise FileNotFoundError(f"{run} holds no finished teacher ({TEACHER_FILE})")
    try:
        theirs = json.loads((run / "run.json").read_text())["config"]
        for name in ("model", "model_options", "scale", "teacher_form"):
            if theirs[name] != getattr(config, name):
                raise ValueError(f"its {name} is {theirs[name]}, not {getattr(config, name)}")
        teacher.load_state_dict(load(file.read_bytes()))
    except (KeyError, TypeError, ValueError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the teacher of {run} cannot be taken: {reason}") from error


def load_data(config: RunConfig, channels: str) -> tuple[list[PicturePair], list[PicturePair]]:
    """Decoded training and held-out pictures; every n-th path is held out, spread evenly.

    Training pictures come once for each of ``config.shrinks``, held-out ones as they are.
    """
    paths = [path for folder in config.data for path in list_images(Path(folder))]
    if not paths:
        raise ValueError("no training pictures; give a folder with --data")
    if config.held_out >= len(paths):
        raise ValueError(
            f"--held-out {config.held_out} leaves none of {len(paths)} pictures to train on"
        )
    chosen = {int(i) for i in np.linspace(0, len(paths) - 1, config.held_out)}
    apart = [path for i, path in enumerate(paths) if i in chosen]
    kept = [path for i, path in enumerate(paths) if i not in chosen]

    def load(paths: Sequence[Path], shrinks: Sequence[int]) -> list[PicturePair]:
        return load_pairs(
            paths, config.scale, shrinks=shrinks, crfs=config.h264_crf, channels=channels
        )

    return load(kept, config.shrinks), load(apart, (1,))


def versions() -> dict[str, str]:
    """What produced a run: library versions and the commit of a source checkout."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=Path(edge_sr.__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "commit": commit.stdout.strip() or "unknown",
    }


def _fresh_network(config: RunConfig) -> Network:
    model = build_model(config.model, config.scale, **config.model_options)
    if config.start == "bicubic" and isinstance(model, Fsrcnn):
        start_from_bicubic(model)
    if config.init is not None:
        _take_weights(model, Path(config.init), any_scale=config.method != "qat")
    return use_training_form(model)


def _fsrcnn(network: Network, what: str) -> Fsrcnn:
    if not isinstance(network, Fsrcnn):
        raise ValueError(f"{what} is for networks of FSRCNN's kind, not {network.spec.name}")
    return network


def _choose_layers(student: Network, config: RunConfig, process: Process) -> None:
    """Give an FSRCNN the native step where it can take it, and say what computes the layers."""
    if not isinstance(student, Fsrcnn):
        return
    against = reason_against(student, config.patch_size, process.device)
    if not process.native_step:
        against = "so it was asked"
    if against is None:
        student.native_step = NativeStep(student, (config.patch_size,) * 2, torch.get_num_threads())
    if process.is_main:
        step = student.native_step
        layers = f"PyTorch, {against}" if step is None else f"native step, {step.isa}"
        print(f"student's layers: {layers}", file=sys.stderr)  # noqa: T201


def _take_weights(model: Network, checkpoint: Path, *, any_scale: bool) -> None:
    """Load a checkpoint's weights; those of another scale but for what belongs to it."""
    given, _ = load_checkpoint(checkpoint)
    is_same_scale = given.spec.scale == model.spec.scale
    is_same_network = (given.spec.name, given.options) == (model.spec.name, model.options)
    if not is_same_network or not (is_same_scale or any_scale):
        raise ValueError(
            f"{checkpoint} is {given.spec.name} x{given.spec.scale} {given.options}, not "
            f"{model.spec.name} x{model.spec.scale} {model.options}"
        )
    weights = given.state_dict()
    if not is_same_scale:
        own = tuple(f"{layer}." for layer in model.scale_layers)
        weights = {k: v for k, v in weights.items() if not k.startswith(own)}
        weights |= {k: v for k, v in model.state_dict().items() if k.startswith(own)}
    model.load_state_dict(weights)


def _run_stage(
    name: str,
    objective: Objective,
    config: RunConfig,
    out: Path,
    process: Process,
    training: Sequence[PicturePair],
    held_out: Sequence[PicturePair],
) -> Stage:
    sampler = _sampler(config, training, seed=config.seed + (1 if name == "teacher" else 0))
    if process.is_main:
        used = ", ".join(f"{n} at 1/{shrink}" for shrink, n in sampler.counts().items())
        print(f"{name}'s pictures, large enough for a patch: {used}", file=sys.stderr)  # noqa: T201
    options = StageOptions(
        name=name,
        folder=out / name,
        iterations=config.teacher_iterations if name == "teacher" else config.iterations,
        optimizer=config.optimizer,
        learning_rate=config.first_learning_rate,
        final_learning_rate=config.final_learning_rate,
        warm_up=config.warm_up,
        weight_decay=config.weight_decay,
        ema_decay=config.ema_decay,
        log_every=config.log_every,
        evaluate_every=config.evaluate_every,
    )
    stage = Stage(objective, options, process)
    stage.run(sampler, held_out)
    return stage


def _sampler(config: RunConfig, pairs: Sequence[PicturePair], *, seed: int) -> PatchSampler:
    patterns: list[PicturePair] = []
    if config.share_of_patterns:
        side = max(PATTERN_SIDE, config.patch_size)
        channels = pairs[0].channels
        patterns = pattern_pairs(config.scale, PATTERNS, side=side, seed=seed, channels=channels)
    return PatchSampler(
        pairs,
        config.scale,
        patch_size=config.patch_size,
        batch_size=config.batch_size,
        seed=seed,
        patterns=patterns,
        pattern_share=config.share_of_patterns,
    )


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())
