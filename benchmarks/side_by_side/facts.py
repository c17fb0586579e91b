"""What the record says about the machine besides what ``runtime.stats`` knows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from runtime.stats import device_facts

_CPU0 = Path("/sys/devices/system/cpu/cpu0")


def machine_facts() -> dict[str, Any]:
    """Device, caches, clock governor where readable, and the load before the run."""
    facts = device_facts()
    facts["caches"] = _caches()
    facts["governor"] = _text(_CPU0 / "cpufreq" / "scaling_governor") or "not readable"
    facts["max_clock_mhz"] = int(_text(_CPU0 / "cpufreq" / "cpuinfo_max_freq") or 0) // 1000
    facts["is_virtual"] = " hypervisor" in _text(Path("/proc/cpuinfo"))
    facts["load_before"] = list(os.getloadavg()) if hasattr(os, "getloadavg") else []
    return facts


def _caches() -> dict[str, str]:
    found = {}
    for index in sorted((_CPU0 / "cache").glob("index*")):
        kind = {"Data": "d", "Instruction": "i"}.get(_text(index / "type"), "")
        found[f"L{_text(index / 'level')}{kind}"] = _text(index / "size")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
