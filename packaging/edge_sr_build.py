"""Build backend: a package with the native engine, or without it by EDGE_SR_PURE_PYTHON=1.

setuptools does everything, the native engine by scikit-build-core's plugin. This module switches
the plugin off, or says what is missing where CMake's own words would not help.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

from scikit_build_core.setuptools import build_cmake
from scikit_build_core.setuptools import build_meta as native
from setuptools import build_meta as pure

PURE_PYTHON = os.environ.get("EDGE_SR_PURE_PYTHON", "") not in ("", "0")
COMPILERS = ("c++", "g++", "clang++")
WITHOUT = "or install without the engine: EDGE_SR_PURE_PYTHON=1 pip install ."

_chosen: Any = pure if PURE_PYTHON else native
get_requires_for_build_sdist = native.get_requires_for_build_sdist
build_sdist = native.build_sdist
prepare_metadata_for_build_wheel = _chosen.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = _chosen.prepare_metadata_for_build_editable


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """What the build needs besides pyproject.toml's; ends here, with advice, without a compiler."""
    _require_compiler()
    return list(_chosen.get_requires_for_build_wheel(config_settings))


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    """As for a wheel."""
    _require_compiler()
    return list(_chosen.get_requires_for_build_editable(config_settings))


def build_wheel(
    wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel."""
    return _build(_chosen.build_wheel, wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None
) -> str:
    """Build the engine into the checkout, and a wheel that points there."""
    return _build(_chosen.build_editable, wheel_directory, config_settings, metadata_directory)


def _build(hook: Callable[..., str], *args: Any) -> str:
    if PURE_PYTHON:
        # The plugin's entry point, which setuptools calls wherever the plugin is installed.
        build_cmake.finalize_distribution_options = lambda dist: None
        return hook(*args)
    _require_compiler()
    try:
        return hook(*args)
    except (Exception, SystemExit) as error:
        raise SystemExit(
            "edge-sr: the native engine could not be built, for the reason above; it needs a C++17 "
            f"compiler such as GCC 12 or clang 14, {WITHOUT}"
        ) from error


def _require_compiler() -> None:
    named = os.environ.get("CXX") or os.environ.get("CMAKE_ARGS")
    if PURE_PYTHON or named or any(map(shutil.which, COMPILERS)):
        return
    raise SystemExit(
        "edge-sr: no C++ compiler found for the native engine; install one (Debian, Ubuntu: "
        f"apt install g++) or name it in CXX, {WITHOUT}"
    )
