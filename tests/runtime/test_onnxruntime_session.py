"""Providers and bound sessions: GPU ones on a stand-in, the arithmetic on the CPU."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from bundle_support import make_tiny_bundle
from pictures_support import synthetic_luma

from runtime.backends import BACKENDS, onnxruntime_session, open_backend
from runtime.backends.onnxruntime import choose_provider
from runtime.backends.onnxruntime_session import CPU, CUDA, TENSORRT, DeviceSession, open_session
from runtime.errors import UnsupportedError
from runtime.manifest import read_manifest

FALLBACK = "session.disable_cpu_ep_fallback"
RealSession = onnxruntime.InferenceSession


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_tiny_bundle(tmp_path / "tiny.esr")


@pytest.fixture
def graph(bundle: Path) -> bytes:
    return (bundle / "model.fp32.onnx").read_bytes()


# ---- Bound sessions ----


def device_session(graph: bytes, *, captures: bool) -> DeviceSession:
    """Host memory in place of the GPU's: bindings and copies are the same."""
    session = RealSession(graph, providers=[CPU])
    return DeviceSession(session, CUDA, "cpu", 2, captures=captures)


@pytest.mark.parametrize("captures", [True, False])
def test_bound_session_computes_the_same(graph: bytes, captures: bool) -> None:
    plain = open_session(graph, CPU, threads=1, scale=2)
    bound = device_session(graph, captures=captures)

    for shape in ((20, 30), (16, 16), (20, 30)):
        frame = synthetic_luma(*shape)
        assert np.array_equal(bound.run(frame), plain.run(frame))
        assert np.array_equal(bound.run(frame[::-1]), plain.run(frame[::-1]))


def test_addresses_of_a_shape_stay_and_each_shape_has_a_graph_of_its_own(graph: bytes) -> None:
    bound = device_session(graph, captures=True)
    graphs = []
    for side in range(10, 16):
        bound.run(synthetic_luma(side, side))
    for value in bound._bound.values():
        graphs.append(value.options.get_run_config_entry("gpu_graph_id"))
    first = bound._bound[1, 1, 10, 10].lr.data_ptr()
    bound.run(synthetic_luma(10, 10))

    assert bound._bound[1, 1, 10, 10].lr.data_ptr() == first
    assert graphs == ["1", "2", "3", "4", "-1", "-1"]


def test_bindings_do_not_pile_up(graph: bytes) -> None:
    bound = device_session(graph, captures=True)

    for side in range(8, 40):
        bound.run(synthetic_luma(side, 8))

    assert len(bound._bound) == 8


# ---- Which provider, with which options ----


class FakeSessions:
    """InferenceSession that records how it was made and fails as it is told."""

    def __init__(self, failures: list[str], used: str | None = None) -> None:
        self.failures, self.used = failures, used
        self.made: list[tuple[list[Any], bool]] = []

    def is_strict(self, options: Any) -> bool:
        """Whether the entry is there: asking for one that is not is an error."""
        try:
            return bool(options.get_session_config_entry(FALLBACK))
        except RuntimeError:
            return False

    def __call__(self, data: bytes, options: Any, providers: list[Any]) -> Any:
        self.made.append((providers, self.is_strict(options)))
        if self.failures:
            raise RuntimeError(self.failures.pop(0))
        session = RealSession(data, providers=[CPU])
        name = providers[0] if isinstance(providers[0], str) else providers[0][0]
        session.get_providers = lambda: [self.used or name, CPU]
        return session


def made(
    monkeypatch: pytest.MonkeyPatch, graph: bytes, provider: str, *failures: str, **options: Any
) -> tuple[FakeSessions, Any]:
    fake = FakeSessions(list(failures), **options)
    monkeypatch.setattr(onnxruntime, "InferenceSession", fake)
    return fake, open_session(graph, provider, threads=1, scale=2)


def test_cuda_runs_with_graphs_in_full_fp32_and_all_on_the_gpu(
    monkeypatch: pytest.MonkeyPatch, graph: bytes
) -> None:
    fake, session = made(monkeypatch, graph, CUDA)

    ((providers, is_strict),) = fake.made
    assert providers == [(CUDA, {"use_tf32": "0", "enable_cuda_graph": "1"})]
    assert is_strict
    assert session.provider == CUDA


