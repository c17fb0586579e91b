"""Build backend: wheels with the native engine, or without it by EDGE_SR_PURE_PYTHON=1.

Everything is done by setuptools, with scikit-build-core's plugin for the native engine; this module
chooses what is installed for the build and says what is missing before CMake does.
"""

from __future__ import annotations

import os
import shutil
from typing import Any

from setuptools import build_meta

PURE_PYTHON = os.environ.get("EDGE_SR_PURE_PYTHON", "") not in ("", "0")
# The plugin acts as soon as it is installed, so a pure build must not ask for it.
NATIVE_REQUIREMENTS = ["scikit-build-core[setuptools]>=1.0.3", "nanobind>=3.0.1"]
COMPILERS = ("c++", "g++", "clang++")

build_sdist = build_meta.build_sdist
get_requires_for_build_sdist = build_meta.get_requires_for_build_sdist
prepare_metadata_for_build_wheel = build_meta.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = build_meta.prepare_metadata_for_build_editable
build_wheel = build_meta.build_wheel
build_editable = build_meta.build_editable


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """What the chosen build needs; ends here, with advice, if there is no compiler."""
    return build_meta.get_requires_for_build_wheel(config_settings) + _native_requirements()


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    """What the chosen build needs; ends here, with advice, if there is no compiler."""
    return build_meta.get_requires_for_build_editable(config_settings) + _native_requirements()


def _native_requirements() -> list[str]:
    if PURE_PYTHON:
        return []
    if not os.environ.get("CXX") and not any(map(shutil.which, COMPILERS)):
        raise SystemExit(
            "edge-sr: no C++ compiler found for the native engine; install one (Debian, Ubuntu: "
            "apt install g++) or set CXX, or install without the engine: "
            "EDGE_SR_PURE_PYTHON=1 pip install ."
        )
    wanted = list(NATIVE_REQUIREMENTS)
    if not shutil.which("cmake"):
        wanted.append("cmake>=3.21")
    if not shutil.which("ninja"):
        wanted.append("ninja>=1.10")
    return wanted
