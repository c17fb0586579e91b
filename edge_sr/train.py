"""Train a super-resolution student on a folder of pictures.

    python -m edge_sr.train --method pisr --scale 2 --data images/ --out runs/x2

The run folder receives run.json, a log and a resumable state for each stage, curves.png and
student.safetensors. Progress goes to stderr; the last line of stdout is one JSON object. An
interrupted run goes on with --resume and the same --out. Several GPUs: start it with torchrun.

--recipe takes the options of a row that a paper printed, at its full length or a share of it:

    python -m edge_sr.train --recipe pisr/full --budget 0.01 --scale 2 --data images/ --out runs/x2
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_sr.cli import run_main
from edge_sr.distillation.config import (
    AUGMENTATIONS,
    IMITATION_LOSSES,
    LEARNING_RATES,
    METHODS,
    OPTION_NAMES,
    RECONSTRUCTION_LOSSES,
    SCALE_MAPS,
    SCHEDULES,
    STARTS,
    TEACHERS,
    TUPLES,
    ModelOption,
    RunConfig,
)
from edge_sr.distillation.lsfd_options import FITNET_FORMS, NORM_AXES, POOLINGS, REDUCTIONS
from edge_sr.distillation.recipes import load_recipe


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of a run; ``args.given`` holds those that were typed."""
    parser = argparse.ArgumentParser(
        prog="python -m edge_sr.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("--data", nargs="+", metavar="DIR", help="folders of training pictures")
    add("--out", type=Path, required=True, help="run folder")
    add("--resume", action="store_true", default=False, help="go on with the run in --out")
    add("--recipe", metavar="NAME", help="a published row's options, such as pisr/full")
    add(
        "--budget",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="of the recipe's iterations, above 0 to 1, default 1",
    )
    _add_data_options(add)
    _add_optimiser_options(add)
    _add_imitation_options(add)
    _add_lsfd_options(add)
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add(
        "--no-native-step",
        dest="native_step",
        action="store_false",
        default=True,
        help="on a CPU, too, PyTorch's own layers",
    )
    add("--threads", type=int, default=0, help="CPU threads, 0 for PyTorch's choice")
    add("--json", action="store_true", default=False, help="only the JSON line on stdout")
    args = parser.parse_args(argv)
    given = {k: v for k, v in vars(args).items() if k in OPTION_NAMES}
    args.given = {k: tuple(v) if k in TUPLES else v for k, v in given.items()}
    if "model_options" in args.given:
        try:
            args.given["model_options"] = dict(map(_named_value, args.given["model_options"]))
        except ValueError as error:
            parser.error(str(error))
    if "data" not in args.given and not args.resume:
        parser.error("--data is needed, unless --resume continues a run")
    if args.threads < 0:
        parser.error(f"--threads {args.threads} must not be negative")
    return args


def _named_value(text: str) -> tuple[str, ModelOption]:
    """``NAME=VALUE``, the value as JSON (16, 0.2, true) or else as text."""
    name, separator, value = text.partition("=")
    if not separator or not name.isidentifier():
        raise ValueError(f"--model-option {text!r} is not NAME=VALUE")
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError:
        parsed = value
    if not isinstance(parsed, ModelOption):
        raise ValueError(f"--model-option {text!r}: {value} is no number, truth value or text")
    return name, parsed


def _add_data_options(add: Callable[..., Any]) -> None:
    """Here and below, what is not typed keeps its default in ``RunConfig``."""
    add(
        "--method",
        choices=METHODS,
        help="pisr (teacher, then student; default), lsfd (a network's picture and features are "
        "imitated), baseline (L1), qat",
    )
    add("--model", help="network to train, default fsrcnn_residual")
    add(
        "--model-option",
        dest="model_options",
        action="append",
        metavar="NAME=VALUE",
        help="of the network, such as s=16 or shared_prelu=false; may be repeated",
    )
    add("--scale", type=int, choices=(2, 3, 4))
    add("--patch-size", type=int, help="side of an LR patch in pixels, default 96, lsfd 48")
    add(
        "--shrinks",
        type=int,
        nargs="+",
        metavar="N",
        help="use each picture at 1/N of its size, default 1 2 4, lsfd 1",
    )
    add("--pattern-share", type=float, help="of synthetic patches, default 0.01, lsfd 0")
    add(
        "--h264-crf",
        type=int,
        nargs="+",
        metavar="CRF",
        help="LR is a frame of H.264 clips of these CRF, 0 lossless; default 0 alone",
    )
    add(
        "--augmentation",
        choices=tuple(AUGMENTATIONS),
        help="all 8 symmetries of the square, default, or horizontal flips alone, lsfd's",
    )
    add("--seed", type=int)
    add("--held-out", type=int, help="pictures kept for the PSNR curve, default 8")
    add("--log-every", type=int, metavar="ITERATIONS")
    add("--evaluate-every", type=int, metavar="ITERATIONS")


def _add_optimiser_options(add: Callable[..., Any]) -> None:
    add("--iterations", type=int, help="of the student, default 1000000, lsfd 300000")
    add("--teacher-iterations", type=int, help="default 1000000")
    add("--batch-size", type=int, help="over all processes, default 16")
    add(
        "--reconstruction-loss",
        choices=RECONSTRUCTION_LOSSES,
        help="of a baseline: mean absolute (default) or squared error",
    )
    add("--optimizer", choices=tuple(LEARNING_RATES), help="default soap, lsfd adam")
    add("--beta1", type=float, help="of the optimizer's averages, default 0.95 soap, 0.9 adam")
    add("--beta2", type=float, help="default 0.95 soap, 0.999 adam, lsfd 0.99")
    add(
        "--learning-rate",
        type=float,
        help="at the start, default 3e-3 for soap, 1e-3 for adam, lsfd 1e-4",
    )
    add("--schedule", choices=SCHEDULES, help="of the learning rate, default cosine, lsfd step")
    add("--final-learning-rate", type=float, help="at the end of the cosine, default 1e-5")
    add("--step-every", type=int, metavar="ITERATIONS", help="of schedule step, default 150000")
    add("--step-factor", type=float, help="of the rate at each step, default 0.5")
    add("--warm-up", type=int, metavar="ITERATIONS", help="of rising rate, default 200, lsfd 0")
    add("--weight-decay", type=float, help="decoupled, default 0")
    add("--ema-decay", type=float, help="weight average, 0 turns it off, default 0.999, lsfd 0")
    add(
        "--bf16",
        action="store_true",
        help="PyTorch's layers compute in bfloat16: two to three times as fast on wide networks, "
        "the larger students among them, where the processor has AMX; the native step stays "
        "float32",
    )
    add("--start", choices=STARTS, help="first weights: near bicubic, or PyTorch's default")
    add("--init", metavar="CHECKPOINT", help="start from these weights; any scale")


def _add_imitation_options(add: Callable[..., Any]) -> None:
    add("--teacher", metavar="PATH", help="run with a finished teacher, or checkpoint of a network")
    add("--teacher-form", choices=TEACHERS, help="with the encoder, default, or fed with HR")
    add(
        "--self-ensemble",
        action="store_true",
        help="the teacher's picture is its mean over 8 symmetries: 8 times as long to make",
    )
    add("--lambda-teacher", type=float, help="weight of the teacher's imitation loss, 1e-4")
    add("--no-transfer", dest="transfer", action="store_false", help="start as without a teacher")
    add(
        "--imitation-loss",
        choices=tuple(dict.fromkeys(name for names in IMITATION_LOSSES.values() for name in names)),
        help="on features; of pisr, default laplace (output: a --teacher CHECKPOINT's picture): "
        f"{' '.join(IMITATION_LOSSES['pisr'])}; of lsfd, default lsfd: "
        f"{' '.join(IMITATION_LOSSES['lsfd'])}",
    )
    add("--lambda-student", type=float, help="its weight, default 1e-6, lsfd 10 (FAKD's)")
    add("--scale-map", choices=SCALE_MAPS, help="shape of laplace's spread, default CxHxW")
    add("--lambda-float", type=float, help="of qat: weight of the float student or teacher, 1")


def _add_lsfd_options(add: Callable[..., Any]) -> None:
    add("--alpha", type=float, help="of lsfd: HR's share of the pictures' loss, default 0.5")
    add("--alpha1", type=float, help="weight of lfd and the normalized fitnet, default 2000")
    add(
        "--alpha2",
        type=float,
        help="weight of lsfd, the paper's is 10; default: as large as the pictures' loss",
    )
    add("--norm-axis", choices=NORM_AXES, help="features have norm 1 per sample (chw) or position")
    add("--reduction", choices=REDUCTIONS, help="over the elements of a sample, default mean")
    add("--attention-pooling", choices=POOLINGS, help="of lsfd's attention, default mean")
    add("--attention-gradient", action="store_true", help="through lsfd's attention, default none")
    add("--fft-weight", type=float, help="of the pictures' distance in frequencies, default 0")
    add(
        "--positions",
        type=int,
        nargs="+",
        metavar="N",
        help="features that are compared, 1 the first, default all",
    )
    add("--fitnet-form", choices=FITNET_FORMS, help="compared as by lfd, default, or squared")


def configure(args: argparse.Namespace) -> RunConfig:
    """The new run's options, or those of the run that is resumed."""
    file = args.out / "run.json"
    if not args.resume:
        if file.exists():
            raise ValueError(
                f"{args.out} holds a run already; add --resume, or choose another --out"
            )
        return RunConfig.of(_with_recipe(args))
    if not file.is_file():
        raise FileNotFoundError(f"{args.out} holds no run to resume")
    try:
        config = RunConfig.from_json(json.loads(file.read_text())["config"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    for name, value in args.given.items():
        if config.option(name) != value:
            raise ValueError(
                f"--{name.replace('_', '-')} {value} contradicts the run, "
                f"which has {config.option(name)}; leave it out"
            )
    return config


def _with_recipe(args: argparse.Namespace) -> dict[str, Any]:
    """What was typed, over the options of the recipe if one is named; ``recipe`` says what it is.

    Raises ValueError for a recipe that is unknown or needs what is not given, or a lone budget.
    """
    given: dict[str, Any] = args.given
    if "recipe" not in given:
        if args.budget != 1.0:
            raise ValueError("--budget is a share of a recipe's length; name it with --recipe")
        return given
    recipe, scale = load_recipe(given["recipe"]), given.get("scale", 2)
    missing = recipe.missing(scale, teacher=given.get("teacher"), init=given.get("init"))
    if missing is not None:
        raise ValueError(f"recipe {recipe.name} at x{scale} needs {missing}")
    options = recipe.run_options(scale, args.budget)
    return {**options, **given, "recipe": recipe.described(options, given, args.budget)}


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train, and draw the curves; returns the summary."""
    import torch

    from edge_sr.distillation.curves import draw_curves
    from edge_sr.distillation.run import train
    from edge_sr.distillation.trainer import join_processes

    config = configure(args)
    if args.threads:
        torch.set_num_threads(args.threads)
    process = join_processes(args.device, native_step=args.native_step)
    try:
        summary = train(config, args.out, process)
        if process.is_main:
            draw_curves(args.out)
    finally:
        if process.world_size > 1:
            torch.distributed.destroy_process_group()
    return summary


def main(argv: list[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
