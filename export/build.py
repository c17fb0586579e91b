"""Build a deployable bundle from a student: ONNX graphs per precision, verified and measured.

    python -m export.build --precision int8

builds the shipped x2 student into fsrcnn-x2-int8.esr with a quality and latency report in it.

    python -m export.build --checkpoint student.safetensors --calibration frames/ --out x2.esr

builds your own. The plan comes first, on stderr like all progress; stdout is a table of the scores
and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.plan import (
    BuildPlan,
    check_out,
    default_out,
    parse_max_drop,
    parse_precisions,
)
from export.source import Source, open_source
from runtime.backends.tensorrt_cache import PlanRequest, machine_facts
from runtime.backends.tensorrt_plan import PlanOptions, frame_profile
from runtime.bench import parse_size
from runtime.cli import run_main
from runtime.engine import DEFAULT_SIZE, build_one, engine_lines
from runtime.manifest import model_file, read_manifest
from runtime.plan_cache import PlanCache

# onnxsim is not among them: without it the graph is used as it is.
LIBRARIES = ("torch", "onnx", "onnxscript", "onnxruntime", "matplotlib", "jinja2", "cv2")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of a build; contradictions end here, with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m export.build",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--checkpoint", type=Path, help=".safetensors with its .json; default: the shipped student")
    add(
        "--int8-checkpoint",
        type=Path,
        help="the same network fine-tuned by train --method qat; default: of the shipped student",
    )
    add("--model", help="which shipped student, as fsrcnn; default fsrcnn_residual")
    add(
        "--onnx",
        type=Path,
        help="your own network: [N,1,H,W] luminance or [N,3,H,W] RGB, float in [0,1] or uint8, "
        "to s times larger",
    )
    add("--scale", type=int, choices=(2, 3, 4), help="of the shipped student; default 2")
    add("--precision", default="int8", help="fp32,fp16,int8, comma separated; default int8")
    add("--calibration", type=Path, help="folder of LR pictures or a video; default: built in")
    add("--out", type=Path, help="bundle folder; default by name, as fsrcnn-x2-int8.esr")
    add("--max-drop", default="", help="loss allowed in dB, default int8=0.10,fp16=0.02,bf16=0.02")
    add("--backend", choices=("tensorrt",), help="also build this device's engines, into its cache")
    add("--size", type=parse_size, metavar="WxH", help="LR frames of the engines, default 640x360")
    add("--threads", type=int, default=0, help="for measuring; 0 = one per physical core")
    add("--no-html", action="store_true", help="no report.html, for a small bundle")
    add("--overwrite", action="store_true", help="replace an existing bundle")
    add("--triton", type=Path, metavar="DIR", help="also add it to this Triton model repository")
    add(
        "--triton-tensorrt",
        type=parse_size,
        metavar="WxH",
        help="let Triton's ONNX Runtime use TensorRT, prepared for frames of this size",
    )
    add("--dry-run", action="store_true", help="stop after the plan")
    add("--json", action="store_true", help="only the JSON line on stdout, nothing on stderr")
    args = parser.parse_args(argv)
    if args.onnx and (args.checkpoint or args.model or args.int8_checkpoint):
        parser.error("--onnx brings its own network; leave the options of checkpoints out")
    if args.checkpoint and args.model:
        parser.error("--model chooses a shipped student, --checkpoint names its own; give one")
    if args.size and not args.backend:
        parser.error("--size is for --backend tensorrt; a bundle serves every size")
    if args.triton_tensorrt and not args.triton:
        parser.error("--triton-tensorrt needs --triton DIR")
    if args.threads < 0:
        parser.error(f"--threads {args.threads} must not be negative")
    try:
        args.precision = parse_precisions(args.precision)
        args.max_drop = parse_max_drop(args.max_drop)
    except ValueError as error:
        parser.error(str(error))
    return args


def make_plan(args: argparse.Namespace, source: Source) -> BuildPlan:
    """What the options mean for this network; OSError if the output or the input cannot be used."""
    if args.calibration and not args.calibration.exists():
        raise FileNotFoundError(f"calibration source {args.calibration} does not exist")
    out = args.out or default_out(args.model or source.spec.name, source.spec.scale, args.precision)
    check_out(out, overwrite=args.overwrite)
    if args.triton:
        _check_triton(args, source, out)
    return BuildPlan(
        model=source.spec.name,
        scale=source.spec.scale,
        source=f"{source.kind} {source.path}"
        + (f", int8 {source.int8.path}" if source.int8 else ""),
        requested=args.precision,
        calibration=args.calibration,
        out=out,
        max_drop=args.max_drop,
        is_overwriting=args.overwrite,
        has_html=not args.no_html,
        threads=args.threads,
        channels=source.spec.channels,
    )


def _check_triton(args: argparse.Namespace, source: Source, out: Path) -> None:
    from export.triton import check_repository, served_name

    precisions = {"fp32", *args.precision}
    names = [served_name(source.spec.name, source.spec.scale, p) for p in sorted(precisions)]
    check_repository(args.triton, names, out)


def check_libraries() -> None:
    """RuntimeError naming what is missing, before anything is computed."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeError(
            f"building needs {', '.join(missing)}; install with: pip install 'edge-sr[export]'"
        )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Plan, build, verify, report; returns the object of the JSON line."""
    check_libraries()
    if args.backend:
        machine_facts()  # no TensorRT or no GPU is known before minutes are spent
    from export.assemble import build_bundle

    say = _silent if args.json else _to_stderr
    source = open_source(args)
    plan = make_plan(args, source)
    for line in plan.lines():
        say(line)
    result: dict[str, Any] = {
        "bundle": str(plan.out),
        "model": plan.model,
        "scale": plan.scale,
        "precisions": list(plan.precisions),
    }
    if args.dry_run:
        return {**result, "plan": plan.as_json()}
    report = build_bundle(source, plan, say)
    if not args.json:
        sys.stdout.write("\n".join(outcome_lines(plan, report)) + "\n")
    result |= {"precisions": report["precisions"], **shown_numbers(report)}
    if args.backend:
        result["engines"] = build_engines(plan, args.size or DEFAULT_SIZE, is_silent=args.json)
    if args.triton:
        result["triton"] = serve(plan, args.triton, args.triton_tensorrt, is_silent=args.json)
    return result


def build_engines(
    plan: BuildPlan, size: tuple[int, int], *, is_silent: bool
) -> list[dict[str, Any]]:
    """TensorRT plans of the requested precisions for whole LR frames, as ``runtime.engine``'s."""
    manifest = read_manifest(plan.out)
    results = []
    for precision in plan.requested:
        name, profile = model_file(precision), frame_profile(*size)
        request = PlanRequest(plan.out, manifest, name, profile, PlanOptions())
        results.append(build_one(request, PlanCache()))
        if not is_silent:
            sys.stdout.write("\n".join(engine_lines(results[-1])) + "\n")
    return results


