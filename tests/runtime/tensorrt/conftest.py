"""TensorRT's stand-in over a CUDA driver that runs on the CPU."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tensorrt_double

from runtime.backends import cuda_driver

SUPPORT = Path(__file__).resolve().parents[2] / "support"


@pytest.fixture(scope="session")
def fake_cuda_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("cc absent")
    path = tmp_path_factory.mktemp("cuda") / "libcuda.so.1"
    source = SUPPORT / "fake_cuda.c"
    command = [compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", str(path), str(source)], check=True)
    return path


@pytest.fixture
def cuda(fake_cuda_library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The fake driver's library: ``fake_fail``, ``fake_live``, ``fake_calls``, ``fake_devices``."""
    library = ctypes.CDLL(str(fake_cuda_library))
    library.fake_calls.restype = ctypes.c_char_p
    library.fake_fail.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    library.fake_reset()
    monkeypatch.setattr(cuda_driver, "LIBRARY", str(fake_cuda_library))
    cuda_driver.cuda_driver.cache_clear()
    yield library
    cuda_driver.cuda_driver.cache_clear()


@pytest.fixture
def tensorrt(cuda: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """The stand-in as the module ``tensorrt``; plans are cached under ``tmp_path``."""
    tensorrt_double._reset()
    tensorrt_double.STATE.cuda = cuda
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_double)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tensorrt_double
    tensorrt_double._reset()
