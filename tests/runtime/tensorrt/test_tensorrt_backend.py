from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pictures_support import synthetic_luma

from runtime import Upscaler
from runtime.backends import BACKENDS, open_backend
from runtime.backends.tensorrt import TensorRTBackend
from runtime.backends.tensorrt_cache import machine_facts
from runtime.errors import BackendError, UnsupportedError
from runtime.installed import installed_bundle
from runtime.manifest import read_manifest
from runtime.plan_cache import PlanCache

READY = installed_bundle()


def opened(precision: str = "int8", tile_size: int = 0) -> TensorRTBackend:
    backend = open_backend(
        "tensorrt", READY, read_manifest(READY), precision=precision, tile_size=tile_size
    )
    assert isinstance(backend, TensorRTBackend)
    return backend


@pytest.fixture
def backend(tensorrt: ModuleType) -> Iterator[TensorRTBackend]:
    backend = opened()
    yield backend
    backend.close()


def expected(plane: np.ndarray, precision: str = "int8", **options: Any) -> np.ndarray:
    reference = open_backend("onnxruntime", READY, read_manifest(READY), precision=precision)
    return reference.run(plane, **options)


def builds(tensorrt: ModuleType) -> int:
    return sum(call[0] == "Builder.build_serialized_network" for call in tensorrt.STATE.calls)


# ---- Results ----


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_whole_frames_are_what_the_graph_computes(tensorrt: ModuleType, precision: str) -> None:
    frame = synthetic_luma(40, 64)
    backend = opened(precision)

    first = backend.run(frame)
    again = backend.run(frame[::-1])

    assert np.array_equal(first, expected(frame, precision))
    assert np.array_equal(again, expected(frame[::-1], precision))
    assert backend.info.precision == precision
    backend.close()


def test_second_frame_of_a_size_is_one_graph_launch(backend: TensorRTBackend, cuda: Any) -> None:
    backend.run(synthetic_luma(40, 64))
    cuda.fake_reset()

    backend.run(synthetic_luma(40, 64))

    calls = cuda.fake_calls().decode().split()
    assert [call for call in calls if call not in ("cuCtxSetCurrent", "cuStreamWaitEvent")] == [
        "cuGraphLaunch",
        "cuStreamSynchronize",
    ]


@pytest.mark.parametrize(("height", "width"), [(100, 130), (64, 64), (40, 200), (30, 20), (1, 1)])
def test_tiles_equal_the_whole_frame(tensorrt: ModuleType, height: int, width: int) -> None:
    frame = synthetic_luma(height, width)
    backend = opened(tile_size=64)

    assert np.array_equal(backend.run(frame), expected(frame))
    backend.close()


def test_tiles_run_in_batches_of_one_shape(tensorrt: ModuleType) -> None:
    backend = opened(tile_size=40)

    backend.run(synthetic_luma(150, 150))

    shapes = [c[1][0] for c in tensorrt.STATE.calls if c[0].endswith("set_input_shape")]
    assert set(shapes) == {(8, 1, 40, 40)}
    backend.close()


def test_a_frame_of_another_size_runs_in_windows_of_one_more_plan(
    backend: TensorRTBackend, tensorrt: ModuleType
) -> None:
    backend.run(synthetic_luma(40, 64))
    for height, width in ((50, 300), (20, 30), (300, 280)):
        frame = synthetic_luma(height, width)
        assert np.array_equal(backend.run(frame), expected(frame))

    assert builds(tensorrt) == 2


def test_a_plan_that_was_built_before_serves_its_size(
    backend: TensorRTBackend, tensorrt: ModuleType
) -> None:
    other = opened()
    other.run(synthetic_luma(20, 30))
    other.close()

    backend.run(synthetic_luma(40, 64))
    backend.run(synthetic_luma(20, 30))

    assert builds(tensorrt) == 2


