"""The C++ library, compiled once for all tests that need it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from core_support import RUNTIME, run
from filelock import FileLock


@pytest.fixture(scope="session")
def core_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with the library and its C++ tests, one for all processes of ``pytest -n``."""
    base = tmp_path_factory.getbasetemp()
    build = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "core-build"
    with FileLock(build.with_suffix(".lock")):
        if not (build / "finished").exists():
            _build(build)
            (build / "finished").touch()
    return build


def _build(build: Path) -> None:
    options = ["-DEDGE_SR_TESTS=ON", "-DEDGE_SR_CUDA=OFF", "-DEDGE_SR_TENSORRT=OFF"]
    options += ["-GNinja"] if shutil.which("ninja") else []
    run("cmake", "-S", RUNTIME, "-B", build, *options)
    run("cmake", "--build", build, "-j", "2")
