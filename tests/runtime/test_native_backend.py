from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from native_reference import read_native, run_float, run_int8
from native_support import make_native_bundle, seed_model
from pictures_support import synthetic_luma

from runtime import ModelFormatError, UnsupportedError, Upscaler
from runtime.backends import open_backend
from runtime.backends.native import NativeBackend
from runtime.installed import installed_bundle
from runtime.manifest import NATIVE_MODEL, file_entry, read_manifest, write_manifest
from runtime.resample import resize_plane
from runtime.video.color import Siting, chroma_phase

pytest.importorskip("runtime._core", reason="this installation is without the native engine")

READY = installed_bundle()
ISAS = {"scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "neon", "neondot"}
INT8_SEEDS = ("x2_int8", "x3_clip", "x4_deep", "x2_enlarged", "x4_enlarged")
SEEDS = (*INT8_SEEDS, "x2_fp32", "x3_enlarged")


def opened(bundle: Path = READY, *, precision: str = "int8", **options: int) -> NativeBackend:
    backend = open_backend("native", bundle, read_manifest(bundle), precision=precision, **options)
    assert isinstance(backend, NativeBackend)
    return backend


def levels_apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(np.float64) - b.astype(np.float64))


@pytest.fixture(scope="module", params=SEEDS)
def seed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_native_bundle(tmp_path_factory.mktemp("n") / "n.esr", seed_model(request.param))


@pytest.fixture
def x2(tmp_path: Path) -> Path:
    return make_native_bundle(tmp_path / "n.esr", seed_model("x2_int8"))


