"""Count the 64-bit ARM instructions that the native engine executes for an LR pixel.

    python benchmarks/neon_instructions.py --size 256x144

Needs cmake, g++-aarch64-linux-gnu and qemu-user, no ARM machine. QEMU logs each block of
instructions that it runs; what two frames take beyond one is a frame without the start-up.
Counts are exact and the same on every host, but they are no times: an ARM core decides those.
stdout is a table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from side_by_side.chain import read_chain

from runtime.bench import parse_size
from runtime.cli import run_main

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "runtime" / "bundles" / "fsrcnn-x2.esr"
CROSS = "aarch64-linux-gnu-"
TOOLS = ("cmake", "qemu-aarch64", f"{CROSS}gcc", f"{CROSS}g++", f"{CROSS}objdump", f"{CROSS}strip")
# Precision, ISA, what multiplies in its kernels, and the MACs of one such instruction.
CASES = (
    ("fp32", "neon", ("fmla",), 4),
    ("int8", "neon", ("smull", "smull2"), 8),
    ("int8", "neondot", ("sdot",), 16),
)
_FUNCTION = re.compile(r"[0-9a-f]{16} <(.*)>:")
_KERNEL = re.compile(r"kernels::.*\b(conv|tail)_span<")
_INSTRUCTION = re.compile(r"\s+([0-9a-f]+):\s+(\S+)(.*)")

Listing = dict[int, tuple[str, str, str]]  # conv, tail or other; mnemonic; operands


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of a run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", nargs="?", type=Path, default=SHIPPED, help="default: x2")
    parser.add_argument("--size", type=parse_size, default="256x144", help="default %(default)s")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Build, count and print the table; returns the object of the JSON line."""
    if missing := ", ".join(tool for tool in TOOLS if shutil.which(tool) is None):
        raise RuntimeError(f"{missing} not found: install cmake, g++-aarch64-linux-gnu, qemu-user")
    macs = read_chain(args.bundle).macs
    results = []
    with tempfile.TemporaryDirectory() as folder:
        program, listing = _build(Path(folder))
        for precision, isa, multiplies, macs_each in CASES:
            words = [program, args.bundle, precision, *map(str, args.size)]
            counts = _executed([*words, "2"], precision, isa)
            counts.subtract(_executed([*words, "1"], precision, isa))
            row = _per_pixel(counts, listing, multiplies, args.size[0] * args.size[1])
            row |= {"per_mac": row["all"] / macs, "times_floor": row["all"] / (macs / macs_each)}
            results.append({"precision": precision, "isa": isa, **row})
            sys.stdout.write(
                f"{precision} {isa:<8}{row['all']:7.1f} instructions per LR pixel,"
                f" {row['per_mac']:.3f} per MAC, {row['times_floor']:.2f} times the floor;"
                f" {row['multiply']:.1f} multiply, {row['stack']:.1f} use the kernels' stack\n"
            )
    return {"lr_size": args.size, "macs_per_pixel": macs, "results": results}


def _build(folder: Path) -> tuple[Path, Listing]:
    runtime = ROOT / "runtime"
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={runtime}/cmake/aarch64-linux-gnu.cmake"
    program = folder / "neon_instructions"
    _call("cmake", "-S", runtime, "-B", folder, "-DBUILD_SHARED_LIBS=OFF", toolchain)
    _call("cmake", "--build", folder, "-j", "2")
    _call(f"{CROSS}gcc", "-O2", "-static", "-o", program, Path(__file__).with_suffix(".c"),
          f"-I{runtime / 'core' / 'include'}", folder / "core" / "libedge_sr.a",
          "-lstdc++", "-lpthread", "-lm")  # fmt: skip
    listing: Listing = {}
    part = "other"
    for line in _call(f"{CROSS}objdump", "-dC", "--no-show-raw-insn", program).splitlines():
        if function := _FUNCTION.match(line):
            kernel = _KERNEL.search(function[1])
            part = kernel[1] if kernel else "other"
        elif match := _INSTRUCTION.match(line):
            listing[int(match[1], 16)] = (part, match[2], match[3])
    _call(f"{CROSS}strip", program)  # the log's lines would end in symbols
    return program, listing


def _call(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]} failed: {(done.stderr or done.stdout)[-400:]}")
    return done.stdout


def _executed(words: list[Any], precision: str, isa: str) -> Counter[int]:
    """How often the instruction at each address ran."""
    sizes: Counter[int] = Counter()  # instructions in the block at an address
    runs: Counter[str] = Counter()
    start = None
    command = ["qemu-aarch64", "-E", f"EDGE_SR_ISA={isa}", "-d", "in_asm,exec,nochain", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr or ():  # the log
            if line.startswith("Trace"):
                runs[line.split("/", 2)[1]] += 1
            elif line.startswith("IN:"):
                start = None
            elif line.startswith("0x"):
                address = int(line[: line.index(":")], 16)
                start = start or address
                sizes[start] = (address - start) // 4 + 1
        said = process.stdout.read().strip() if process.stdout else ""
    if process.returncode != 0 or said != f"{precision} {isa}":
        raise RuntimeError(f"{precision} on {isa} ended with {process.returncode}: {said}")
    counts: Counter[int] = Counter()
    for text, count in runs.items():
        for i in range(sizes[int(text, 16)]):
            counts[int(text, 16) + 4 * i] += count
    return counts


def _per_pixel(
    counts: Counter[int], listing: Listing, multiplies: tuple[str, ...], pixels: int
) -> dict[str, Any]:
    found = Counter[str](all=0, multiply=0, stack=0, conv=0, tail=0, other=0)
    kernels: Counter[str] = Counter()
    for address, count in counts.items():
        part, mnemonic, operands = listing.get(address, ("other", "", ""))
        found.update({"all": count, part: count})
        if part != "other":
            kernels[mnemonic] += count
            found["multiply"] += count * (mnemonic in multiplies)
            found["stack"] += count * ("[sp" in operands)
    row: dict[str, Any] = {name: count / pixels for name, count in found.items()}
    return row | {"kernels": {name: count / pixels for name, count in kernels.most_common(12)}}


if __name__ == "__main__":
    sys.exit(run_main(run, parse_args()))
