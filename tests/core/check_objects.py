"""Fails if the library exports more than esr_ functions or an ISA object holds a weak symbol.

A weak symbol compiled for one ISA may be what the linker hands to code for older CPUs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

WEAK = frozenset("vVwWu")


def symbols(nm: str, path: str, *options: str) -> list[tuple[str, str]]:
    """(kind, name) of each symbol that ``nm`` lists."""
    run = subprocess.run([nm, *options, path], check=True, capture_output=True, text=True)
    rows = [line.split() for line in run.stdout.splitlines()]
    return [(row[-2], row[-1]) for row in rows if len(row) >= 2]


def main() -> int:
    """Print what is wrong; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--library", required=True)
    parser.add_argument("--objects", nargs="+", required=True)
    args = parser.parse_args()
    exported = [name for _, name in symbols(args.nm, args.library, "-D", "--defined-only")]
    faults = [f"exported: {name}" for name in exported if not name.startswith("esr_")]
    if not any(name == "esr_upscale_plane" for name in exported):
        faults.append("esr_upscale_plane is not exported")
    kernels = [o for o in args.objects if "/kernels/" in o and "families" not in Path(o).name]
    if len(kernels) < 2:
        faults.append(f"found {len(kernels)} kernel objects")
    for path in kernels:
        # GCC's reference to the personality routine is data, not code.
        names = [
            n for kind, n in symbols(args.nm, path) if kind in WEAK and not n.startswith("DW.ref")
        ]
        faults += [f"weak in {Path(path).name}: {name}" for name in names]
    for fault in faults:
        sys.stderr.write(fault + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