def serve(
    plan: BuildPlan, repository: Path, tensorrt: tuple[int, int] | None, *, is_silent: bool
) -> dict[str, Any]:
    """Add the finished bundle to a Triton model repository; returns what was added."""
    from export.triton import add_to_repository

    try:
        models = add_to_repository(plan.out, repository, tensorrt=tensorrt)
    except (OSError, ValueError) as error:
        raise RuntimeError(f"bundle {plan.out} is complete, but {error}") from error
    for model in models:
        if not is_silent:
            place = f"{repository / model.name} version {model.version}"
            sys.stdout.write(f"served as {place}  (config.pbtxt {model.config})\n")
    return {"repository": str(repository), "models": [asdict(model) for model in models]}


def shown_numbers(report: dict[str, Any]) -> dict[str, Any]:
    """Every number of the table, for the JSON line."""
    return {
        "quality": {
            name: {"psnr": round(quality["psnr"], 4), "drop_db": _signless(quality["drop_db"], 4)}
            for name, quality in report["quality"].items()
        },
        "bicubic_psnr": round(report["bicubic"]["psnr"], 4),
        "latency_ms": {row["precision"]: row["median_ms"] for row in report["latency"]["results"]},
        "observer": report["observer"],
        "kept_float": [kept["layer"] for kept in report["kept_float"]],
        "native": report["native"],
        "bytes": report["bytes"],
    }


def outcome_lines(plan: BuildPlan, report: dict[str, Any]) -> list[str]:
    """The table for people, and the line that names the artefact."""
    latency = {row["precision"]: row for row in report["latency"]["results"]}
    width, height = report["latency"]["width"], report["latency"]["height"]
    lines = [f"{'':9}{'PSNR dB':>9}{'drop dB':>9}{'allowed':>9}{f'ms at {width}x{height}':>18}"]
    lines.append(f"{'bicubic':9}{report['bicubic']['psnr']:9.3f}")
    for name, quality in report["quality"].items():
        allowed = f"{plan.max_drop[name]:.3f}" if name in plan.max_drop else "-"
        drop, median = _signless(quality["drop_db"]), latency[name]["median_ms"]
        lines.append(f"{name:9}{quality['psnr']:9.3f}{drop:9.3f}{allowed:>9}{median:18.1f}")
    default = plan.default_precision
    line = f"wrote {plan.out}  {report['bytes'] / 1e6:.2f} MB"
    if default in plan.max_drop:
        drop, gate = _signless(report["quality"][default]["drop_db"]), plan.max_drop[default]
        line += f"  {default} drop {drop:.3f} dB vs fp32  (gate {gate:.2f})"
    return [*lines, line]


def _signless(value: float, digits: int = 3) -> float:
    """Rounded, and never minus zero."""
    return round(value, digits) + 0.0


def _silent(text: str) -> None:
    del text


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
