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
from edge_sr.distillation.config import AUGMENTATIONS, RunConfig
from edge_sr.distillation.imitation import ImitationStage
from edge_sr.distillation.pisr import (
    Baseline,
    Objective,
    OutputStage,
    PlainTeacherStage,
    StudentStage,
    TeacherStage,
)
from edge_sr.distillation.qat import QatStage
from edge_sr.distillation.student import choose_layers, fresh_network, fsrcnn_of
from edge_sr.distillation.targets import read_targets, save_targets
from edge_sr.distillation.trainer import Process, Stage, StageOptions
from edge_sr.models.checkpoint import load_checkpoint, save_checkpoint
from edge_sr.models.fsrcnn import Fsrcnn
from edge_sr.models.network import Network
from edge_sr.models.pisr_teacher import LrTeacher, PisrTeacher, PlainTeacher, Teacher
from edge_sr.models.quantized import equalize_channels, observed_ranges
from edge_sr.models.reparam import use_training_form

# Synthetic pictures, and their LR side in pixels.
PATTERNS, PATTERN_SIDE = 288, 128
TEACHER_FILE = "teacher.safetensors"
# Of a stage: what an imitated network makes of the pictures, until the stage is done.
TARGETS_FILE = "targets.safetensors"


def train(config: RunConfig, out: Path, process: Process) -> dict[str, Any]:
    """Run or resume all stages; returns the summary that is also written to ``summary.json``.

    The folder receives ``run.json``, one subfolder a stage (``log.jsonl``, ``state.safetensors``,
    while it runs ``targets.safetensors``), ``teacher.safetensors`` of PISR,
    ``student.safetensors`` with its sidecar and ``curves.png``.
    """
    if config.batch_size % process.world_size:
        raise ValueError(
            f"batch_size {config.batch_size} does not divide among {process.world_size} processes"
        )
    torch.manual_seed(config.seed)
    student = fresh_network(config)
    training, held_out = load_data(config, student.spec.channels)
    choose_layers(student, config, process, "student's")
    objective, stages = _objective_of(config, student, out, process, training, held_out)
    stages.append(_run_stage("student", objective, config, out, process, training, held_out))
    summary = {
        "run": str(out),
        "iterations": stages[-1].iteration,
        "psnr": stages[-1].score(held_out) if held_out else None,
        "seconds": {stage.options.name: round(stage.seconds, 1) for stage in stages},
    }
    if process.is_main:
        metadata: dict[str, Any] = {
            "training": {**config.to_json(), **summary, "versions": versions()}
        }
        if isinstance(objective, QatStage):
            metadata["activation_ranges"] = objective.ranges()
        if isinstance(objective, ImitationStage) and objective.has_attention:
            metadata["alpha2"] = float(objective.alpha2)
        save_checkpoint(out / "student.safetensors", student, metadata)
        _write_json(out / "summary.json", summary)
    return summary


def _objective_of(
    config: RunConfig,
    student: Network,
    out: Path,
    process: Process,
    training: Sequence[PicturePair],
    held_out: Sequence[PicturePair],
) -> tuple[Objective, list[Stage]]:
    """What the student learns by, and the stages that were trained for it."""
    if config.method == "baseline":
        return Baseline(student, config.reconstruction_loss), []
    if config.method == "qat":
        return _qat(config, fsrcnn_of(student, "method qat"), process, training), []
    if config.teacher is not None and Path(config.teacher).suffix == ".safetensors":
        network = _read_network(Path(config.teacher), student, process)
        return _imitation_of_network(config, student, network, process), []
    teacher, stages = _privileged_teacher(config, out, process, training, held_out)
    if config.transfer and isinstance(teacher, PisrTeacher):
        student.load_state_dict(teacher.decoder.state_dict())
    return _feature_stage(config, student, teacher.to(process.device)), stages


def _qat(
    config: RunConfig, student: Fsrcnn, process: Process, training: Sequence[PicturePair]
) -> Objective:
    patterns = _patterns(config, training[0].channels, config.seed)
    lr = torch.from_numpy(_sampler(config, training, patterns, config.seed).batch(0)[0])
    equalize_channels(student, lr)
    teacher = None
    if config.teacher is not None:
        teacher = _read_network(Path(config.teacher), student, process)
    return QatStage(
        student,
        observed_ranges(student, lr),
        lambda_float=config.lambda_float,
        teacher=teacher,
        self_ensemble=config.self_ensemble,
    )


