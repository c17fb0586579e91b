"""The native engine: all layers fused, on any CPU or, with its plugin, on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from runtime.backends.base import BackendInfo, Plane
from runtime.errors import UnsupportedError
from runtime.manifest import NATIVE_MODEL, Manifest, verify_file

PRECISIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"cpu": ("fp32", "bf16", "int8"), "cuda": ("fp16",)}
)
# Frames have no longer sides, so that a larger tile is the whole frame.
LARGEST_SIDE = 16384
FORMATS: Mapping[tuple[int, int], str] = MappingProxyType(
    {(0, 0): "grey", (2, 2): "yuv420p", (2, 1): "yuv422p", (1, 1): "yuv444p"}
)


class NativeBackend:
    """The C++ engine over its C API, callable from any thread; calls take turns.

    bf16 runs as fp32 on a CPU without its instructions, as ``info.precision`` then says. A GPU is
    used only where ``device`` asks for cuda.
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
        device = "cpu" if device == "auto" else device
        if manifest.channels != "y":
            raise UnsupportedError(
                f"{manifest.model} is an RGB network and the native engine upscales luminance; "
                "use onnxruntime or tensorrt"
            )
        if precision not in PRECISIONS[device]:
            raise UnsupportedError(
                f"the native engine does not run {precision} on device {device}; "
                f"choose {', '.join(PRECISIONS[device])}"
            )
        if NATIVE_MODEL not in manifest.files:
            raise UnsupportedError(
                f"bundle {bundle} holds no native model: its network is none that the native "
                "engine runs, or it was built by an older release; build it again or use "
                "onnxruntime"
            )
        core = load_core()
        model = verify_file(bundle, NATIVE_MODEL, manifest)
        engine = core.Upscaler(model, precision, threads, min(tile_size, LARGEST_SIDE), device)
        self._engine: Any = engine
        self._scale = int(engine.scale)
        self.info = BackendInfo(
            name="native",
            provider=engine.isa,
            version=core.version(),
            precision=engine.precision,
            device=engine.device,
            threads=engine.threads,
            tiles_itself=True,
        )

    def run(self, window: Plane, *, bit_depth: int = 8, out: Plane | None = None) -> Plane:
        """Upscale an HxW plane: uint8, uint16 of ``bit_depth`` bits, or float32 grey levels."""
        height, width = window.shape
        sr = out
        if sr is None or not _is_plain(sr):
            dtype = window.dtype.newbyteorder("=")
            sr = np.empty((height * self._scale, width * self._scale), dtype)
        self._opened().upscale(_plain(window), sr, bit_depth)
        if out is None or out is sr:
            return sr
        np.copyto(out, sr)
        return out

    def run_frame(
        self,
        planes: tuple[Plane, ...],
        *,
        bit_depth: int,
        subsampling: tuple[int, int],
        location: str,
    ) -> tuple[Plane, ...]:
        """Upscale the planes of a YUV or grey frame, chroma bicubically."""
        height, width = (side * self._scale for side in planes[0].shape)
        x, y = subsampling
        shapes = [(height, width)] + [(-(-height // y), -(-width // x)) for _ in planes[1:]]
        sr = [np.empty(shape, planes[0].dtype.newbyteorder("=")) for shape in shapes]
        lr = [_plain(plane) for plane in planes]
        self._opened().upscale_frame(lr, sr, FORMATS[subsampling], location, bit_depth)
        return tuple(sr)

    def close(self) -> None:
        """Release the engine."""
        self._engine = None

    def _opened(self) -> Any:
        if self._engine is None:
            raise ValueError("the native engine is closed; open the bundle again")
        return self._engine


def load_core() -> Any:
    """The extension module; UnsupportedError if this installation is without it."""
    try:
        return import_module("runtime._core")
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            "this installation has no native engine; install edge-sr again, with a C++ compiler at "
            "hand, without EDGE_SR_PURE_PYTHON, and by pip install -e if you run it from its "
            "checkout, or use onnxruntime"
        ) from error
    except ImportError as error:
        raise UnsupportedError(f"the native engine cannot be loaded here: {error}") from error


def _plain(plane: Plane) -> Plane:
    """The plane as the engine reads it; a copy only if it must be."""
    return plane if _is_plain(plane) else plane.astype(plane.dtype.newbyteorder("="), order="C")


def _is_plain(plane: Plane) -> bool:
    """Whether the samples of a row are neighbours, aligned, and of this machine's byte order."""
    is_dense = plane.strides[1] == plane.itemsize
    return is_dense and plane.flags.aligned and plane.dtype.isnative