@pytest.mark.parametrize("shape", [(1, 1), (1, 23), (19, 1), (2, 3), (37, 29)])
def test_float_result_is_that_of_the_reference(seed: Path, shape: tuple[int, int]) -> None:
    lr = synthetic_luma(*shape)
    wanted = run_float(read_native((seed / NATIVE_MODEL).read_bytes()), lr)
    sr = opened(seed, precision="fp32").run(lr.astype(np.float32))
    assert sr.dtype == np.float32
    np.testing.assert_allclose(sr, wanted, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("name", INT8_SEEDS)
def test_int8_result_is_that_of_the_reference(tmp_path: Path, name: str) -> None:
    bundle, lr = make_native_bundle(tmp_path / "n.esr", seed_model(name)), synthetic_luma(37, 29)
    wanted = run_int8(read_native(seed_model(name)), lr)
    sr = opened(bundle).run(lr.astype(np.float32))
    assert levels_apart(sr, wanted).max() <= 0.01


@pytest.mark.parametrize(("precision", "share"), [("fp32", 1e-4), ("int8", 1e-3)])
def test_ready_bundle_gives_what_onnx_runtime_gives(precision: str, share: float) -> None:
    lr = synthetic_luma(120, 161)
    with Upscaler.open(READY, backend="onnxruntime", precision=precision) as reference:
        wanted = reference.upscale_luma(lr)
    difference = levels_apart(opened(precision=precision).run(lr), wanted)
    assert (difference > (0 if precision == "fp32" else 1)).mean() <= share
    assert difference.max() <= (1 if precision == "fp32" else 8)


@pytest.mark.parametrize("bit_depth", range(9, 17))
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_deep_planes_are_what_onnx_runtime_gives(precision: str, bit_depth: int) -> None:
    unit, rng = 2 ** (bit_depth - 8), np.random.default_rng(bit_depth)
    grain = rng.integers(0, unit, (60, 70))
    lr = (synthetic_luma(60, 70).astype(np.uint16) * unit + grain).astype(np.uint16)
    with Upscaler.open(READY, backend="onnxruntime", precision=precision) as reference:
        wanted = reference.upscale_luma(lr, bit_depth=bit_depth)
    sr = opened(precision=precision).run(lr, bit_depth=bit_depth)
    assert sr.dtype == np.uint16
    assert sr.max() < 2**bit_depth
    allowed = 1 if precision == "fp32" else unit
    assert (levels_apart(sr, wanted) > allowed).mean() <= 1e-3


def test_float_samples_are_neither_rounded_nor_clamped() -> None:
    lr = synthetic_luma(40, 50)
    backend = opened(precision="fp32")
    grey = backend.run(lr.astype(np.float32))
    assert grey.min() < 0 or grey.max() > 255
    assert (grey != np.rint(grey)).any()
    np.testing.assert_array_equal(np.clip(np.rint(grey), 0, 255), backend.run(lr))


@pytest.mark.parametrize(
    "view",
    [
        lambda plane: plane[3:40, 5:58],
        lambda plane: plane[::-1],
        lambda plane: plane[::2],
        lambda plane: plane[:, ::2],
        lambda plane: plane[:, ::-1],
        lambda plane: np.asfortranarray(plane),
        lambda plane: plane[:1],
        lambda plane: plane[:, :1],
    ],
)
def test_any_view_is_read_as_its_copy_would_be(view: object) -> None:
    plane = view(synthetic_luma(50, 64))  # type: ignore[operator]
    backend = opened()
    np.testing.assert_array_equal(backend.run(plane), backend.run(plane.copy(order="C")))


def test_foreign_byte_order_is_read() -> None:
    lr = synthetic_luma(20, 30).astype(np.uint16) * 4
    backend = opened()
    sr = backend.run(lr.astype(">u2"), bit_depth=10)
    np.testing.assert_array_equal(sr, backend.run(lr, bit_depth=10))


def test_read_only_plane_is_read_and_not_written() -> None:
    lr = synthetic_luma(20, 30)
    lr.flags.writeable = False
    before = lr.copy()
    assert opened().run(lr).shape == (40, 60)
    np.testing.assert_array_equal(lr, before)


def test_result_goes_into_out_even_into_a_view() -> None:
    lr, backend = synthetic_luma(20, 30), opened()
    wanted = backend.run(lr)
    rows = np.zeros((50, 80), np.uint8)
    rgb = np.zeros((40, 60, 3), np.uint8)
    for out in (rows[5:45, 10:70], rgb[:, :, 1]):
        assert backend.run(lr, out=out) is out
        np.testing.assert_array_equal(out, wanted)
    # Nothing beside it was touched.
    assert rows.sum(dtype=int) == rgb.sum(dtype=int) == wanted.sum(dtype=int)


def test_out_that_overlaps_the_input_is_refused() -> None:
    memory = np.zeros((40, 60), np.uint8)
    with pytest.raises(ValueError, match="overlap"):
        opened().run(memory[:20, :30], out=memory)


@pytest.mark.parametrize("threads", [2, 7])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_threads_do_not_change_the_result(threads: int, precision: str) -> None:
    lr = synthetic_luma(73, 151)
    one, many = opened(precision=precision, threads=1), opened(precision=precision, threads=threads)
    assert (one.info.threads, many.info.threads) == (1, threads)
    np.testing.assert_array_equal(many.run(lr), one.run(lr))


@pytest.mark.parametrize("tile_size", [17, 40, 64, 10**12])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_tiles_do_not_change_the_result(tile_size: int, precision: str) -> None:
    lr = synthetic_luma(73, 90)
    with Upscaler.open(READY, backend="native", precision=precision) as whole:
        wanted = whole.upscale_luma(lr)
    with Upscaler.open(READY, backend="native", precision=precision, tile_size=tile_size) as tiled:
        np.testing.assert_array_equal(tiled.upscale_luma(lr), wanted)


def test_calls_from_several_threads_take_turns() -> None:
    backend = opened(threads=2)
    planes = [synthetic_luma(40 + n, 60 - n, seed=n) for n in range(8)]
    wanted = [backend.run(plane) for plane in planes]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for sr, expected in zip(pool.map(backend.run, planes), wanted, strict=True):
                np.testing.assert_array_equal(sr, expected)


def test_other_threads_run_meanwhile() -> None:
    backend, lr = opened(precision="fp32", threads=1), np.zeros((1080, 1920), np.uint8)
    span: list[float] = []

    def upscale() -> None:
        span.append(time.perf_counter())
        backend.run(lr)
        span.append(time.perf_counter())

    thread = threading.Thread(target=upscale)
    moments = []
    thread.start()
    while thread.is_alive():
        moments.append(time.perf_counter())
    # Python lets a thread run for 5 ms before another one may have its lock.
    inside = [m for m in moments if span[0] + 0.02 < m < span[1] - 0.02]
    assert inside


UPSCALE_A_FILE = """
import sys
import numpy as np
from runtime import Upscaler
with Upscaler.open(sys.argv[1], backend="native", precision="int8") as upscaler:
    np.save(sys.argv[3], upscaler.upscale_luma(np.load(sys.argv[2])))
    print(upscaler.info.provider)
"""


@pytest.mark.parametrize("isa", ["scalar", "avx2"])
def test_isa_is_capped_by_the_environment_and_int8_stays_the_same(isa: str, tmp_path: Path) -> None:
    if isa == "avx2" and not opened().info.provider.startswith("avx"):
        pytest.skip("this CPU has no AVX2")
    source, target = tmp_path / "lr.npy", tmp_path / "sr.npy"
    lr = synthetic_luma(30, 40)
    np.save(source, lr)
    run = subprocess.run(
        [sys.executable, "-c", UPSCALE_A_FILE, READY, source, target],
        env={**os.environ, "EDGE_SR_ISA": isa},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == isa
    np.testing.assert_array_equal(np.load(target), opened().run(lr))


def test_info_names_the_isa_and_the_threads() -> None:
    info = opened(threads=3).info
    assert (info.name, info.device, info.precision, info.threads) == ("native", "cpu", "int8", 3)
    assert info.provider in ISAS
    assert info.version.count(".") == 2
    assert info.tiles_itself


def test_bf16_is_close_to_fp32_or_says_that_fp32_runs(tmp_path: Path) -> None:
    model = (READY / NATIVE_MODEL).read_bytes()
    bundle = make_native_bundle(tmp_path / "n.esr", model, precisions=("fp32", "bf16"))
    lr = synthetic_luma(64, 64)
    fp32, bf16 = opened(bundle, precision="fp32"), opened(bundle, precision="bf16")
    difference = levels_apart(bf16.run(lr), fp32.run(lr))
    assert difference.mean() < 0.5
    assert difference.any() == (bf16.info.precision == "bf16")
    assert bf16.info.precision in ("bf16", "fp32")


@pytest.mark.parametrize("location", ["left", "center", "top_left", "top"])
@pytest.mark.parametrize("subsampling", [(2, 2), (2, 1), (1, 1)])
@pytest.mark.parametrize("bit_depth", [8, 10])
@pytest.mark.parametrize("size", [(33, 47), (32, 48), (1, 1)])
def test_frame_is_luma_by_the_network_and_chroma_as_resampled_in_numpy(
    seed: Path,
    location: str,
    subsampling: tuple[int, int],
    bit_depth: int,
    size: tuple[int, int],
) -> None:
    (height, width), (x, y) = size, subsampling
    dtype, unit = (np.uint8, 1) if bit_depth == 8 else (np.uint16, 4)
    chroma_size = -(-height // y), -(-width // x)
    planes = tuple(
        synthetic_luma(*shape, seed=n).astype(dtype) * dtype(unit)
        for n, shape in enumerate([size, chroma_size, chroma_size])
    )
    backend = opened(seed, precision="fp32")
    scale = read_manifest(seed).scale
    luma, *chroma = backend.run_frame(
        planes, bit_depth=bit_depth, subsampling=subsampling, location=location
    )
    np.testing.assert_array_equal(luma, backend.run(planes[0], bit_depth=bit_depth))
    phases = {
        "phase_x": chroma_phase(x, location in ("left", "top_left")),
        "phase_y": chroma_phase(y, location in ("top", "top_left")),
    }
    for plane, sr in zip(planes[1:], chroma, strict=True):
        full = resize_plane(plane, plane.shape[1] * scale, plane.shape[0] * scale, **phases)
        wanted = np.clip(np.rint(full), 0, 2**bit_depth - 1)[: sr.shape[0], : sr.shape[1]]
        assert sr.shape == (-(-height * scale // y), -(-width * scale // x))
        assert sr.dtype == dtype
        assert levels_apart(sr, wanted).max() <= 1
        assert (sr != wanted).mean() <= 0.01


def test_names_of_sitings_are_those_of_the_engine() -> None:
    assert [Siting(*s).location for s in ((1, 0), (0, 0), (1, 1), (0, 1))] == [
        "left",
        "center",
        "top_left",
        "top",
    ]


def test_grey_frame_is_its_luma() -> None:
    lr, backend = synthetic_luma(20, 30), opened()
    (sr,) = backend.run_frame((lr,), bit_depth=8, subsampling=(0, 0), location="left")
    np.testing.assert_array_equal(sr, backend.run(lr))


@pytest.mark.parametrize(
    ("shapes", "format_name", "location", "message"),
    [
        ([(8, 8), (4, 4)], "yuv420p", "left", "2 planes are no frame of format yuv420p"),
        ([(8, 8), (4, 4), (4, 5)], "yuv420p", "left", "plane 2 does not have the size"),
        ([(8, 8), (4, 4), (3, 4)], "yuv420p", "left", "plane 2 does not have the size"),
        ([(8, 8), (4, 4), (4, 4)], "yuv444p", "left", "plane 1 does not have the size"),
        ([(8, 8)], "rgb", "left", "format rgb is not grey"),
        ([(8, 8)], "grey", "below", "chroma location below is not left"),
    ],
)
def test_frame_that_does_not_fit_is_refused(
    shapes: list[tuple[int, int]], format_name: str, location: str, message: str
) -> None:
    engine = opened()._opened()
    lr = [np.zeros(shape, np.uint8) for shape in shapes]
    sr = [np.zeros((2 * height, 2 * width), np.uint8) for height, width in shapes]
    with pytest.raises(ValueError, match=message):
        engine.upscale_frame(lr, sr, format_name, location)


@pytest.mark.parametrize(
    ("lr", "sr", "message"),
    [
        (np.zeros((4, 4), np.uint8), np.zeros((8, 9), np.uint8), "is not 2 times lr of 4x4"),
        (np.zeros((4, 4), np.uint8), np.zeros((8, 8), np.float32), "differ in sample type"),
        (np.zeros((4, 4)), np.zeros((8, 8)), "not uint8, uint16 or float32"),
        (np.zeros((4, 8), np.uint8)[:, ::2], np.zeros((8, 8), np.uint8), "not contiguous"),
        (np.zeros((0, 4), np.uint8), np.zeros((0, 8), np.uint8), "not within 1x1"),
    ],
)
def test_planes_that_do_not_fit_are_refused(lr: np.ndarray, sr: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        opened()._opened().upscale(lr, sr)


def test_result_is_never_written_into_a_copy() -> None:
    engine, lr = opened()._opened(), np.zeros((4, 4), np.uint8)
    frozen = np.zeros((8, 8), np.uint8)
    frozen.flags.writeable = False
    for sr in (frozen, [[0] * 8] * 8):
        with pytest.raises(TypeError):
            engine.upscale(lr, sr)


@pytest.mark.parametrize("bit_depth", [8, 17, 0, -1])
def test_depth_that_16_bit_samples_cannot_have_is_refused(bit_depth: int) -> None:
    with pytest.raises(ValueError, match=f"with {bit_depth} bits"):
        opened().run(np.zeros((4, 4), np.uint16), bit_depth=bit_depth)


def test_closed_engine_says_so() -> None:
    backend = opened()
    backend.close()
    with pytest.raises(ValueError, match="is closed"):
        backend.run(np.zeros((4, 4), np.uint8))


def test_damaged_model_is_refused_before_the_engine_sees_it(x2: Path) -> None:
    data = bytearray((x2 / NATIVE_MODEL).read_bytes())
    data[-1] ^= 1
    (x2 / NATIVE_MODEL).write_bytes(bytes(data))
    with pytest.raises(ModelFormatError, match="sha256"):
        opened(x2)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\xff" * 64, seed_model("x2_int8")[:-9]])
def test_malformed_model_is_a_format_error(x2: Path, data: bytes) -> None:
    (x2 / NATIVE_MODEL).write_bytes(data)
    manifest = replace(read_manifest(x2), files={NATIVE_MODEL: file_entry(data)})
    write_manifest(x2, manifest)
    with pytest.raises(ModelFormatError):
        opened(x2)


def test_model_without_int8_weights_refuses_int8(tmp_path: Path) -> None:
    bundle = make_native_bundle(
        tmp_path / "n.esr", seed_model("x2_fp32"), precisions=("fp32", "int8")
    )
    with pytest.raises(UnsupportedError, match="int8"):
        opened(bundle)


def test_tile_without_core_is_refused() -> None:
    with pytest.raises(ValueError, match="use at least 17"):
        Upscaler.open(READY, backend="native", tile_size=16)
