"""The C++ library, compiled once for all tests that need it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from core_support import RUNTIME, run


@pytest.fixture(scope="session")
def core_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with the library and its C++ tests."""
    build = tmp_path_factory.mktemp("core")
    options = ["-DEDGE_SR_TESTS=ON", "-DEDGE_SR_CUDA=OFF", "-DEDGE_SR_TENSORRT=OFF"]
    options += ["-DCMAKE_INSTALL_LIBDIR=lib"]
    options += ["-GNinja"] if shutil.which("ninja") else []
    run("cmake", "-S", RUNTIME, "-B", build, *options)
    run("cmake", "--build", build, "-j", "2")
    return build
