"""Power mode, clocks, temperatures and power draw, as far as this machine tells them.

What is not there is left out: no reader raises, and none waits for longer than its limit.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path("/")
# nvidia-smi needs most of it where the driver is not kept loaded.
TOOL_SECONDS = 2.0
# tegrastats prints a line at each interval and never ends by itself.
TEGRASTATS_SECONDS = 0.8

_TEMPERATURES_C = (-40.0, 150.0)
_CPU_SENSORS = ("coretemp", "k10temp", "zenpower")
_GPU_FIELDS = (
    ("name", "name"),
    ("driver_version", "driver"),
    ("pstate", "performance_state"),
    ("clocks.sm", "sm_mhz"),
    ("clocks.max.sm", "max_sm_mhz"),
    ("clocks.mem", "memory_mhz"),
    ("temperature.gpu", "temperature_c"),
    ("power.draw", "power_w"),
    ("power.limit", "power_limit_w"),
)
_GPU_TEXTS = ("name", "driver", "performance_state")


def fixed_state(root: Path = ROOT) -> dict[str, Any]:
    """What stays as it is over a measurement: board, L4T release and power mode of a Jetson."""
    board = _text(root / "proc/device-tree/model").rstrip("\0").strip()
    release = _text(root / "etc/nv_tegra_release")
    l4t = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", release)
    answer = _output_of("nvpmodel", "-q")
    mode = re.search(r"NV Power Mode:\s*(\S+)", answer)
    number = re.search(r"^\s*(\d+)\s*$", answer, re.MULTILINE)
    return _present(
        board=board,
        l4t=f"{l4t[1]}.{l4t[2]}" if l4t else None,
        power_mode=mode[1] if mode else None,
        power_mode_id=int(number[1]) if mode and number else None,
    )


def momentary_state(root: Path = ROOT) -> dict[str, Any]:
    """What load changes: clocks in MHz, temperatures in degrees Celsius, power.

    Files come before tools, while the clocks are still those of the load.
    """
    files = _present(
        cpu=_cpu_clocks(root),
        devfreq=_devfreq(root),
        temperatures_c=_temperatures(root),
    )
    return files | _tegrastats() | _present(gpus=_gpus())


def state_lines(device: dict[str, Any]) -> list[str]:
    """The state in a benchmark's ``device`` object, for people."""
    fixed = [
        f"{label}{device[key]}"
        for key, label in (("board", ""), ("l4t", "L4T "), ("power_mode", "power mode "))
        if key in device
    ]
    lines = [", ".join(fixed)] if fixed else []
    for moment in ("before", "after"):
        parts = _moment_parts(device.get(moment, {}))
        if parts:
            lines.append(f"{moment}: " + ", ".join(parts))
    return lines


def _moment_parts(state: dict[str, Any]) -> list[str]:
    parts = []
    for cpu in state.get("cpu", ()):
        parts.append(
            f"{cpu['cpus']} cpus {cpu['lowest_mhz']}..{cpu['highest_mhz']} of {cpu['max_mhz']} MHz "
            f"({cpu['governor']})"
        )
    for name, clock in state.get("devfreq", {}).items():
        if "gpu" in name:
            parts.append(f"{name} {clock['mhz']} MHz")
    for gpu in state.get("gpus", ()):
        shown = (("sm_mhz", "MHz"), ("temperature_c", "C"), ("power_w", "W"))
        parts.append(" ".join([gpu["name"], *(f"{gpu[k]:g} {u}" for k, u in shown if k in gpu)]))
    temperatures = state.get("temperatures_c")
    if temperatures:
        hottest = max(temperatures, key=temperatures.__getitem__)
        parts.append(f"{hottest} {temperatures[hottest]:g} C")
    parts += [f"{rail} {power} mW" for rail, power in state.get("power_mw", {}).items()]
    return parts


