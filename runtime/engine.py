"""Build the TensorRT engines of a bundle on this machine.

    python -m runtime.engine build fsrcnn-x2-int8.esr --size 640x360
    python -m runtime.engine build fsrcnn-x2-int8.esr --tile-size 256 --batch 8

A plan is built from the bundle's graph by TensorRT's own parser, checked for the precision of each
layer and kept in the cache, where every later run finds it. stdout ends with one JSON line.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runtime.backends.tensorrt_cache import PlanRequest, machine_facts, plan_of
from runtime.backends.tensorrt_plan import (
    PlanOptions,
    Profile,
    frame_profile,
    tile_profile,
)
from runtime.bench import parse_size
from runtime.cli import run_main
from runtime.installed import installed_bundle
from runtime.manifest import Manifest, model_file, read_manifest
from runtime.plan_cache import PlanCache
from runtime.progress import format_duration
from runtime.tiling import check_tile_size

PRECISIONS = ("fp32", "fp16", "int8")
DEFAULT_SIZE = (640, 360)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.engine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("build",))
    add = parser.add_argument
    add("bundle", nargs="?", type=Path, help="default: the installed x2 one")
    add("--precision", help="comma separated, default the bundle's default")
    add("--size", type=parse_size, metavar="WxH", help="whole LR frames, default 640x360")
    add("--tile-size", type=int, help="windows of this side instead of whole frames")
    add("--batch", type=int, default=8, help="windows at once, default %(default)s")
    add("--deep", action="store_true", help="also the graph for deeper video and RGB pictures")
    _add_plan_options(parser)
    add("--rebuild", action="store_true", help="also if the cache holds the plan")
    add("--json", action="store_true", help="only the JSON line on stdout")
    args = parser.parse_args(argv)
    if args.size and args.tile_size:
        parser.error("--size and --tile-size: give one of them")
    if args.tile_size is not None and args.tile_size < 1:
        parser.error(f"--tile-size {args.tile_size} must be at least 1")
    if not 1 <= args.batch <= 64:
        parser.error(f"--batch {args.batch} is not in 1..64")
    unknown = [p for p in (args.precision or "fp32").split(",") if p not in PRECISIONS]
    if unknown:
        parser.error(f"--precision {', '.join(unknown)} is not one of {', '.join(PRECISIONS)}")
    return args


def _add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Options that become :class:`PlanOptions`."""
    add = parser.add_argument
    add("--workspace", type=int, default=0, metavar="MIB", help="0: no limit of ours")
    add("--level", type=int, default=3, choices=range(6), help="builder optimisation, default 3")
    add("--version-compatible", action="store_true", help="runs on later releases of TensorRT")
    add("--hardware-compatible", action="store_true", help="runs on every GPU since Ampere")
    add("--dla", type=int, metavar="CORE", help="prefer this DLA core, GPU for what it refuses")


def _plan_options(args: argparse.Namespace) -> PlanOptions:
    """Checked options."""
    return PlanOptions(
        workspace_mib=args.workspace,
        level=args.level,
        version_compatible=args.version_compatible,
        hardware_compatible=args.hardware_compatible,
        dla_core=args.dla,
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Build what is asked for; returns the object of the JSON line."""
    args.bundle = args.bundle or installed_bundle()
    manifest = read_manifest(args.bundle)
    options, profile = _plan_options(args), _profile(args, manifest)
    results = []
    for precision in _precisions(args, manifest):
        for twin in (False, True) if args.deep else (False,):
            name = model_file(precision, twin=twin)
            request = PlanRequest(args.bundle, manifest, name, profile, options)
            results.append(build_one(request, PlanCache(), rebuild=args.rebuild))
            if not args.json:
                print("\n".join(engine_lines(results[-1])))  # noqa: T201
    return {"bundle": str(args.bundle), "device": machine_facts(), "results": results}


def build_one(request: PlanRequest, cache: PlanCache, *, rebuild: bool = False) -> dict[str, Any]:
    """The plan of one graph, built or found, as a JSON object; progress goes to stderr."""
    with _BuildLine(request.name) as line:
        plan = plan_of(request, cache, progress=line.tell, rebuild=rebuild)
    profile = request.profile
    result: dict[str, Any] = {
        "graph": request.name,
        "options": asdict(plan.options),
        "plan": str(plan.path) if plan.path else None,
        "bytes": len(plan.data),
        "built": plan.built is not None,
        "reason": plan.reason,
        "shapes": [list(shape) for shape in (profile.smallest, profile.likeliest, profile.largest)],
    }
    if plan.built is not None:
        result["seconds"] = round(plan.built.seconds, 2)
        result["layers"] = [asdict(layer) for layer in plan.built.layers]
        result["off_dla"] = list(plan.built.off_dla)
    return result


class _BuildLine:
    """What TensorRT is doing: one line on a terminal, rewritten; nothing elsewhere."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._is_terminal = sys.stderr.isatty()
        self._width = 0

    def tell(self, phase: str, step: int, steps: int) -> bool:
        """Never cancels; Ctrl-C does."""
        if self._is_terminal:
            line = f"{self._label}: {phase} {step}/{steps}"[:100]
            sys.stderr.write(f"\r{line.ljust(self._width)}")
            sys.stderr.flush()
            self._width = len(line)
        return True

    def __enter__(self) -> _BuildLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            sys.stderr.write(f"\r{' ' * self._width}\r")


def _profile(args: argparse.Namespace, manifest: Manifest) -> Profile:
    if not args.tile_size:
        width, height = (manifest.padded(side) for side in args.size or DEFAULT_SIZE)
        return frame_profile(width, height, manifest.channel_count)
    check_tile_size(args.tile_size, manifest)
    return tile_profile(
        args.tile_size, args.batch, manifest.channel_count, least=manifest.size_multiple
    )


def _precisions(args: argparse.Namespace, manifest: Manifest) -> list[str]:
    if args.precision is None:
        return [manifest.default_precision]
    wanted: list[str] = args.precision.split(",")
    missing = [precision for precision in wanted if precision not in manifest.precisions]
    if missing:
        raise ValueError(
            f"bundle {args.bundle} holds no {', '.join(missing)}; "
            f"it has {', '.join(manifest.precisions)}"
        )
    return wanted


def engine_lines(result: dict[str, Any]) -> list[str]:
    """A result of :func:`build_one` for people."""
    if not result["built"]:
        return [f"{result['graph']}: already in the cache, {result['plan']}"]
    layers = result["layers"]
    kinds = sorted({layer["runs"] for layer in layers if layer["runs"]})
    counts = [f"{sum(layer['runs'] == kind for layer in layers)} {kind}" for kind in kinds]
    hidden = sum(layer["runs"] is None for layer in layers)
    if hidden:
        counts.append(f"{hidden} in regions that do not tell")
    lines = [
        f"{result['graph']}: built in {format_duration(result['seconds'])}, "
        f"{result['bytes'] / 1e6:.2f} MB, {result['plan'] or 'not kept'}",
        f"  convolutions: {', '.join(counts)}",
    ]
    if result["off_dla"]:
        lines.append(f"  not on DLA, on the GPU: {', '.join(result['off_dla'])}")
    return lines


def main(argv: list[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