def test_without_graphs_if_the_network_takes_none(
    monkeypatch: pytest.MonkeyPatch, graph: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "edge_sr.onnxruntime"):
        fake, session = made(monkeypatch, graph, CUDA, "cannot use the graph capture feature")

    assert [made[0][0][1]["enable_cuda_graph"] for made in fake.made] == ["1", "0"]
    assert session.provider == CUDA
    assert "with CUDA graphs, all on the GPU: cannot use the graph capture" in caplog.text


def test_nodes_on_the_cpu_are_a_warning_and_named(
    monkeypatch: pytest.MonkeyPatch, graph: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    fake, session = made(monkeypatch, graph, CUDA, "nodes on the CPU", "nodes on the CPU")

    assert [is_strict for _, is_strict in fake.made] == [True, True, False]
    assert session.provider == f"{CUDA}, partly {CPU}"
    assert "leaves nodes to the CPU" in caplog.text


def test_what_fails_in_every_way_is_the_error(
    monkeypatch: pytest.MonkeyPatch, graph: bytes
) -> None:
    with pytest.raises(RuntimeError, match="no such graph"):
        made(monkeypatch, graph, CUDA, *["no such graph"] * 3)


def test_another_provider_than_asked_for_is_refused(
    monkeypatch: pytest.MonkeyPatch, graph: bytes
) -> None:
    with pytest.raises(UnsupportedError, match=f"took {CPU} instead of {CUDA}"):
        made(monkeypatch, graph, CUDA, used=CPU)


def test_tensorrt_s_provider_caches_engines_in_the_user_s_cache(
    monkeypatch: pytest.MonkeyPatch, graph: bytes, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    fake, _ = made(monkeypatch, graph, TENSORRT)

    ((providers, _),) = fake.made
    (name, options), (second, _) = providers
    assert (name, second) == (TENSORRT, CUDA)
    assert options["trt_engine_cache_path"] == str(tmp_path / "edge-sr" / "onnxruntime")
    assert Path(options["trt_engine_cache_path"]).is_dir()
    assert options["trt_cuda_graph_enable"] == "1"
    # Precision is in the graph: no option chooses it.
    assert not [key for key in options if "fp16" in key or "int8" in key]


# ---- Whether it can run ----


def test_auto_runs_on_the_cpu_and_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reason = f"{CUDA} cannot be loaded: libcublasLt.so.13"
    monkeypatch.setattr("runtime.backends.onnxruntime.why_not", lambda provider: reason)

    assert choose_provider("auto") == CPU
    assert f"onnxruntime runs on the CPU: {reason}" in caplog.text
    with pytest.raises(UnsupportedError, match="cannot be loaded: libcublasLt"):
        choose_provider("cuda")


def test_a_wheel_without_cuda_is_no_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])

    assert choose_provider("auto") == CPU
    assert caplog.text == ""


def test_a_provider_whose_libraries_are_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = tmp_path / "libonnxruntime_providers_cuda.so"
    library.write_bytes(b"no library")
    monkeypatch.setattr(onnxruntime_session, "_library", lambda provider: library)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])

    assert "cannot be loaded" in onnxruntime_session.why_not(CUDA)
    assert not onnxruntime_session.has_cuda_provider()


def test_tensorrt_s_provider_has_a_name_of_its_own_and_is_never_taken_by_auto(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(bundle)
    opened = []

    def refuse(*_: Any, **__: Any) -> Any:
        opened.append("onnxruntime-tensorrt")
        raise UnsupportedError("no")

    with pytest.raises(UnsupportedError, match=r"onnxruntime-tensorrt: .*TensorrtExecutionProv"):
        open_backend("onnxruntime-tensorrt", bundle, manifest, precision="fp32")
    with pytest.raises(UnsupportedError, match="runs on a GPU, not on cpu"):
        open_backend("onnxruntime-tensorrt", bundle, manifest, precision="fp32", device="cpu")
    monkeypatch.setitem(BACKENDS, "onnxruntime-tensorrt", refuse)
    open_backend("auto", bundle, manifest, precision="fp32").close()
    assert opened == []
