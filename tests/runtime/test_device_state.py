from __future__ import annotations

import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from bundle_support import make_tiny_bundle

from runtime import bench, device_state
from runtime.device_state import fixed_state, momentary_state, state_lines
from runtime.stats import device_facts

TEGRASTATS = (
    "11-03-2026 10:15:00 RAM 2448/7620MB (lfb 4x4MB) SWAP 0/3810MB (cached 0MB) "
    "CPU [3%@1510,0%@1510,off,off] EMC_FREQ 3%@3199 GR3D_FREQ 45%@[1020] NVDEC off "
    "cpu@48.2C tj@49.9C VDD_IN 5120mW/4980mW VDD_CPU_GPU_CV 1650mW/1500mW VDD_SOC 1120mW/1110mW"
)


def install(folder: Path, name: str, script: str) -> None:
    """A program of this name on the search path."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture(autouse=True)
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty search path but for what a shell script needs."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "sleep").symlink_to("/bin/sleep")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def policy(number: int, now: int, governor: str = "schedutil", highest: int = 1728000) -> Any:
    folder = f"sys/devices/system/cpu/cpufreq/policy{number}"
    return {
        f"{folder}/affected_cpus": f"{number} {number + 1}\n",
        f"{folder}/scaling_governor": f"{governor}\n",
        f"{folder}/scaling_cur_freq": f"{now}\n",
        f"{folder}/scaling_max_freq": f"{highest}\n",
    }


def test_nothing_there_gives_nothing(tmp_path: Path) -> None:
    assert fixed_state(tmp_path) == {}
    assert momentary_state(tmp_path) == {}
    assert state_lines({"cpu": "a cpu"}) == []


def test_board_and_power_mode_of_a_jetson(tmp_path: Path, tools: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
            "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: g",
        },
    )
    install(tools, "nvpmodel", 'test "$1" = -q && echo "NV Power Mode: MAXN_SUPER" && echo 2')
    assert fixed_state(root) == {
        "board": "NVIDIA Jetson Orin Nano Developer Kit",
        "l4t": "36.4.3",
        "power_mode": "MAXN_SUPER",
        "power_mode_id": 2,
    }


def test_power_mode_without_number_or_after_warnings(tmp_path: Path, tools: Path) -> None:
    install(tools, "nvpmodel", 'echo "NVPM WARN: fan mode is not set!"; echo "NV Power Mode: 15W"')
    assert fixed_state(tmp_path) == {"power_mode": "15W"}


def test_clocks_of_cpus_are_grouped_by_governor_and_limit(tmp_path: Path) -> None:
    files = policy(0, 729600) | policy(2, 1510400) | policy(4, 2201600, "performance", 2201600)
    assert momentary_state(write(tmp_path, files)) == {
        "cpu": [
            {
                "cpus": 4,
                "governor": "schedutil",
                "lowest_mhz": 729,
                "highest_mhz": 1510,
                "max_mhz": 1728,
            },
            {
                "cpus": 2,
                "governor": "performance",
                "lowest_mhz": 2201,
                "highest_mhz": 2201,
                "max_mhz": 2201,
            },
        ]
    }


def test_clock_of_the_gpu_and_temperatures(tmp_path: Path) -> None:
    zones = (("cpu-thermal", "48218"), ("gpu-thermal", "-256000"), ("tj-thermal", "49906"))
    files = {
        "sys/class/devfreq/17000000.gpu/cur_freq": "1020000000\n",
        "sys/class/devfreq/17000000.gpu/max_freq": "1020000000\n",
        "sys/class/devfreq/17000000.gpu/governor": "nvhost_podgov\n",
        "sys/class/devfreq/broken/cur_freq": "?\n",
        "sys/class/hwmon/hwmon0/name": "k10temp\n",
        "sys/class/hwmon/hwmon0/temp1_input": "61500\n",
        "sys/class/hwmon/hwmon1/name": "battery\n",
        "sys/class/hwmon/hwmon1/temp1_input": "30000\n",
        "sys/class/thermal/thermal_zone3/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone3/temp": "47000\n",
    }
    for number, (name, value) in enumerate(zones):
        files[f"sys/class/thermal/thermal_zone{number}/type"] = f"{name}\n"
        files[f"sys/class/thermal/thermal_zone{number}/temp"] = f"{value}\n"
    assert momentary_state(write(tmp_path, files)) == {
        "devfreq": {"17000000.gpu": {"mhz": 1020, "max_mhz": 1020, "governor": "nvhost_podgov"}},
        "temperatures_c": {"cpu-thermal": 48.2, "tj-thermal": 49.9, "k10temp": 61.5},
    }


def test_one_line_of_tegrastats_is_read_and_the_tool_stopped(tmp_path: Path, tools: Path) -> None:
    install(tools, "tegrastats", f'while :; do echo "{TEGRASTATS}"; sleep 0.1; done')
    started = time.monotonic()
    assert momentary_state(tmp_path) == {
        "power_mw": {"VDD_IN": 5120, "VDD_CPU_GPU_CV": 1650, "VDD_SOC": 1120},
        "soc_mhz": {"emc": 3199, "gr3d": 1020},
    }
    assert time.monotonic() - started < device_state.TEGRASTATS_SECONDS + 2


def test_two_gpu_clocks_count_by_the_higher(tmp_path: Path, tools: Path) -> None:
    install(tools, "tegrastats", 'echo "GR3D_FREQ @[1000,1300,990] EMC_FREQ 0%"')
    assert momentary_state(tmp_path) == {"soc_mhz": {"gr3d": 1300}}


def test_desktop_gpus(tmp_path: Path, tools: Path) -> None:
    install(
        tools,
        "nvidia-smi",
        'test "$2" = --format=csv,noheader,nounits || exit 1\n'
        'echo "NVIDIA L4, 580.65.06, P0, 2040, 2040, 6251, 54, 71.52, 72.00"\n'
        'echo "Orin (nvgpu), 540.4.0, [N/A], [N/A], [N/A], [N/A], [N/A], [N/A], [N/A]"\n'
        'echo "something else"',
    )
    assert momentary_state(tmp_path)["gpus"] == [
        {
            "name": "NVIDIA L4",
            "driver": "580.65.06",
            "performance_state": "P0",
            "sm_mhz": 2040,
            "max_sm_mhz": 2040,
            "memory_mhz": 6251,
            "temperature_c": 54,
            "power_w": 71.52,
            "power_limit_w": 72,
        },
        {"name": "Orin (nvgpu)", "driver": "540.4.0"},
    ]


@pytest.mark.parametrize("script", ["exit 9", "echo oops; exit 1", "exec sleep 60", "echo '\\377'"])
def test_tool_that_fails_or_hangs_is_left_out_in_time(
    script: str, tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_state, "TOOL_SECONDS", 0.2)
    for name in ("nvpmodel", "tegrastats", "nvidia-smi"):
        install(tools, name, script)
    started = time.monotonic()
    assert fixed_state(tmp_path) == {}
    assert momentary_state(tmp_path) == {}
    assert time.monotonic() - started < 6


def test_lines_for_people() -> None:
    device = {
        "board": "Jetson",
        "l4t": "36.4.3",
        "power_mode": "15W",
        "after": {
            "cpu": [
                {
                    "cpus": 6,
                    "governor": "schedutil",
                    "lowest_mhz": 729,
                    "highest_mhz": 1510,
                    "max_mhz": 1728,
                }
            ],
            "devfreq": {"17000000.gpu": {"mhz": 1020}, "other": {"mhz": 5}},
            "temperatures_c": {"cpu-thermal": 48.2, "tj-thermal": 49.9},
            "power_mw": {"VDD_IN": 5120},
            "gpus": [{"name": "NVIDIA L4", "sm_mhz": 2040.0, "power_w": 71.5}],
        },
    }
    assert state_lines(device) == [
        "Jetson, L4T 36.4.3, power mode 15W",
        "after: 6 cpus 729..1510 of 1728 MHz (schedutil), 17000000.gpu 1020 MHz, "
        "NVIDIA L4 2040 MHz 71.5 W, tj-thermal 49.9 C, VDD_IN 5120 mW",
    ]


def test_machine_that_tells_nothing_adds_no_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "fixed_state", lambda: fixed_state(tmp_path))
    monkeypatch.setattr(bench, "momentary_state", lambda: momentary_state(tmp_path))
    bundle = make_tiny_bundle(tmp_path / "tiny.esr")
    options = "--size 16x16 --samples 1 --seconds 0 --tile-size 0 --precision int8 --json"
    assert bench.main([str(bundle), *options.split()]) == 0
    device = json.loads(capsys.readouterr().out)["device"]
    assert set(device) == set(device_facts())


def test_benchmark_records_the_state_before_and_after(
    tmp_path: Path, tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tools, "nvpmodel", 'echo "NV Power Mode: MAXN"; echo 0')
    install(tools, "tegrastats", f'echo "{TEGRASTATS}"')
    bundle = make_tiny_bundle(tmp_path / "tiny.esr")
    options = "--size 16x16 --samples 1 --seconds 0 --tile-size 0 --precision int8"
    assert bench.main([str(bundle), *options.split()]) == 0
    printed = capsys.readouterr().out.splitlines()
    device = json.loads(printed[-1])["device"]
    assert {"cpu", "cores", "isa", "memory_gib", "system", "python", "onnxruntime"} <= set(device)
    assert (device["power_mode"], device["power_mode_id"]) == ("MAXN", 0)
    for moment in ("before", "after"):
        assert device[moment]["power_mw"]["VDD_IN"] == 5120
    shown = printed[-4:-1]
    assert "power mode MAXN" in shown[0]
    assert shown[1].startswith("before: ")
    assert shown[2].startswith("after: ")
