"""ONNX Runtime on a CPU, or on a GPU through its CUDA or TensorRT provider."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from runtime.backends.base import BackendInfo, Plane
from runtime.backends.onnxruntime_session import CPU, CUDA, Session, open_session, why_not
from runtime.errors import BackendError, ModelFormatError, UnsupportedError
from runtime.manifest import Manifest, model_file, verify_file

DEVICES = ("cpu", "cuda")

_log = logging.getLogger("edge_sr.onnxruntime")


class OnnxRuntimeBackend:
    """Sessions of one precision: the uint8 graph and, once float data comes, its float twin.

    ``gpu_provider`` is what ``device`` cuda means, and auto where it works. ``run`` may be called
    from one thread at a time.
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
        gpu_provider: str = CUDA,
    ) -> None:
        if precision == "bf16":
            raise UnsupportedError("onnxruntime does not run bf16; choose fp32, fp16 or int8")
        self._bundle, self._manifest, self._precision = bundle, manifest, precision
        self._threads = threads or physical_cores()
        self._provider = choose_provider(device, gpu_provider)
        self._sessions: dict[str, Session] = {}
        session = self._load(twin=False)
        import onnxruntime

        self.info = BackendInfo(
            name="onnxruntime" if gpu_provider == CUDA else "onnxruntime-tensorrt",
            provider=session.provider,
            version=onnxruntime.__version__,
            precision=precision,
            device="cpu" if self._provider == CPU else "cuda",
            threads=self._threads,
        )

    def run(self, window: Plane, *, bit_depth: int = 8, out: Plane | None = None) -> Plane:
        """Upscale HxW or HxWx3: uint8, uint16 of ``bit_depth`` bits, or float32 grey levels."""
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
        try:
            return session.run(window)
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise BackendError(f"onnxruntime failed on {window.shape}: {error}") from error

    def close(self) -> None:
        """Release the sessions."""
        self._sessions.clear()

    def _load(self, *, twin: bool) -> Session:
        name = model_file(self._precision, twin=twin)
        if name not in self._sessions:
            self._sessions[name] = self._open_session(name)
        return self._sessions[name]

    def _open_session(self, name: str) -> Session:
        data = verify_file(self._bundle, name, self._manifest)
        try:
            session = open_session(
                data, self._provider, threads=self._threads, scale=self._manifest.scale
            )
        except UnsupportedError:
            raise
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise ModelFormatError(
                f"{self._bundle / name} is not a graph onnxruntime can load: {error}"
            ) from error
        if session.names != (["lr"], ["sr"]):
            raise ModelFormatError(f"{name} has inputs and outputs {session.names}, not lr and sr")
        wanted = self._manifest.channel_count
        if session.channels not in (wanted, None):
            raise ModelFormatError(
                f"{name} takes {session.channels} channels, the manifest says {wanted}"
            )
        return session


def choose_provider(device: str, gpu_provider: str = CUDA) -> str:
    """Provider for auto, cpu or cuda; UnsupportedError if it cannot run here.

    auto falls back to the CPU, with a warning where ONNX Runtime was built for a GPU.
    """
    if device == "cpu":
        if gpu_provider != CUDA:
            raise UnsupportedError(f"{gpu_provider} runs on a GPU, not on cpu")
        return CPU
    reason = why_not(gpu_provider)
    if not reason:
        return gpu_provider
    if device == "auto" and gpu_provider == CUDA:
        if "built without" not in reason:
            _log.warning("onnxruntime runs on the CPU: %s", reason)
        return CPU
    raise UnsupportedError(f"{reason}; install what it needs or choose another device")


def physical_cores() -> int:
    """Cores this process may use, hyper-threads counted once."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    siblings = set()
    for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list"):
        siblings.add(path.read_text().strip())
    return max(1, min(usable or 1, len(siblings) or usable or 1))
