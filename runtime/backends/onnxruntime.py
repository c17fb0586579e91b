"""ONNX Runtime on a CPU or through its CUDA provider."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np

from runtime.backends.base import BackendInfo, Plane
from runtime.errors import BackendError, ModelFormatError, UnsupportedError
from runtime.manifest import Manifest, model_file, verify_file

DEVICES = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
CUDA_LIBRARY = "libonnxruntime_providers_cuda.so"


class OnnxRuntimeBackend:
    """Sessions of one precision: the uint8 graph and, once float data comes, its float twin.

    ``run`` may be called from one thread at a time.
    """

    def __init__(
        self,
        bundle: Path,
        manifest: Manifest,
        *,
        precision: str,
        threads: int,
        device: str,
        tile_size: int = 0,
    ) -> None:
        if precision == "bf16":
            raise UnsupportedError("onnxruntime does not run bf16; choose fp32, fp16 or int8")
        self._bundle, self._manifest, self._precision = bundle, manifest, precision
        self._threads = threads or physical_cores()
        self._provider = choose_provider(device)
        self._sessions: dict[str, Any] = {}
        self._load(twin=False)
        import onnxruntime

        self.info = BackendInfo(
            name="onnxruntime",
            provider=self._provider,
            version=onnxruntime.__version__,
            precision=precision,
            device="cuda" if self._provider == DEVICES["cuda"] else "cpu",
            threads=self._threads,
        )

    def run(self, window: Plane, *, bit_depth: int = 8, out: Plane | None = None) -> Plane:
        """Upscale an HxW plane: uint8, uint16 of ``bit_depth`` bits, or float32 grey levels."""
        sr = self._run_samples(window, bit_depth)
        if out is None:
            return sr
        np.copyto(out, sr)
        return out

    def _run_samples(self, window: Plane, bit_depth: int) -> Plane:
        if window.dtype == np.uint16:
            unit = np.float32(2 ** (bit_depth - 8))
            sr = self._run_graph(window.astype(np.float32) / unit) * unit
            return np.clip(np.rint(sr), 0, 2**bit_depth - 1).astype(np.uint16)
        if window.dtype not in (np.uint8, np.float32):
            raise ValueError(f"samples of type {window.dtype} are not uint8, uint16 or float32")
        return self._run_graph(window)

    def _run_graph(self, window: Plane) -> Plane:
        session = self._load(twin=window.dtype == np.float32)
        window = np.ascontiguousarray(window)
        try:
            (sr,) = session.run(None, {"lr": window[None, None]})
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise BackendError(f"onnxruntime failed on {window.shape}: {error}") from error
        result: Plane = sr[0, 0]
        return result

    def close(self) -> None:
        """Release the sessions."""
        self._sessions.clear()

    def _load(self, *, twin: bool) -> Any:
        name = model_file(self._precision, twin=twin)
        if name not in self._sessions:
            self._sessions[name] = self._open_session(name)
        return self._sessions[name]

    def _open_session(self, name: str) -> Any:
        import onnxruntime

        data = verify_file(self._bundle, name, self._manifest)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 4  # failures are raised below, not printed
        # Spinning threads take the time that a video encoder beside them needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(data, options, providers=[self._provider])
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise ModelFormatError(
                f"{self._bundle / name} is not a graph onnxruntime can load: {error}"
            ) from error
        used = session.get_providers()[0]
        if used != self._provider:
            raise UnsupportedError(f"onnxruntime took {used} instead of {self._provider}")
        names = [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()]
        if names != (["lr"], ["sr"]):
            raise ModelFormatError(f"{name} has inputs and outputs {names}, not lr and sr")
        return session


def has_cuda_provider() -> bool:
    """Whether the installed ONNX Runtime was built for CUDA; found out without loading it."""
    found = importlib.util.find_spec("onnxruntime")
    folders = found.submodule_search_locations if found else None
    return any(Path(f, "capi", CUDA_LIBRARY).is_file() for f in folders or ())


def choose_provider(device: str) -> str:
    """Provider for auto, cpu or cuda; UnsupportedError if it is not there."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if device == "auto":
        return DEVICES["cuda"] if DEVICES["cuda"] in available else DEVICES["cpu"]
    if DEVICES[device] not in available:
        raise UnsupportedError(
            f"device {device} needs {DEVICES[device]}; onnxruntime has {', '.join(available)}; "
            "install onnxruntime-gpu or choose another device"
        )
    return DEVICES[device]


def physical_cores() -> int:
    """Cores this process may use, hyper-threads counted once."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    siblings = set()
    for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list"):
        siblings.add(path.read_text().strip())
    return max(1, min(usable or 1, len(siblings) or usable or 1))
