"""List and clear the engines that were built on this machine.

    python -m runtime.cache ls
    python -m runtime.cache prune --older-than 30

``prune`` removes plans that are damaged or of another GPU, driver, CUDA or TensorRT than today's,
and with --older-than or --all more. stdout ends with one JSON line.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.cli import run_main
from runtime.errors import UnsupportedError
from runtime.plan_cache import Entry, PlanCache

DAY_S = 86400.0


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.cache",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("ls", "prune"))
    add = parser.add_argument
    add("--folder", type=Path, help="default: edge-sr/plans in the user's cache")
    add("--older-than", type=float, metavar="DAYS", help="prune also plans built before that")
    add("--all", action="store_true", help="prune every plan")
    add("--json", action="store_true", help="only the JSON line on stdout")
    args = parser.parse_args(argv)
    if args.action == "ls" and (args.all or args.older_than is not None):
        parser.error("--all and --older-than are for prune")
    if args.older_than is not None and not args.older_than >= 0:
        parser.error("--older-than must not be negative")
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """List or prune; returns the object of the JSON line."""
    cache = PlanCache(args.folder)
    if cache.folder.exists() and not cache.folder.is_dir():
        raise NotADirectoryError(f"{cache.folder} is not a folder")
    machine, why_unknown = _machine()
    if args.action == "ls":
        return _list(args, cache, machine)
    if machine is None and not args.all:
        sys.stderr.write(f"plans of other machines are kept: {why_unknown}\n")
    removed, kept, freed = [], [], 0
    for entry in cache.entries():
        reason = _why_remove(args, entry, machine)
        if not reason:
            kept.append(entry.path.name)
            continue
        freed += cache.remove(entry)
        removed.append({"plan": entry.path.name, "reason": reason})
        if not args.json:
            print(f"removed {entry.path.name}: {reason}")  # noqa: T201
    if args.all:
        freed += cache.remove_timing_caches()
    if not args.json:
        print(f"{len(removed)} removed, {len(kept)} kept, {freed / 1e6:.2f} MB free")  # noqa: T201
    return {"folder": str(cache.folder), "removed": removed, "kept": kept, "bytes": freed}


def _is_stale(entry: Entry, machine: Mapping[str, Any] | None) -> bool:
    return machine is not None and dict(entry.key.machine) != dict(machine)


def _machine() -> tuple[Mapping[str, Any] | None, str]:
    """What plans must be built for to be of use today, or None and why that is not known."""
    from runtime.backends.tensorrt_cache import machine_facts

    try:
        return machine_facts(), ""
    except UnsupportedError as error:
        return None, str(error)


def _list(
    args: argparse.Namespace, cache: PlanCache, machine: Mapping[str, Any] | None
) -> dict[str, Any]:
    plans: list[dict[str, Any]] = []
    for entry in cache.entries():
        plans.append(
            {
                "plan": entry.path.name,
                "bytes": entry.bytes,
                "created": round(entry.created),
                "request": dict(entry.key.request),
                "options": dict(entry.key.options),
                "machine": dict(entry.key.machine),
                "damage": entry.damage,
                "stale": _is_stale(entry, machine),
            }
        )
        if not args.json:
            print(_line(entry, stale=bool(plans[-1]["stale"])))  # noqa: T201
    total = sum(int(plan["bytes"]) for plan in plans)
    if not args.json:
        print(f"{len(plans)} plans, {total / 1e6:.2f} MB in {cache.folder}")  # noqa: T201
    return {"folder": str(cache.folder), "plans": plans, "bytes": total}


def _line(entry: Entry, *, stale: bool) -> str:
    day = time.strftime("%Y-%m-%d", time.localtime(entry.created))
    text = f"{entry.path.stem}  {entry.bytes / 1e6:7.2f} MB  {day}  "
    if entry.damage:
        return f"{text}damaged: {entry.damage}"
    request, machine = entry.key.request, entry.key.machine
    text += (
        f"{request.get('model')} x{request.get('scale')} {request.get('graph')} "
        f"{_size(request.get('shapes'))}  {machine.get('gpu')}, TensorRT {machine.get('TensorRT')}"
    )
    return f"{text}  (stale)" if stale else text


def _size(shapes: Any) -> str:
    try:
        batch, height, width = shapes[-1]
    except (TypeError, ValueError, IndexError):
        return "?"
    return f"{width}x{height}" if batch == 1 else f"{batch} of {width}x{height}"


def _why_remove(args: argparse.Namespace, entry: Entry, machine: Mapping[str, Any] | None) -> str:
    if args.all:
        return "all"
    if entry.damage:
        return f"damaged: {entry.damage}"
    if _is_stale(entry, machine):
        return "of another GPU, driver, CUDA or TensorRT"
    age = (time.time() - entry.created) / DAY_S
    if args.older_than is not None and age > args.older_than:
        return f"{age:.0f} days old"
    return ""


def main(argv: list[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
