"""Pictures through networks of RGB, which keep chroma."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from bundle_support import make_rgb_bundle, make_tiny_bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import ModelFormatError, UnsupportedError, Upscaler, bench, info, upscale
from runtime.backends.planar import picture_of, planes_of
from runtime.manifest import read_manifest, write_manifest
from runtime.picture import read_picture, write_picture
from runtime.resample import upscale_bicubic
from runtime.ycbcr import grey_from_rgb


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rgb_bundle(tmp_path_factory.mktemp("b") / "tiny.esr")


@pytest.fixture(scope="module")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rgb_bundle(tmp_path_factory.mktemp("n") / "tiny.esr", 3, is_nearest=True)


@pytest.fixture(scope="module")
def whole_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("w") / "tiny.esr"
    return make_rgb_bundle(folder, is_nearest=True, tileable=False)


@pytest.fixture(scope="module")
def even(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("e") / "tiny.esr"
    return make_rgb_bundle(folder, is_pooled=True, size_multiple=2)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def repeated(picture: np.ndarray, scale: int) -> np.ndarray:
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


# ---- Orders of samples ----


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (1, 1, 3), (1, 9, 3)])
def test_planes_are_the_channels_and_come_back(shape: tuple[int, ...], dtype: type) -> None:
    picture = noise(*shape).astype(dtype)
    planes = planes_of(picture)
    assert planes.shape == (*shape[2:], 1)[:1] + shape[:2]
    assert planes.flags.c_contiguous
    for index, plane in enumerate(planes):
        np.testing.assert_array_equal(plane, picture.reshape(*shape[:2], -1)[:, :, index])
    np.testing.assert_array_equal(picture_of(planes), picture)
    np.testing.assert_array_equal(planes_of(picture[::-1]), planes[:, ::-1])


def test_grey_of_equal_channels_is_their_value() -> None:
    assert grey_from_rgb(np.full((1, 1, 3), 77.0)) == pytest.approx(77.0)
    assert grey_from_rgb(np.array([[[255.0, 0, 0]]])) == pytest.approx(255 * 0.299)


# ---- Pictures ----


@pytest.mark.parametrize(
    "shape", [(1, 1), (5, 7), (17, 40, 3), (5, 3, 4), (1, 1, 3), (1, 9, 4), (8, 1, 3)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_picture_of_any_kind_and_size_comes_back_as_that(
    nearest: Path, shape: tuple[int, ...], dtype: type
) -> None:
    picture = noise(*shape, dtype=dtype)
    with Upscaler.open(nearest) as upscaler:
        sr = upscaler.upscale(picture)
    assert sr.dtype == dtype
    assert sr.shape == (shape[0] * 3, shape[1] * 3, *shape[2:])
    assert sr.flags.c_contiguous
    colours = (slice(None), slice(None), slice(0, 3))[: len(shape)]
    np.testing.assert_array_equal(sr[colours], repeated(picture, 3)[colours])
    if shape[2:] == (4,):
        alpha = np.clip(np.rint(upscale_bicubic(picture[:, :, 3], 3)), 0, np.iinfo(dtype).max)
        np.testing.assert_array_equal(sr[:, :, 3], alpha)


def test_network_is_given_planar_rgb(bundle: Path) -> None:
    picture = noise(9, 12, 3)
    session = onnxruntime.InferenceSession(str(bundle / "model.int8.onnx"))
    (expected,) = session.run(None, {"lr": picture.transpose(2, 0, 1)[None]})
    with Upscaler.open(bundle) as upscaler:
        assert upscaler.channels == "rgb"
        np.testing.assert_array_equal(upscaler.upscale(picture), expected[0].transpose(1, 2, 0))


def test_grey_is_three_equal_channels_weighted_after_the_network(bundle: Path) -> None:
    grey = noise(9, 11)
    with Upscaler.open(bundle) as upscaler:
        rgb = upscaler.upscale_rgb(np.dstack([grey] * 3).astype(np.float32))
        sr = upscaler.upscale(grey)
    assert np.ptp(rgb, axis=2).max() > 1
    np.testing.assert_array_equal(sr, np.clip(np.rint(grey_from_rgb(rgb)), 0, 255))


@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 3), (9, 11, 4)])
def test_16_bits_are_the_8_bit_result_times_257(bundle: Path, shape: tuple[int, ...]) -> None:
    picture = noise(*shape)
    with Upscaler.open(bundle) as upscaler:
        eight = upscaler.upscale(picture).astype(int)
        sixteen = upscaler.upscale(picture.astype(np.uint16) * 257).astype(int)
    assert np.abs(sixteen / 257 - eight).max() <= 0.5 + 1e-6
    assert (sixteen % 257 != 0).any()


def test_float_rgb_is_neither_rounded_nor_clamped(bundle: Path) -> None:
    picture = noise(9, 7, 3)
    with Upscaler.open(bundle, precision="fp32") as upscaler:
        got = upscaler.upscale_rgb(picture.astype(np.float32))
        rounded = upscaler.upscale_rgb(picture)
    assert got.dtype == np.float32
    assert (got != np.rint(got)).any()
    assert got.max() > 255
    np.testing.assert_allclose(np.clip(got, 0, 255), rounded, atol=0.51)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (4, 5, 4)])
@pytest.mark.parametrize("tile_size", [0, 5])
def test_result_goes_into_out(bundle: Path, shape: tuple[int, ...], tile_size: int) -> None:
    picture = noise(*shape)
    out = np.zeros((8, 10, *shape[2:]), np.uint8)
    with Upscaler.open(bundle, tile_size=tile_size) as upscaler:
        assert upscaler.upscale(picture, out) is out
        np.testing.assert_array_equal(out, upscaler.upscale(picture))
        with pytest.raises(ValueError, match="out has shape"):
            upscaler.upscale(noise(4, 6, 3), out)


def test_luminance_alone_is_refused(bundle: Path, tmp_path: Path) -> None:
    with Upscaler.open(bundle) as upscaler:
        assert not upscaler.takes_frames
        with pytest.raises(UnsupportedError, match="tiny is an RGB network; use upscale or"):
            upscaler.upscale_luma(noise(4, 4))
        with pytest.raises(UnsupportedError, match="tiny is an RGB network; use upscale_rgb"):
            upscaler.upscale_frame((noise(4, 4),), subsampling=(0, 0))
    with (
        Upscaler.open(make_tiny_bundle(tmp_path / "y.esr")) as upscaler,
        pytest.raises(UnsupportedError, match="tiny is a luminance network; use upscale or"),
    ):
        upscaler.upscale_rgb(noise(4, 4, 3))


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((4, 4), np.uint8), "is not HxWx3 RGB"),
        (np.zeros((0, 4, 3), np.uint8), "is not HxWx3 RGB"),
        (np.zeros((4, 4, 4), np.uint8), "is not HxWx3 RGB"),
        (np.zeros((4, 4, 3), np.uint16), "uint16 are not uint8 or float32"),
    ],
)
def test_array_that_is_no_rgb_is_refused(bundle: Path, picture: np.ndarray, message: str) -> None:
    with Upscaler.open(bundle) as upscaler, pytest.raises(ValueError, match=message):
        upscaler.upscale_rgb(picture)


# ---- Tiles and sizes ----


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(5, 24))
def test_tiled_equals_whole(bundle: Path, width: int, height: int, tile_size: int) -> None:
    picture = noise(height, width, 3)
    with Upscaler.open(bundle) as whole, Upscaler.open(bundle, tile_size=tile_size) as tiled:
        expected, got = whole.upscale(picture), tiled.upscale(picture)
    difference = np.abs(got.astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 1e-3


def test_tiles_of_too_small_a_radius_differ(bundle: Path, tmp_path: Path) -> None:
    short = make_rgb_bundle(tmp_path / "short.esr")
    write_manifest(short, replace(read_manifest(short), receptive_field_radius=1))
    picture = noise(30, 30, 3)
    with Upscaler.open(bundle) as whole, Upscaler.open(short, tile_size=10) as tiled:
        assert (whole.upscale(picture) != tiled.upscale(picture)).mean() > 0.01


def test_network_of_global_operations_runs_whole_frames_alone(whole_only: Path) -> None:
    message = "tiny has global operations and cannot be tiled; it runs whole frames"
    with pytest.raises(UnsupportedError, match=message):
        Upscaler.open(whole_only, tile_size=64)
    picture = noise(40, 30, 3)
    with Upscaler.open(whole_only) as upscaler:
        np.testing.assert_array_equal(upscaler.upscale(picture), repeated(picture, 2))


def test_refused_tiles_are_one_line_of_the_command(
    whole_only: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "a.png", noise(8, 8, 3))
    paths = [str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--bundle", str(whole_only)]
    assert upscale.main([*paths, "--tile-size", "64"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: tiny has global operations and cannot be tiled; it runs whole frames"
    ]
    assert not (tmp_path / "b.png").exists()
    assert upscale.main(paths) == 0
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png"), repeated(noise(8, 8, 3), 2))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(7, 9), (1, 1), (8, 9), (21, 34)])
def test_sides_are_those_that_the_network_needs(
    even: Path, size: tuple[int, int], dtype: type
) -> None:
    picture = noise(*size, 3, dtype=dtype)
    full = np.pad(picture, [(0, side % 2) for side in size] + [(0, 0)], mode="edge")
    with Upscaler.open(even) as upscaler, Upscaler.open(even, tile_size=8) as tiled:
        expected = upscaler.upscale(full)[: 2 * size[0], : 2 * size[1]]
        got = upscaler.upscale(picture, np.zeros_like(expected))
        np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal(tiled.upscale(picture), expected)
        assert upscaler.upscale(picture).flags.c_contiguous


def test_windows_are_of_whole_size_multiples(tmp_path: Path) -> None:
    bundle = make_rgb_bundle(tmp_path / "tiny.esr", size_multiple=4)
    manifest = read_manifest(bundle)
    assert (manifest.halo, manifest.padded(8), manifest.padded(9)) == (4, 8, 12)
    with pytest.raises(ValueError, match="does not divide by 4"):
        Upscaler.open(bundle, tile_size=18)
    with pytest.raises(ValueError, match="no core with halo 4; use at least 12"):
        Upscaler.open(bundle, tile_size=8)


# ---- Which engine ----


def test_auto_takes_onnx_runtime_and_says_why(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "edge_sr.runtime"), Upscaler.open(bundle) as upscaler:
        assert upscaler.info.name == "onnxruntime"
    assert caplog.messages[0] == (
        "not taken: native: tiny is an RGB network and the native engine upscales luminance; "
        "use onnxruntime or tensorrt"
    )
    with pytest.raises(UnsupportedError, match="tiny is an RGB network"):
        Upscaler.open(bundle, backend="native", device="cuda")


@pytest.mark.parametrize(("model", "manifest"), [("y", "rgb"), ("rgb", "y")])
def test_graph_of_other_channels_is_a_format_error(
    tmp_path: Path, model: str, manifest: str
) -> None:
    make: Any = make_tiny_bundle if model == "y" else make_rgb_bundle
    bundle = make(tmp_path / "tiny.esr")
    write_manifest(bundle, replace(read_manifest(bundle), channels=manifest))
    with pytest.raises(ModelFormatError, match=r"takes [13] channels, the manifest says [13]"):
        Upscaler.open(bundle)


# ---- Commands ----


OPTIONS = ["--size", "24x16", "--samples", "2", "--seconds", "0", "--tile-size", "9"]


def test_bench_measures_rgb_frames(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = bench.parse_args([str(bundle), *OPTIONS])
    result = bench.run(args)
    assert {row["channels"] for row in result["results"]} == {"rgb"}
    assert [row["tile_size"] for row in result["results"]] == [0, 9] * 3
    assert bench.moving_texture(24, 16, "rgb").shape == (16, 24, 3)


def test_info_says_that_a_bundle_is_of_rgb(
    bundle: Path, whole_only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = info.run(info.parse_args([str(bundle)]))
    assert (facts["channels"], facts["tileable"], facts["size_multiple"]) == ("rgb", True, 1)
    shown = capsys.readouterr().out
    assert "tiny x2 on RGB, all files intact" in shown
    assert "halo 2 px" in shown
    assert "native not for fp32, fp16, int8: tiny is an RGB network" in shown
    info.run(info.parse_args([str(whole_only)]))
    assert "not tileable" in capsys.readouterr().out
