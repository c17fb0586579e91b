"""Summaries of timings, and facts about the machine they were taken on."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_ISA_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "asimd", "asimddp")


@dataclass(frozen=True)
class Summary:
    """Percentiles of latencies in milliseconds."""

    samples: int
    median_ms: float
    p90_ms: float
    p99_ms: float

    @property
    def spread(self) -> float:
        """How far p90 lies above the median, as a share of it."""
        return self.p90_ms / self.median_ms - 1


def summarize(seconds: Sequence[float]) -> Summary:
    """Percentiles of at least one duration in seconds."""
    median, p90, p99 = np.percentile(np.asarray(seconds) * 1e3, [50, 90, 99])
    return Summary(len(seconds), float(median), float(p90), float(p99))


def device_facts() -> dict[str, Any]:
    """CPU, usable cores, instruction sets, memory, operating system and library versions."""
    import onnxruntime

    cpuinfo = _read(Path("/proc/cpuinfo"))
    flags = set(_field(cpuinfo, "flags", _field(cpuinfo, "Features", "")).split())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory_kb = _field(_read(Path("/proc/meminfo")), "MemTotal", "0 kB").split()[0]
    return {
        "cpu": _field(cpuinfo, "model name", platform.processor() or platform.machine()),
        "cores": usable,
        "isa": [flag for flag in _ISA_FLAGS if flag in flags],
        "memory_gib": round(int(memory_kb) / 2**20, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }


def cpu_vendor() -> str:
    """Who made the CPU, as CPUID says it: GenuineIntel or AuthenticAMD; empty where nobody says."""
    return _field(_read(Path("/proc/cpuinfo")), "vendor_id", "")


def peak_memory_mb() -> float:
    """Largest resident set of this process so far, in MB."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


def _field(text: str, name: str, default: str) -> str:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return default
