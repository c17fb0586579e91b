"""The CUDA plugin: compiled where nvcc is; its kernels through Python on a CPU."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from core_support import RUNTIME, needs_compiler, run

PLUGIN = "libedge_sr_cuda.so"
BUNDLE = RUNTIME / "bundles" / "fsrcnn-x2.esr"
NVCC = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc") or ""

pytestmark = [pytest.mark.slow, needs_compiler]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin for Orin and H100, its warnings being errors."""
    if not NVCC:
        pytest.skip("nvcc absent: the CUDA plugin is not compiled")
    build = tmp_path_factory.mktemp("cuda")
    options = ["-DEDGE_SR_CUDA=ON", "-DEDGE_SR_WERROR=ON", "-DCMAKE_CUDA_ARCHITECTURES=87;90"]
    options += [f"-DCMAKE_CUDA_COMPILER={NVCC}"]
    run("cmake", "-S", RUNTIME, "-B", build, *options)
    run("cmake", "--build", build, "--target", "edge_sr_cuda")
    return build / "core" / PLUGIN


def test_plugin_needs_no_toolkit_and_offers_one_function(plugin: Path) -> None:
    needed = run("readelf", "--dynamic", plugin)
    assert "libstdc++" in needed
    assert "libcuda" not in needed
    assert run("nm", "-D", "--defined-only", plugin).split()[2:] == ["esr_cuda_plugin"]
    ctypes.CDLL(str(plugin))  # no symbol is left open


@pytest.mark.skipif(not NVCC, reason="nvcc absent")
@pytest.mark.parametrize("architecture", ["sm_87", "sm_90"])
def test_kernel_spills_no_registers(architecture: str, tmp_path: Path) -> None:
    source = RUNTIME / "core/src/backends/cuda/plugin.cu"
    command: list[str | Path] = [
        NVCC,
        "-std=c++17",
        "-O3",
        f"-arch={architecture}",
        "-Xptxas=-v",
        "-cubin",
    ]
    command += ["-I", RUNTIME / "core/src", source, "-o", tmp_path / "kernel.cubin"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "0 bytes spill stores, 0 bytes spill loads" in done.stderr


@pytest.fixture
def installation(core_build: Path, tmp_path: Path) -> Path:
    """A folder with the runtime package, and beside its extension the emulated plugin."""
    pytest.importorskip("runtime._core", reason="this installation is without the native engine")
    left = shutil.ignore_patterns("core", "bundles", "bindings", "__pycache__", PLUGIN)
    shutil.copytree(RUNTIME, tmp_path / "runtime", ignore=left)
    shutil.copy(core_build / "tests" / PLUGIN, tmp_path / "runtime" / PLUGIN)
    return tmp_path


SCRIPT = """
import sys
import numpy as np
from runtime import Upscaler
lr = (np.arange(40 * 30) % 251).astype(np.uint8).reshape(30, 40)
with Upscaler.open(sys.argv[1], backend="native", precision="fp32") as upscaler:
    wanted = upscaler.upscale(lr).astype(int)
with Upscaler.open(sys.argv[1], backend="native", device="cuda", threads=1) as upscaler:
    info = upscaler.info
    assert np.abs(upscaler.upscale(lr) - wanted).max() <= 1
print(info.name, info.provider, info.precision, info.device)
"""


def upscale(installation: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(BUNDLE)],
        cwd=installation,
        env={**os.environ, "PYTHONPATH": str(installation)},
        capture_output=True,
        text=True,
    )


def test_python_runs_it_where_the_plugin_lies_beside_the_extension(installation: Path) -> None:
    done = upscale(installation)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["native", "sm_87", "fp16", "cuda"]


def test_without_the_plugin_it_is_refused_in_one_line(installation: Path) -> None:
    (installation / "runtime" / PLUGIN).unlink()
    error = upscale(installation).stderr.splitlines()[-1]
    assert error.startswith("runtime.errors.UnsupportedError: native: device cuda is not offered: ")
    assert PLUGIN in error
