from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bundle_support import make_tiny_bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import ModelFormatError, UnsupportedError, Upscaler
from runtime.manifest import file_entry, read_manifest, write_manifest


@pytest.fixture(scope="module", params=[2, 3, 4])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("b") / "tiny.esr", scale=request.param)


@pytest.fixture
def x2(tmp_path: Path) -> Path:
    return make_tiny_bundle(tmp_path / "tiny.esr")


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


@pytest.mark.parametrize(
    "shape", [(1, 1), (5, 7), (17, 40), (6, 6, 3), (5, 3, 4), (1, 1, 3), (1, 9, 4)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_picture_of_any_kind_and_size_keeps_type_and_channels(
    bundle: Path, shape: tuple[int, ...], dtype: type
) -> None:
    with Upscaler.open(bundle) as upscaler:
        sr = upscaler.upscale(noise(*shape, dtype=dtype))
        s = upscaler.scale
    assert sr.shape == (shape[0] * s, shape[1] * s, *shape[2:])
    assert sr.dtype == dtype


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(5, 24))
def test_tiled_equals_whole_on_onnx_runtime(
    bundle: Path, width: int, height: int, tile_size: int
) -> None:
    plane = noise(height, width)
    with Upscaler.open(bundle) as whole, Upscaler.open(bundle, tile_size=tile_size) as tiled:
        expected, got = whole.upscale_luma(plane), tiled.upscale_luma(plane)
    difference = np.abs(got.astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 1e-3


def test_grey_and_equal_rgb_agree_within_rounding(x2: Path) -> None:
    grey = np.clip(noise(12, 12), 60, 190)
    with Upscaler.open(x2) as upscaler:
        rgb = upscaler.upscale(np.repeat(grey[:, :, None], 3, axis=2))
    assert np.ptp(rgb.astype(int), axis=2).max() <= 1


def test_alpha_is_upscaled_beside_the_colours(x2: Path) -> None:
    rgba = noise(8, 8, 4)
    rgba[:, :, 3] = 137
    with Upscaler.open(x2) as upscaler:
        sr = upscaler.upscale(rgba)
        np.testing.assert_array_equal(sr[:, :, :3], upscaler.upscale(rgba[:, :, :3]))
    assert set(np.unique(sr[:, :, 3])) == {137}


def test_deeper_video_is_the_8_bit_result_with_more_levels(x2: Path) -> None:
    plane = noise(9, 11)
    with Upscaler.open(x2) as upscaler:
        eight = upscaler.upscale_luma(plane).astype(int)
        ten = upscaler.upscale_luma(plane.astype(np.uint16) * 4, bit_depth=10).astype(int)
    assert ten.max() <= 1023
    inside = (eight > 0) & (eight < 255)
    assert np.abs(ten / 4 - eight)[inside].max() <= 0.5 + 1e-9


def test_float_luma_is_neither_rounded_nor_clamped(x2: Path) -> None:
    plane = noise(9, 7)
    with Upscaler.open(x2, precision="fp32") as upscaler:
        got = upscaler.upscale_luma(plane.astype(np.float32))
        rounded = upscaler.upscale_luma(plane)
    assert got.dtype == np.float32
    assert (got != np.rint(got)).any()
    np.testing.assert_allclose(np.clip(got, 0, 255), rounded, atol=0.51)


def test_16_bit_grey_is_the_8_bit_result_times_257(x2: Path) -> None:
    plane = noise(9, 11)
    with Upscaler.open(x2) as upscaler:
        eight = upscaler.upscale(plane).astype(int)
        sixteen = upscaler.upscale(plane.astype(np.uint16) * 257).astype(int)
    assert np.abs(sixteen / 257 - eight).max() <= 0.5 + 1e-6


def test_result_goes_into_out(x2: Path) -> None:
    out = np.zeros((8, 10), np.uint8)
    with Upscaler.open(x2) as upscaler:
        assert upscaler.upscale(noise(4, 5), out) is out
        with pytest.raises(ValueError, match="out has shape"):
            upscaler.upscale(noise(4, 6), out)


def test_frames_are_upscaled_one_after_the_other(x2: Path) -> None:
    with Upscaler.open(x2) as upscaler:
        frames = list(upscaler.upscale_frames(noise(4, n) for n in (3, 5)))
    assert [frame.shape for frame in frames] == [(8, 6), (8, 10)]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.float32), "float32 are not uint8 or uint16"),
        (np.zeros((4, 4, 2), np.uint8), "is not HxW, HxWx3 or HxWx4"),
        (np.zeros((0, 4), np.uint8), "is empty"),
        (np.zeros(4, np.uint8), "is not HxW"),
    ],
)
def test_array_that_is_no_picture_is_refused(x2: Path, image: np.ndarray, message: str) -> None:
    with Upscaler.open(x2) as upscaler, pytest.raises(ValueError, match=message):
        upscaler.upscale(image)


def test_bit_depth_and_type_must_fit(x2: Path) -> None:
    with Upscaler.open(x2) as upscaler, pytest.raises(ValueError, match="10-bit luminance"):
        upscaler.upscale_luma(noise(4, 4), bit_depth=10)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"tile_size": 4}, ValueError, "use at least 5"),
        ({"tile_size": -1}, ValueError, "must not be negative"),
        ({"precision": "bf16"}, ValueError, "holds no bf16; it has fp32, fp16, int8"),
        (
            {"backend": "nothing"},
            ValueError,
            "'nothing' is not one of auto tensorrt native onnxruntime",
        ),
        ({"threads": -2}, ValueError, "must not be negative"),
        ({"device": "tpu"}, ValueError, "is not auto, cpu or cuda"),
    ],
)
def test_bad_option_is_refused(
    x2: Path, options: dict[str, object], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        Upscaler.open(x2, **options)  # type: ignore[arg-type]


def test_cuda_without_cuda_is_refused_not_replaced(x2: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has the CUDA provider")
    with pytest.raises(UnsupportedError, match="built without CUDAExecutionProvider"):
        Upscaler.open(x2, device="cuda")


def test_info_names_what_really_runs(x2: Path) -> None:
    with Upscaler.open(x2, precision="fp16", threads=1, device="cpu") as upscaler:
        info = upscaler.info
    assert (info.name, info.provider, info.precision, info.threads) == (
        "onnxruntime",
        "CPUExecutionProvider",
        "fp16",
        1,
    )


def test_graph_that_onnx_runtime_refuses_is_a_format_error(x2: Path) -> None:
    manifest = read_manifest(x2)
    (x2 / "model.int8.onnx").write_bytes(b"nonsense")
    files = {**manifest.files, "model.int8.onnx": file_entry(b"nonsense")}
    write_manifest(x2, type(manifest)(**{**vars(manifest), "files": files}))
    with pytest.raises(ModelFormatError, match="not a graph onnxruntime can load"):
        Upscaler.open(x2)
