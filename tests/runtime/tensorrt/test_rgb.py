"""Networks of RGB in TensorRT and in bound sessions of ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
from bundle_support import make_rgb_bundle
from pictures_support import synthetic_rgb

from runtime import Upscaler, cache, engine
from runtime.backends import open_backend
from runtime.backends.onnxruntime_session import CPU, CUDA, DeviceSession, open_session
from runtime.backends.tensorrt import TensorRTBackend
from runtime.errors import UnsupportedError
from runtime.manifest import read_manifest


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rgb_bundle(tmp_path_factory.mktemp("b") / "tiny.esr")


def opened(bundle: Path, tile_size: int = 0) -> TensorRTBackend:
    backend = open_backend(
        "tensorrt", bundle, read_manifest(bundle), precision="fp32", tile_size=tile_size
    )
    assert isinstance(backend, TensorRTBackend)
    return backend


@pytest.fixture
def backend(tensorrt: ModuleType, bundle: Path) -> Iterator[TensorRTBackend]:
    backend = opened(bundle)
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def reference(bundle: Path) -> Any:
    return open_backend("onnxruntime", bundle, read_manifest(bundle), precision="fp32")


def shapes_run(tensorrt: ModuleType) -> set[tuple[int, ...]]:
    calls = tensorrt.STATE.calls
    return {call[1][0] for call in calls if call[0].endswith("set_input_shape")}


def test_whole_frames_are_planar(
    backend: TensorRTBackend, reference: Any, tensorrt: ModuleType
) -> None:
    frame = synthetic_rgb(40, 64)
    for picture in (frame, frame[::-1], frame.astype(np.float32), frame):
        np.testing.assert_array_equal(backend.run(picture), reference.run(picture))
    assert shapes_run(tensorrt) == {(1, 3, 40, 64)}


@pytest.mark.parametrize(("height", "width"), [(100, 130), (40, 200), (30, 20), (1, 1)])
def test_tiles_equal_the_whole_frame(
    tensorrt: ModuleType, bundle: Path, reference: Any, height: int, width: int
) -> None:
    frame = synthetic_rgb(height, width)
    backend = opened(bundle, tile_size=40)
    np.testing.assert_array_equal(backend.run(frame), reference.run(frame))
    backend.close()


def test_tiles_run_in_batches_of_three_channels(tensorrt: ModuleType, bundle: Path) -> None:
    backend = opened(bundle, tile_size=40)
    backend.run(synthetic_rgb(150, 150))
    assert shapes_run(tensorrt) == {(8, 3, 40, 40)}
    backend.close()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_out_is_written(backend: TensorRTBackend, reference: Any, dtype: type) -> None:
    frame, out = synthetic_rgb(40, 64).astype(dtype), np.zeros((80, 128, 3), dtype)
    assert backend.run(frame, out=out) is out
    np.testing.assert_array_equal(out, reference.run(frame))


def test_pictures_of_any_kind_run(tensorrt: ModuleType, bundle: Path) -> None:
    picture = np.dstack([synthetic_rgb(24, 20), np.full((24, 20), 99, np.uint8)])
    with (
        Upscaler.open(bundle, precision="fp32") as upscaler,
        Upscaler.open(bundle, precision="fp32", backend="onnxruntime") as wanted,
    ):
        assert upscaler.info.name == "tensorrt"
        for image in (picture, picture[:, :, 0], picture.astype(np.uint16) * 257):
            np.testing.assert_array_equal(upscaler.upscale(image), wanted.upscale(image))


def test_frames_on_the_device_are_refused(backend: TensorRTBackend) -> None:
    with pytest.raises(UnsupportedError, match="tiny is an RGB network, whose frames cannot stay"):
        backend.run_on_device(np.zeros((4, 4)), np.zeros((8, 8)))


def test_close_gives_everything_back(tensorrt: ModuleType, cuda: Any, bundle: Path) -> None:
    backend = opened(bundle, tile_size=40)
    backend.run(synthetic_rgb(150, 150))
    backend.close()
    assert cuda.fake_live() == 0


@pytest.mark.parametrize(
    ("options", "shapes", "listed"),
    [
        (["--size", "64x48"], [(1, 3, 48, 64)] * 3, "64x48"),
        (["--tile-size", "64"], [(1, 3, 1, 1), *[(8, 3, 64, 64)] * 2], "8 of 64x64"),
    ],
)
def test_plans_are_built_ahead_and_listed(
    tensorrt: ModuleType,
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    shapes: list[tuple[int, ...]],
    listed: str,
) -> None:
    assert engine.main(["build", str(bundle), "--precision", "fp32", *options]) == 0
    builds = [c for c in tensorrt.STATE.calls if c[0] == "Builder.build_serialized_network"]
    assert builds[0][1][0]._profiles[0]._shapes["lr"] == [list(shape) for shape in shapes]
    capsys.readouterr()

    assert cache.main(["ls"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert f"tiny x2 model.fp32.onnx {listed}  Fake GPU" in shown[0]
    (plan,) = json.loads(shown[-1])["plans"]
    assert not plan["damage"]

    tensorrt.STATE.calls.clear()
    backend = opened(bundle, tile_size=64 if "--tile-size" in options else 0)
    backend.run(synthetic_rgb(48, 64))
    backend.close()
    assert not any(call[0].startswith("Builder") for call in tensorrt.STATE.calls)


def test_plan_is_of_the_sides_that_the_network_needs(tensorrt: ModuleType, tmp_path: Path) -> None:
    bundle = make_rgb_bundle(tmp_path / "tiny.esr", is_pooled=True, size_multiple=2)
    arguments = ["build", str(bundle), "--precision", "fp32", "--json"]
    assert engine.main([*arguments, "--size", "63x47"]) == 0
    build = next(c for c in tensorrt.STATE.calls if c[0] == "Builder.build_serialized_network")
    assert build[1][0]._profiles[0]._shapes["lr"] == [[1, 3, 48, 64]] * 3
    frame = synthetic_rgb(47, 63)
    with (
        Upscaler.open(bundle, precision="fp32", tile_size=12) as tiled,
        Upscaler.open(bundle, precision="fp32", backend="onnxruntime") as wanted,
    ):
        np.testing.assert_array_equal(tiled.upscale(frame), wanted.upscale(frame))
    assert (8, 3, 12, 12) in shapes_run(tensorrt)


def test_network_of_global_operations_is_not_built_for_windows(
    tensorrt: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(make_rgb_bundle(tmp_path / "tiny.esr", tileable=False))
    assert engine.main(["build", bundle, "--tile-size", "64"]) == 1
    assert "tiny has global operations and cannot be tiled" in capsys.readouterr().err


@pytest.mark.parametrize("twin", ["", ".f32"])
def test_bound_session_computes_the_same(bundle: Path, twin: str) -> None:
    graph = (bundle / f"model.fp32{twin}.onnx").read_bytes()
    plain = open_session(graph, CPU, threads=1, scale=2)
    session = onnxruntime.InferenceSession(graph, providers=[CPU])
    bound = DeviceSession(session, CUDA, "cpu", 2, captures=True)
    assert bound.channels == plain.channels == 3
    for height in (20, 16, 20):
        frame = synthetic_rgb(height, 30).astype(np.float32 if twin else np.uint8)
        np.testing.assert_array_equal(bound.run(frame), plain.run(frame))