def test_deep_and_float_samples_take_the_twin(backend: TensorRTBackend) -> None:
    deep = synthetic_luma(40, 64).astype(np.uint16) * 4
    grey = synthetic_luma(40, 64).astype(np.float32)

    assert np.array_equal(backend.run(deep, bit_depth=10), expected(deep, bit_depth=10))
    assert np.array_equal(backend.run(grey), expected(grey))


def test_out_is_written(backend: TensorRTBackend) -> None:
    frame = synthetic_luma(40, 64)
    for dtype in (np.uint8, np.uint16):
        out = np.zeros((80, 128), dtype)
        assert backend.run(frame.astype(dtype), out=out) is out
        assert np.array_equal(out, expected(frame.astype(dtype)))


def test_results_of_threads_do_not_mix(backend: TensorRTBackend) -> None:
    frames = [np.roll(synthetic_luma(40, 64), shift, axis=1) for shift in range(8)]
    results: dict[int, np.ndarray] = {}

    def work(index: int) -> None:
        for _ in range(3):
            results[index] = backend.run(frames[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(np.array_equal(results[i], expected(frames[i])) for i in range(8))


def test_close_gives_everything_back(tensorrt: ModuleType, cuda: Any) -> None:
    backend = opened()
    backend.run(synthetic_luma(40, 64))
    backend.run(synthetic_luma(300, 300))
    assert cuda.fake_live() > 0

    backend.close()

    assert cuda.fake_live() == 0
    with pytest.raises(ValueError, match="closed"):
        backend.run(synthetic_luma(40, 64))


# ---- Memory on the device ----


class DeviceArray:
    """Host memory that says it lies on the device, which is true of the fake driver's."""

    def __init__(self, values: np.ndarray, stream: int | None = None) -> None:
        self.values, self.stream = values, stream

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        facts: dict[str, Any] = dict(self.values.__array_interface__)
        return facts | {"version": 3, "stream": self.stream}


def allocated(height: int, width: int, dtype: type, offset: int = 0) -> np.ndarray:
    """Memory that begins ``offset`` bytes behind a multiple of 256."""
    size = height * width * np.dtype(dtype).itemsize
    memory = np.full(size + 512, 7, np.uint8)
    start = -memory.ctypes.data % 256 + offset
    return memory[start : start + size].view(dtype).reshape(height, width)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("gap", "offset"), [(0, 0), (24, 0), (0, 64)])
def test_planes_on_the_device_stay_there(
    backend: TensorRTBackend, dtype: type, gap: int, offset: int, cuda: Any
) -> None:
    lr = allocated(40, 64 + gap, dtype, offset)
    sr = allocated(80, 128 + gap, dtype, offset)
    sr[:] = 7
    lr[:, :64] = synthetic_luma(40, 64)
    cuda.fake_reset()

    backend.run_on_device(DeviceArray(lr[:, :64], stream=2), DeviceArray(sr[:, :128]))

    assert np.array_equal(sr[:, :128], expected(lr[:, :64]))
    assert (sr[:, 128:] == 7).all()
    calls = cuda.fake_calls().decode().split()
    assert not [call for call in calls if "HtoD" in call or "DtoH" in call]
    assert ("cuMemcpy2DAsync_v2" in calls) == (gap + offset > 0)


def test_on_a_stream_of_the_caller_s_the_call_does_not_wait(
    backend: TensorRTBackend, cuda: Any
) -> None:
    lr, sr = synthetic_luma(40, 64), np.zeros((80, 128), np.uint8)
    backend.run_on_device(DeviceArray(lr), DeviceArray(sr))
    cuda.fake_reset()

    backend.run_on_device(DeviceArray(lr), DeviceArray(sr), stream=1)

    assert "cuStreamSynchronize" not in cuda.fake_calls().decode()


@pytest.mark.parametrize(
    ("sr", "text"),
    [
        (np.zeros((80, 127), np.uint8), "127x80 pixels, needed 128x80"),
        (np.zeros((80, 128), np.float32), "not both"),
    ],
)
def test_wrong_results_on_the_device_are_refused(
    backend: TensorRTBackend, sr: np.ndarray, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        backend.run_on_device(DeviceArray(synthetic_luma(40, 64)), DeviceArray(sr))


# ---- Refusals and failures ----


def test_registry_has_it_and_auto_prefers_it(tensorrt: ModuleType) -> None:
    assert next(iter(BACKENDS)) == "tensorrt"

    with Upscaler.open(READY) as upscaler:
        assert upscaler.info.name == "tensorrt"
        assert upscaler.info.provider == "Fake GPU"
        assert upscaler.info.version == "10.3.0"
    with Upscaler.open(READY, device="cpu") as upscaler:
        assert upscaler.info.name == "native"


def test_auto_tells_why_it_was_not_taken(
    tensorrt: ModuleType, cuda: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cuda.fake_devices(0)
    with caplog.at_level(logging.INFO, "edge_sr.runtime"):
        Upscaler.open(READY).close()

    assert "not taken: tensorrt: the CUDA driver sees no device" in caplog.text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"precision": "bf16"}, "no bf16 graph"),
        ({"precision": "int8", "device": "cpu"}, "not on cpu"),
    ],
)
def test_what_it_cannot_do_is_refused(
    tensorrt: ModuleType, options: dict[str, str], text: str
) -> None:
    with pytest.raises(UnsupportedError, match=text):
        open_backend("tensorrt", READY, read_manifest(READY), **options)


