"""The native engine: all layers fused, on any CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.backends.base import BackendInfo
from runtime.errors import UnsupportedError
from runtime.manifest import NATIVE_MODEL, Manifest, verify_file

PRECISIONS = ("fp32", "bf16", "int8")


class NativeBackend:
    """The C++ engine over its C API; one call at a time, from any thread."""

    def __init__(
        self, bundle: Path, manifest: Manifest, *, precision: str, threads: int, device: str
    ) -> None:
        if device not in ("auto", "cpu"):
            raise UnsupportedError(f"the native engine runs on a CPU, not on {device}")
        if precision not in PRECISIONS:
            raise UnsupportedError(
                f"the native engine does not run {precision}; choose {', '.join(PRECISIONS)}"
            )
        if NATIVE_MODEL not in manifest.files:
            raise UnsupportedError(
                f"bundle {bundle} holds no native model: its network is none that the native "
                "engine runs, or it was built by an older release; build it again"
            )
        core = load_core()
        engine = core.Upscaler(verify_file(bundle, NATIVE_MODEL, manifest), precision, threads)
        if engine.precision != precision:
            raise UnsupportedError(f"this CPU has no {precision} instructions; choose fp32 or int8")
        self._engine, self._scale = engine, int(engine.scale)
        self.info = BackendInfo(
            name="native",
            provider=engine.isa,
            version=core.version(),
            precision=engine.precision,
            device="cpu",
            threads=engine.threads,
        )

    def run(self, window: NDArray[Any], *, bit_depth: int = 8) -> NDArray[Any]:
        """Upscale an HxW plane: uint8, uint16 of ``bit_depth`` bits, or float32 grey levels."""
        height, width = window.shape
        sr = np.empty((height * self._scale, width * self._scale), window.dtype)
        self._engine.upscale(window, sr, bit_depth)
        return sr

    def close(self) -> None:
        """Release the engine."""
        self._engine = None


def load_core() -> Any:
    """The extension module; UnsupportedError if this installation was made without it."""
    try:
        from runtime import _core
    except ImportError as error:
        raise UnsupportedError(
            "this installation has no native engine; install edge-sr with a C++ compiler at hand"
        ) from error
    return _core