def _cpu_clocks(root: Path) -> list[dict[str, Any]]:
    """CPUs of one governor and one highest clock together, with the span of their clocks."""
    groups: dict[tuple[str, int], list[int]] = {}
    for folder in sorted(root.glob("sys/devices/system/cpu/cpufreq/policy*")):
        governor = _text(folder / "scaling_governor").strip()
        highest, now = _number(folder / "scaling_max_freq"), _number(folder / "scaling_cur_freq")
        if not governor or highest is None or now is None:
            continue
        cpus = len(_text(folder / "affected_cpus").split()) or 1
        groups.setdefault((governor, highest // 1000), []).extend([now // 1000] * cpus)
    return [
        {
            "cpus": len(clocks),
            "governor": governor,
            "lowest_mhz": min(clocks),
            "highest_mhz": max(clocks),
            "max_mhz": limit,
        }
        for (governor, limit), clocks in groups.items()
    ]


def _devfreq(root: Path) -> dict[str, Any]:
    """Clocks of devices such as a Jetson's GPU, by the kernel's name for them."""
    found = {}
    for folder in sorted(root.glob("sys/class/devfreq/*")):
        now = _number(folder / "cur_freq")
        if now is None:
            continue
        highest = _number(folder / "max_freq")
        found[folder.name] = _present(
            mhz=now // 10**6,
            max_mhz=highest // 10**6 if highest else None,
            governor=_text(folder / "governor").strip(),
        )
    return found


def _temperatures(root: Path) -> dict[str, float]:
    """The hottest zone of each name; sensors of units that are switched off give no number."""
    sensors = [
        (_text(zone / "type").strip(), zone / "temp")
        for zone in sorted(root.glob("sys/class/thermal/thermal_zone*"))
    ]
    for folder in sorted(root.glob("sys/class/hwmon/hwmon*")):
        name = _text(folder / "name").strip()
        if name in _CPU_SENSORS:
            sensors.append((name, folder / "temp1_input"))
    found: dict[str, float] = {}
    for name, path in sensors:
        value = _number(path)
        degrees = value / 1000 if value is not None else None
        if name and degrees is not None and _TEMPERATURES_C[0] < degrees < _TEMPERATURES_C[1]:
            found[name] = max(round(degrees, 1), found.get(name, _TEMPERATURES_C[0]))
    return found


def _tegrastats() -> dict[str, Any]:
    """Power of each rail, and the clocks of memory and GPU, from one line of tegrastats."""
    lines = _output_of("tegrastats", "--interval", "100", seconds=TEGRASTATS_SECONDS).splitlines()
    line = lines[0] if lines else ""
    clocks = {
        name.lower(): max(int(value) for value in values.split(","))
        for name, values in re.findall(r"(\w+)_FREQ \d*%?@\[?(\d+(?:,\d+)*)", line)
    }
    power = {rail: int(value) for rail, value in re.findall(r"(\w+) (\d+)mW\b", line)}
    return _present(power_mw=power, soc_mhz=clocks)


def _gpus() -> list[dict[str, Any]]:
    """NVIDIA GPUs by nvidia-smi, which asks the driver's management library (NVML)."""
    query = ",".join(field for field, _ in _GPU_FIELDS)
    answer = _output_of("nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits")
    gpus = []
    for line in answer.splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) != len(_GPU_FIELDS):
            continue
        gpu: dict[str, Any] = {}
        for (_, key), value in zip(_GPU_FIELDS, values, strict=True):
            if key in _GPU_TEXTS and not value.startswith("["):
                gpu[key] = value
            elif re.fullmatch(r"\d+(\.\d+)?", value):
                gpu[key] = float(value)
        if "name" in gpu:
            gpus.append(gpu)
    return gpus


def _output_of(*command: str, seconds: float | None = None) -> str:
    """What a tool printed until it ended or its time was up; nothing if it is not there or fails.

    A tool that prints on and on is stopped.
    """
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds or TOOL_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode(errors="replace")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.decode(errors="replace")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if re.fullmatch(r"-?\d{1,15}", text) else None


def _present(**values: Any) -> dict[str, Any]:
    """Without what is not known."""
    return {key: value for key, value in values.items() if value not in (None, "", [], {})}
