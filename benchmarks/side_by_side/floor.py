"""The time that a frame takes at the machine's peak rate, from a program compiled on the fly."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from side_by_side.bursts import Timing

SOURCE = Path(__file__).resolve().parents[1] / "peak" / "peak.cc"
_OPTIONS = ("-O3", "-march=native", "-std=c++17", "-pthread")


def compile_peak(folder: Path) -> Path | None:
    """The program in ``folder``; None without a compiler whose program runs here."""
    program = folder / "peak"
    for compiler in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        if not compiler or not shutil.which(compiler):
            continue
        words = [compiler, *_OPTIONS, str(SOURCE), "-o", str(program)]
        if _succeeds(words) and _succeeds([str(program), "--list"]):
            return program
    return None


def peak_kernels(program: Path) -> list[tuple[str, str]]:
    """Precision and ISA of what the program measures on this CPU."""
    listed = subprocess.run([program, "--list"], capture_output=True, check=True, text=True)
    kernels = []
    for line in listed.stdout.splitlines():
        precision, isa = line.split()
        kernels.append((precision, isa))
    return kernels


def needed_kernels(
    kernels: Iterable[tuple[str, str]], native: Iterable[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Those that the native rows run on, by precision and ISA."""
    wanted = set(native)
    return [kernel for kernel in kernels if kernel in wanted]


def floor_ms(frame_macs: int, seconds_per_gmac: float) -> float:
    """Milliseconds for a frame at the peak rate."""
    return frame_macs / 1e9 * seconds_per_gmac * 1e3


def peak_entry(precision: str, isa: str, timing: Timing, frame_macs: int) -> dict[str, Any]:
    """The record of a kernel from its timing in seconds per 1e9 MACs."""
    entry: dict[str, Any] = {
        "precision": precision,
        "isa": isa,
        "gmac_per_s": round(1 / timing.median, 1),
        "floor_ms": round(floor_ms(frame_macs, timing.median), 3),
    }
    if timing.warning:
        entry["warning"] = timing.warning
    return entry


def _succeeds(words: list[str]) -> bool:
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