DRIVER_CALLS = [
    "cuStreamCreate",
    "cuEventCreate",
    "cuMemHostAlloc",
    "cuMemAlloc_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuStreamSynchronize",
    "cuCtxSetCurrent",
]
LIBRARY_CALLS = [
    "IExecutionContext.set_input_shape",
    "IExecutionContext.set_tensor_address",
    "IExecutionContext.execute_async_v3",
]


@pytest.mark.parametrize("call", DRIVER_CALLS)
def test_a_failing_driver_call_is_one_clear_error(
    backend: TensorRTBackend, cuda: Any, call: str
) -> None:
    cuda.fake_fail(call.encode(), 0, 999)

    with pytest.raises(BackendError, match=rf"{call} failed: a failure .* \(CUDA error 999\)"):
        backend.run(synthetic_luma(40, 64))


@pytest.mark.parametrize("call", LIBRARY_CALLS)
def test_a_failing_call_of_tensorrt_is_one_clear_error(
    backend: TensorRTBackend, tensorrt: ModuleType, call: str
) -> None:
    tensorrt.STATE.failures[call] = False
    out = np.full((80, 128), 7, np.uint8)

    with pytest.raises(BackendError, match="TensorRT"):
        backend.run(synthetic_luma(40, 64), out=out)

    assert (out == 7).all()


