"""Sessions of ONNX Runtime: which provider runs, with which options, and how data reaches it."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from runtime.backends.base import Plane
from runtime.backends.planar import picture_of, planes_of
from runtime.errors import UnsupportedError
from runtime.plan_cache import default_folder

CPU, CUDA, TENSORRT = (
    "CPUExecutionProvider",
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
)
LIBRARIES = {
    CUDA: "libonnxruntime_providers_cuda.so",
    TENSORRT: "libonnxruntime_providers_tensorrt.so",
}
MOST_GRAPHS = 4
_NO_CAPTURE = "-1"

_log = logging.getLogger("edge_sr.onnxruntime")


def has_cuda_provider() -> bool:
    """Whether the installed ONNX Runtime was built for CUDA and can load it.

    Without its library that is found out without loading ONNX Runtime.
    """
    return _library(CUDA) is not None and not why_not(CUDA)


def why_not(provider: str) -> str:
    """Why a provider cannot run here, as far as that is known beforehand; empty if it may."""
    import onnxruntime

    if provider not in onnxruntime.get_available_providers():
        return f"onnxruntime {onnxruntime.__version__} is built without {provider}"
    path = _library(provider)
    if path is None:
        return ""
    if hasattr(onnxruntime, "preload_dlls"):
        # CUDA's libraries as Python packages lie where the loader does not look.
        with contextlib.redirect_stdout(io.StringIO()):
            onnxruntime.preload_dlls()
    try:
        ctypes.CDLL(str(path.with_name("libonnxruntime_providers_shared.so")), ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(path))
    except OSError as error:
        return f"{provider} cannot be loaded: {error}"
    return ""


def _library(provider: str) -> Path | None:
    found = importlib.util.find_spec("onnxruntime")
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder, "capi", LIBRARIES[provider])
        if path.is_file():
            return path
    return None


class Session(Protocol):
    """Runs one graph; ``provider`` is what really executes it, ``names`` are its ends.

    ``channels`` are those of its input; None where the graph leaves them open.
    """

    provider: str
    names: tuple[list[str], list[str]]
    channels: int | None

    def run(self, window: Plane) -> Plane:
        """HxW or HxWx3 samples of the graph's type to upscaled ones."""
        ...


def open_session(data: bytes, provider: str, *, threads: int, scale: int) -> Session:
    """A session of exactly this provider.

    On a GPU first with CUDA graphs and every node there; what must be given up is logged, and nodes
    left to the CPU are named in ``provider``. Raises what ONNX Runtime raises, UnsupportedError if
    it took another provider.
    """
    if provider == CPU:
        return _HostSession(_create(data, [CPU], threads=threads), provider)
    last: Exception | None = None
    for attempt in (_Attempt(), _Attempt(graphs=False), _Attempt(graphs=False, strict=False)):
        try:
            session = _create(
                data, _providers(provider, attempt), threads=threads, strict=attempt.strict
            )
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            _log.info("onnxruntime %s: %s", attempt.text, error)
            last = error
            continue
        used = session.get_providers()[0]
        if used != provider:
            raise UnsupportedError(f"onnxruntime took {used} instead of {provider}")
        if not attempt.strict:
            _log.warning("%s leaves nodes to the CPU, which costs time: %s", provider, last)
            used = f"{provider}, partly {CPU}"
        return DeviceSession(session, used, "cuda", scale, captures=attempt.graphs)
    assert last is not None
    raise last


@dataclass(frozen=True)
class _Attempt:
    graphs: bool = True
    strict: bool = True

    @property
    def text(self) -> str:
        graphs = "with CUDA graphs" if self.graphs else "without CUDA graphs"
        return f"{graphs}, {'all on the GPU' if self.strict else 'partly on the CPU'}"


def _providers(provider: str, attempt: _Attempt) -> list[Any]:
    graphs = "1" if attempt.graphs else "0"
    # FP32 means 23 bits of fraction; TF32 has 10.
    cuda = {"use_tf32": "0", "enable_cuda_graph": graphs if provider == CUDA else "0"}
    if provider == CUDA:
        return [(CUDA, cuda)]
    folder = str(default_folder().with_name("onnxruntime"))
    engines = {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": folder,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": folder,
        "trt_cuda_graph_enable": graphs,
    }
    Path(folder).mkdir(parents=True, exist_ok=True)
    return [(TENSORRT, engines), (CUDA, cuda)]


def _create(data: bytes, providers: list[Any], *, threads: int, strict: bool = False) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # failures are raised, not printed
    # Spinning threads take the time that a video encoder beside them needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if strict:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    with _quiet():
        return onnxruntime.InferenceSession(data, options, providers=providers)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Providers that fail to load tell it on stderr besides; what matters is checked afterwards."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(2)


class _HostSession:
    def __init__(self, session: Any, provider: str) -> None:
        self._session, self.provider = session, provider
        self.names, self.channels = names_of(session), channels_of(session)

    def run(self, window: Plane) -> Plane:
        (sr,) = self._session.run(None, {"lr": planes_of(window)[None]})
        return picture_of(sr[0])


@dataclass
class _Bound:
    """Input and output of one shape at addresses that stay."""

    lr: Any
    sr: Any
    binding: Any
    options: Any = field(default=None)


class DeviceSession:
    """A session whose input and output stay on the device, bound for each shape of a frame.

    The first few shapes are captured into CUDA graphs, which replay the whole network as one
    launch; the addresses must therefore not change.
    """

    def __init__(
        self, session: Any, provider: str, device: str, scale: int, *, captures: bool
    ) -> None:
        self._session, self.provider = session, provider
        self.names, self.channels = names_of(session), channels_of(session)
        self._device, self._scale, self._captures = device, scale, captures
        self._bound: dict[tuple[int, ...], _Bound] = {}
        self._captured = 0

    def run(self, window: Plane) -> Plane:
        """Upscale HxW or HxWx3 samples, through the device and back."""
        lr = planes_of(window)[None]
        shape = lr.shape
        bound = self._bound.get(shape)
        if bound is None:
            bound = self._bind(shape, window.dtype)
        bound.lr.update_inplace(lr)
        self._session.run_with_iobinding(bound.binding, bound.options)
        return picture_of(bound.sr.numpy()[0])

    def _bind(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Bound:
        import onnxruntime

        batch, channels, height, width = shape
        upscaled = (batch, channels, height * self._scale, width * self._scale)
        make = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        lr, sr = (make(list(x), dtype.type, self._device, 0) for x in (shape, upscaled))
        binding = self._session.io_binding()
        binding.bind_ortvalue_input("lr", lr)
        binding.bind_ortvalue_output("sr", sr)
        options = onnxruntime.RunOptions()
        captured = self._captures and self._captured < MOST_GRAPHS
        if captured:
            self._captured += 1
        if self._captures:
            graph = str(self._captured) if captured else _NO_CAPTURE
            options.add_run_config_entry("gpu_graph_id", graph)
        bound = _Bound(lr, sr, binding, options)
        if captured or len(self._bound) < 2 * MOST_GRAPHS:
            self._bound[shape] = bound
        return bound


def names_of(session: Any) -> tuple[list[str], list[str]]:
    """Names of a session's inputs and outputs."""
    return [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()]


def channels_of(session: Any) -> int | None:
    """Channels of the first input; None if the graph does not say."""
    shape = session.get_inputs()[0].shape
    return shape[1] if len(shape) == 4 and isinstance(shape[1], int) else None
