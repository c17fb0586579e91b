"""Time one luminance frame on a CPU in our native engine and in other runtimes, side by side.

    python benchmarks/cpu_runtimes.py --size 640x360 --threads 1,4 --out record.json

Each runtime runs at its best setting, found in short heats; the best ones race in bursts of 0.2 s
in random order. Every result is compared with a numpy reference. Nothing is installed: runtimes
that are missing are named. stdout is a table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from side_by_side.cases import ISAS, PACKAGES, PRECISIONS
from side_by_side.facts import machine_facts
from side_by_side.floor import compile_peak
from side_by_side.process import usable_cpus
from side_by_side.section import Settings, run_section
from side_by_side.subject import read_subject
from side_by_side.table import section_lines

from runtime.atomic import written_beside
from runtime.bench import moving_texture, parse_size
from runtime.cli import run_main

SHIPPED = Path(__file__).resolve().parents[1] / "runtime" / "bundles" / "fsrcnn-x2.esr"
_LONGEST_S = 60.0


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of a run; contradictions end here, with exit code 2."""
    cores = len(usable_cpus())
    parser = argparse.ArgumentParser(
        prog="python benchmarks/cpu_runtimes.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("bundles", nargs="*", type=Path, default=[SHIPPED], help="default: the shipped x2 student")
    add("--size", default="640x360", help="WxH of the LR frame, comma separated")
    add("--threads", default=f"1,{min(4, cores)}", help="comma separated, default %(default)s")
    add("--runtimes", default=",".join(PACKAGES), help="default %(default)s")
    add("--precision", default=",".join(PRECISIONS), help="default %(default)s")
    add("--isa", default="auto", help="caps of the native engine, such as auto,avx2")
    add("--rounds", type=int, default=12, help="bursts of each case, default %(default)s")
    add("--seconds", type=float, default=0.2, help="length of a burst, default %(default)s")
    add("--attempts", type=int, default=4, help="at a burst while other processes disturb it")
    add("--seed", type=int, default=0, help="of the order of the bursts")
    add("--out", type=Path, help="also write the JSON object here")
    add("--json", action="store_true", help="only the JSON line on stdout, nothing on stderr")
    args = parser.parse_args(argv)
    try:
        args.sizes = [parse_size(part) for part in args.size.split(",")]
        args.threads = _thread_counts(args.threads, cores)
        args.runtimes = _chosen("--runtimes", args.runtimes, tuple(PACKAGES))
        args.precision = _chosen("--precision", args.precision, PRECISIONS)
        args.isa = _chosen("--isa", args.isa, ISAS)
    except (argparse.ArgumentTypeError, ValueError) as error:
        parser.error(str(error))
    if min(args.rounds, args.attempts) < 1:
        parser.error("--rounds and --attempts must be at least 1")
    if not 0 < args.seconds <= _LONGEST_S:
        parser.error(f"--seconds must be above 0 and at most {_LONGEST_S:.0f}")
    if args.out and not args.out.parent.is_dir():
        parser.error(f"--out {args.out}: there is no folder {args.out.parent}")
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure all sections; returns the object of the JSON line."""
    # All of them first: an unfit bundle must not show after the others' measurements.
    frames = [moving_texture(width, height) for width, height in args.sizes]
    subjects = [read_subject(bundle, frame) for bundle in args.bundles for frame in frames]
    missing = [name for name in args.runtimes if not _is_installed(PACKAGES[name][0])]
    record: dict[str, Any] = {
        "device": machine_facts(),
        "settings": {
            "frame": "synthetic luminance, uint8 for native, float32 grey levels for the others",
            "rounds": args.rounds,
            "burst_s": args.seconds,
            "attempts": args.attempts,
            "seed": args.seed,
        },
        "missing": {name: f"{PACKAGES[name][1]} is not installed" for name in missing},
        "sections": [],
    }
    say = _silent if args.json else _to_stderr
    for name, reason in record["missing"].items():
        say(f"skipped  {name}: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(args, missing, Path(folder))
        for subject in subjects:
            for threads in args.threads:
                section = run_section(subject, threads, settings, say)
                record["sections"].append(section)
                if not args.json:
                    sys.stdout.write("\n".join(section_lines(section)) + "\n")
                    sys.stdout.flush()
    if args.out:
        with written_beside(args.out) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")
    return record


def _settings(args: argparse.Namespace, missing: Sequence[str], folder: Path) -> Settings:
    runtimes = tuple(name for name in args.runtimes if name not in missing)
    return Settings(
        runtimes=runtimes,
        precisions=args.precision,
        isas=args.isa,
        can_edit_graphs=_is_installed("onnx"),
        rounds=args.rounds,
        seconds=args.seconds,
        attempts=args.attempts,
        seed=args.seed,
        peak=compile_peak(folder) if "native" in runtimes else None,
        folder=folder,
    )


def _thread_counts(text: str, cores: int) -> list[int]:
    counts = []
    for part in text.split(","):
        if not part.strip().isdecimal() or not 1 <= int(part) <= cores:
            raise ValueError(
                f"--threads {part!r} is not a number from 1 to {cores}, the usable CPUs"
            )
        counts.append(int(part))
    return list(dict.fromkeys(counts))


def _chosen(option: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{option} {', '.join(unknown)!r} is not of {', '.join(known)}")
    return tuple(name for name in known if name in names)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False


def _silent(text: str) -> None:
    del text


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main(argv: list[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
