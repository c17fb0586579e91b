from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENGINE_FOLDERS = (
    "runtime/core",
    "runtime/cmake",
    "runtime/bindings",
    "edge_sr/native",
    "packaging",
)
pytest.importorskip("setuptools", minversion="77", reason="packages are built with setuptools")
pytest.importorskip("scikit_build_core", reason="packages are built with scikit-build-core")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone holds, without what builds have left in this one."""
    target = tmp_path_factory.mktemp("clone") / "edge-sr"
    leftovers = shutil.ignore_patterns("__pycache__", "*.so", "*.pyi", "*.egg-info", "build", ".*")
    target.mkdir()
    for name in ("calibration", "edge_sr", "export", "packaging", "runtime", "tests"):
        shutil.copytree(ROOT / name, target / name, ignore=leftovers)
    for name in ("MANIFEST.in", "pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    return target


def run_hook(checkout: Path, call: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call a hook of the build backend as a front end does."""
    code = f"import sys; sys.path.insert(0, 'packaging'); import edge_sr_build as b; b.{call}"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=checkout,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_source_package_holds_the_engine(checkout: Path, tmp_path: Path) -> None:
    done = run_hook(checkout, f"build_sdist({str(tmp_path)!r})")
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as package:
        held = {name.partition("/")[2] for name in package.getnames()}
    sources = {
        str(path.relative_to(checkout))
        for folder in ENGINE_FOLDERS
        for path in (checkout / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert len(sources) > 80
    assert sources <= held
    assert "tests/core/CMakeLists.txt" in held
    assert "runtime/bundles/fsrcnn-x2.esr/model.native" in held
    assert not [name for name in held if name.endswith((".so", ".pyc"))]


def test_package_without_the_engine_is_for_every_machine(checkout: Path, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    build = f"build_wheel({str(tmp_path)!r})"
    done = run_hook(checkout, build, EDGE_SR_PURE_PYTHON="1", PATH=nowhere, CXX="")
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.whl")
    assert archive.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(archive).namelist()
    assert "runtime/upscaler.py" in names
    assert not [name for name in names if "_core" in name or "_native" in name]


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_missing_compiler_is_one_line_with_both_ways_out(checkout: Path, kind: str) -> None:
    hook = f"get_requires_for_build_{kind}()"
    done = run_hook(checkout, hook, PATH="/nowhere", CXX="", CMAKE_ARGS="")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "apt install g++" in line
    assert "EDGE_SR_PURE_PYTHON=1 pip install ." in line


def test_compiler_that_fails_is_no_silent_package_without_the_engine(
    checkout: Path, tmp_path: Path
) -> None:
    shutil.copytree(checkout, tmp_path / "broken")
    done = run_hook(tmp_path / "broken", f"build_wheel({str(tmp_path)!r})", CXX="/bin/false")
    assert done.returncode == 1
    assert "the native engine could not be built, for the reason above" in done.stderr
    assert not list(tmp_path.glob("*.whl"))
