"""The C library as a user gets it: installed, found by CMake and pkg-config, linked, run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from core_support import RUNTIME, needs_compiler, run
from pictures_support import synthetic_luma

BUNDLE = RUNTIME / "bundles" / "fsrcnn-x2.esr"
EXAMPLES = RUNTIME / "core" / "examples"

pytestmark = [pytest.mark.slow, needs_compiler]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("build")


@pytest.fixture(scope="module", params=["shared", "static"])
def prefix(
    request: pytest.FixtureRequest, build: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    prefix = tmp_path_factory.mktemp("prefix")
    options = ["-DEDGE_SR_CUDA=OFF", "-DEDGE_SR_TENSORRT=OFF", "-DCMAKE_INSTALL_LIBDIR=lib"]
    options += [f"-DBUILD_SHARED_LIBS={'ON' if request.param == 'shared' else 'OFF'}"]
    run("cmake", "-S", RUNTIME, "-B", build, *options, f"-DCMAKE_INSTALL_PREFIX={prefix}")
    run("cmake", "--build", build, "-j", "2")
    run("cmake", "--install", build)
    return prefix


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "lr.pgm"
    assert cv2.imwrite(str(path), synthetic_luma(40, 60))
    return path


def expected_of(picture: Path) -> np.ndarray:
    from runtime.upscaler import Upscaler

    with Upscaler.open(BUNDLE, backend="onnxruntime", precision="int8") as upscaler:
        return upscaler.upscale(cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE))


def assert_upscaled(picture: Path, result: Path) -> None:
    sr = cv2.imread(str(result), cv2.IMREAD_GRAYSCALE)
    assert sr is not None
    difference = np.abs(sr.astype(int) - expected_of(picture))
    # Where a sum lies on the border of two levels, the engines' float32 rounding decides.
    assert difference.max() <= 2
    assert difference.mean() < 0.02


def test_example_builds_with_the_cmake_package(prefix: Path, picture: Path, tmp_path: Path) -> None:
    build = tmp_path / "examples"
    run("cmake", "-S", EXAMPLES, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", build)
    result = tmp_path / "sr.pgm"
    text = run(build / "upscale_image", BUNDLE, picture, result)
    assert "fsrcnn_residual x2, int8 on" in text
    assert_upscaled(picture, result)
    if not (build / "upscale_colour").exists():
        pytest.skip("OpenCV's CMake package absent: the colour example was not built")
    colour, upscaled = tmp_path / "colour.png", tmp_path / "colour-sr.png"
    cv2.imwrite(str(colour), np.dstack([synthetic_luma(20, 30)] * 3))
    run(build / "upscale_colour", BUNDLE, colour, upscaled)
    assert cv2.imread(str(upscaled)).shape == (40, 60, 3)


@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="pkg-config absent")
def test_example_builds_with_pkg_config(prefix: Path, picture: Path, tmp_path: Path) -> None:
    environment = {"PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig")}
    is_static = not list((prefix / "lib").glob("*.so"))
    options = ["--static"] if is_static else []
    flags = run("pkg-config", "--cflags", "--libs", *options, "edge_sr", **environment).split()
    program, result = tmp_path / "upscale_image", tmp_path / "sr.pgm"
    run("cc", "-std=c99", EXAMPLES / "upscale_image.c", "-o", program, *flags)
    run(program, BUNDLE, picture, result, LD_LIBRARY_PATH=str(prefix / "lib"))
    assert_upscaled(picture, result)


def test_wrong_input_is_one_line_and_a_failure(prefix: Path, picture: Path, tmp_path: Path) -> None:
    build = tmp_path / "examples"
    run("cmake", "-S", EXAMPLES, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", build, "--target", "upscale_image")
    for arguments in (
        (tmp_path / "none.esr", picture, tmp_path / "out.pgm"),
        (BUNDLE, BUNDLE / "manifest.json", tmp_path / "out.pgm"),
    ):
        done = subprocess.run([build / "upscale_image", *arguments], capture_output=True, text=True)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert not (tmp_path / "out.pgm").exists()