@pytest.mark.parametrize(
    "call", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"]
)
def test_without_graphs_batches_are_launched_call_by_call_and_it_says_so(
    backend: TensorRTBackend, cuda: Any, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    cuda.fake_fail(call.encode(), 0, 900)
    frame = synthetic_luma(40, 64)

    results = [backend.run(frame) for _ in range(2)]

    assert all(np.array_equal(result, expected(frame)) for result in results)
    assert caplog.text.count("no CUDA graph") == 1


def test_a_frame_that_does_not_fit_runs_in_windows(
    backend: TensorRTBackend, tensorrt: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    tensorrt.STATE.failures["ICudaEngine.create_execution_context"] = lambda engine: (
        engine._shapes["lr"][2][3] > 256
    )
    frame = synthetic_luma(270, 300)

    assert np.array_equal(backend.run(frame), expected(frame))
    assert "frames of 300x270 run in windows" in caplog.text


def test_windows_that_do_not_fit_get_smaller(
    backend: TensorRTBackend, tensorrt: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    tensorrt.STATE.failures["ICudaEngine.create_execution_context"] = lambda engine: (
        engine._shapes["lr"][2][3] > 100
    )
    frame = synthetic_luma(150, 170)

    assert np.array_equal(backend.run(frame), expected(frame))
    assert "windows of 64 pixels instead of 128" in caplog.text


def test_no_memory_at_all_is_an_error(backend: TensorRTBackend, tensorrt: ModuleType) -> None:
    tensorrt.STATE.failures["ICudaEngine.create_execution_context"] = None

    with pytest.raises(BackendError, match="no memory for it is left"):
        backend.run(synthetic_luma(150, 170))


def test_one_lane_is_enough_where_memory_is_short(
    backend: TensorRTBackend, tensorrt: ModuleType
) -> None:
    made = []

    def refuse_the_second(engine: Any) -> bool:
        made.append(engine)
        return len(made) > 1

    tensorrt.STATE.failures["ICudaEngine.create_execution_context"] = refuse_the_second
    frame = synthetic_luma(300, 300)
    backend._tile_size = 64

    assert np.array_equal(backend.run(frame), expected(frame))


# ---- The cache ----


def test_the_next_process_finds_the_plan(tensorrt: ModuleType) -> None:
    for _ in range(2):
        backend = opened()
        backend.run(synthetic_luma(40, 64))
        backend.close()

    assert builds(tensorrt) == 1


def test_a_new_tensorrt_builds_again_and_says_why(
    tensorrt: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened().run(synthetic_luma(40, 64))
    monkeypatch.setattr(tensorrt, "__version__", "10.13.3")

    opened().run(synthetic_luma(40, 64))

    assert builds(tensorrt) == 2
    assert "building the plan again: the cached plan is of another machine" in caplog.text
    assert "TensorRT is 10.13.3, was 10.3.0" in caplog.text


def test_the_build_of_a_wheel_is_no_other_tensorrt(
    tensorrt: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt, "__version__", "10.3.0.26.post1")

    assert machine_facts()["TensorRT"] == "10.3.0"


def test_a_plan_that_does_not_load_is_built_again(
    tensorrt: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    opened().run(synthetic_luma(40, 64))
    (entry,) = PlanCache().entries()
    PlanCache().store(entry.key, b"a plan that TensorRT refuses")
    frame = synthetic_luma(40, 64)

    assert np.array_equal(opened().run(frame), expected(frame))
    assert builds(tensorrt) == 2
    assert "the cached plan does not load: TensorRT refused the plan: magic tag" in caplog.text


def test_a_cache_that_can_only_be_read_is_read(
    tensorrt: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise PermissionError("read-only file system")

    opened().run(synthetic_luma(40, 64))
    monkeypatch.setattr(PlanCache, "locked", refuse)

    opened().run(synthetic_luma(40, 64))

    assert builds(tensorrt) == 1


def test_a_cache_that_cannot_be_written_costs_a_warning(
    tensorrt: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    frame = synthetic_luma(40, 64)

    assert np.array_equal(opened().run(frame), expected(frame))
    assert "the plan is not kept" in caplog.text


def test_a_damaged_bundle_is_refused_before_the_build(tensorrt: ModuleType, tmp_path: Path) -> None:
    import shutil

    bundle = tmp_path / "copy.esr"
    shutil.copytree(READY, bundle)
    path = bundle / "model.int8.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    backend = open_backend("tensorrt", bundle, read_manifest(bundle), precision="int8")

    with pytest.raises(ValueError, match="damaged"):
        backend.run(synthetic_luma(40, 64))
    assert builds(tensorrt) == 0


def test_dlpack_is_taken(backend: TensorRTBackend) -> None:
    frame = synthetic_luma(40, 64)
    sr = np.zeros((80, 128), np.uint8)

    def on_device(values: np.ndarray) -> SimpleNamespace:
        return SimpleNamespace(
            __dlpack__=lambda *, stream: values.__dlpack__(),
            __dlpack_device__=lambda: (2, 0),
        )

    backend.run_on_device(on_device(frame), on_device(sr))

    assert np.array_equal(sr, expected(frame))
    assert ctypes.sizeof(ctypes.c_void_p) == 8