def _imitation_of_network(
    config: RunConfig, student: Network, teacher: Network, process: Process
) -> Objective:
    """The student's objective with a teacher that sees LR."""
    if config.imitation_loss == "output":
        return OutputStage(
            student,
            teacher,
            lambda_student=config.lambda_student,
            self_ensemble=config.self_ensemble,
        )
    choose_layers(teacher, config, process, "teacher's")
    if config.method == "lsfd":
        return ImitationStage(
            student,
            teacher,
            config.lsfd,
            imitation_loss=config.imitation_loss,
            lambda_student=config.lambda_student,
        )
    return _feature_stage(config, student, LrTeacher(teacher))


def _feature_stage(config: RunConfig, student: Network, teacher: Teacher) -> Objective:
    return StudentStage(
        student,
        teacher,
        lambda_student=config.lambda_student,
        imitation_loss=config.imitation_loss,
        scale_map=config.scale_map,
    )


def _read_network(checkpoint: Path, student: Network, process: Process) -> Network:
    """A network that sees LR as the student's teacher; ValueError if it takes other pictures."""
    network, _ = load_checkpoint(checkpoint)
    theirs, own = network.spec, student.spec
    if theirs.scale != own.scale:
        raise ValueError(f"the teacher {checkpoint} upscales by {theirs.scale}, not {own.scale}")
    if theirs.channels != own.channels:
        raise ValueError(
            f"the teacher {checkpoint} takes {theirs.channels}, but {own.name} {own.channels}"
        )
    # PyTorch convolves channels-last pictures several times as fast, if weights lie so, too.
    network = use_training_form(network).to(process.device)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _privileged_teacher(
    config: RunConfig,
    out: Path,
    process: Process,
    training: Sequence[PicturePair],
    held_out: Sequence[PicturePair],
) -> tuple[PisrTeacher | PlainTeacher, list[Stage]]:
    """PISR's teacher of the run that ``config`` names, or one trained now, and the stage if so."""
    network = fresh_network(config)
    teacher: PisrTeacher | PlainTeacher
    teaching: Objective
    if config.teacher_form == "plain":
        teacher = PlainTeacher(fsrcnn_of(network, "a plain teacher"))
        teaching = PlainTeacherStage(teacher)
    else:
        teacher = PisrTeacher(network)
        teaching = TeacherStage(teacher, lambda_teacher=config.lambda_teacher)
    if config.teacher is not None:
        _read_teacher(Path(config.teacher), teacher, config)
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


def _run_stage(
    name: str,
    objective: Objective,
    config: RunConfig,
    out: Path,
    process: Process,
    training: Sequence[PicturePair],
    held_out: Sequence[PicturePair],
) -> Stage:
    seed = config.seed + (1 if name == "teacher" else 0)
    pairs = [*training, *_patterns(config, training[0].channels, seed)]
    targets = out / name / TARGETS_FILE
    is_resumed = (out / "run.json").is_file() and targets.is_file()
    if is_resumed:
        pairs = read_targets(targets, pairs)
    else:
        with torch.autocast(process.device.type, dtype=torch.bfloat16, enabled=config.bf16):
            pairs = list(objective.with_targets(pairs))
    sampler = _sampler(config, pairs[: len(training)], pairs[len(training) :], seed)
    if process.is_main:
        # Not before a stage begins, so that a run that cannot start leaves its folder free.
        _write_json(out / "run.json", {"config": config.to_json(), "versions": versions()})
        if pairs[0].target is not None and not is_resumed:
            targets.parent.mkdir(exist_ok=True)
            save_targets(targets, pairs)
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
        step_every=config.step_every if config.schedule == "step" else None,
        step_factor=config.step_factor,
        betas=(config.beta1, config.beta2),
        bf16=config.bf16,
    )
    stage = Stage(objective, options, process)
    stage.run(sampler, held_out)
    if process.is_main:
        targets.unlink(missing_ok=True)
    return stage


def _patterns(config: RunConfig, channels: str, seed: int) -> Sequence[PicturePair]:
    """Synthetic pictures, if any of the patches are to be from such."""
    if not config.pattern_share:
        return []
    side = max(PATTERN_SIDE, config.patch_size)
    return pattern_pairs(config.scale, PATTERNS, side=side, seed=seed, channels=channels)


def _sampler(
    config: RunConfig, pairs: Sequence[PicturePair], patterns: Sequence[PicturePair], seed: int
) -> PatchSampler:
    return PatchSampler(
        pairs,
        config.scale,
        patch_size=config.patch_size,
        batch_size=config.batch_size,
        seed=seed,
        patterns=(config.pattern_share, patterns),
        symmetries=AUGMENTATIONS[config.augmentation],
    )


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())
