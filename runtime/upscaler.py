"""The public way to upscale: open a bundle, hand over pictures or planes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.backends import Backend, BackendInfo, FrameBackend, open_backend
from runtime.closeable import Closeable
from runtime.errors import UnsupportedError
from runtime.manifest import Manifest, read_manifest
from runtime.resample import upscale_bicubic
from runtime.tiling import check_tile_size, upscale_tiled
from runtime.ycbcr import grey_from_rgb, rgb_from_ycbcr, ycbcr_from_rgb

Picture = NDArray[Any]

_log = logging.getLogger("edge_sr.runtime")


class Upscaler(Closeable):
    """An open bundle; a context manager that closes itself.

    One call at a time, or :attr:`max_concurrency` of them from different threads.
    """

    def __init__(self, manifest: Manifest, backend: Backend, *, tile_size: int = 0) -> None:
        self.manifest, self.tile_size = manifest, tile_size
        self._backend = backend

    @classmethod
    def open(
        cls,
        bundle: str | Path,
        *,
        backend: str = "auto",
        precision: str | None = None,
        threads: int = 0,
        tile_size: int = 0,
        device: str = "auto",
        may_fall_back: bool = True,
    ) -> Upscaler:
        """Open a bundle folder.

        ``precision`` defaults to the bundle's own, or to bf16 where an fp32 bundle was measured to
        lose next to nothing by it and the CPU is faster in it; ``threads`` 0 is one per physical
        core; ``tile_size`` is the side of a window in LR pixels, 0 runs whole frames or, natively,
        tiles that suit the cache; ``may_fall_back`` lets a CPU without bf16 run fp32 in its place,
        as :attr:`precision` then says. Raises OSError, ValueError, ModelFormatError or
        UnsupportedError with one clear line.
        """
        folder = Path(bundle)
        manifest = read_manifest(folder)
        check_tile_size(tile_size, manifest)
        engine = open_backend(
            backend,
            folder,
            manifest,
            precision=precision,
            threads=threads,
            device=device,
            tile_size=tile_size,
        )
        if precision not in (None, engine.info.precision):
            if not may_fall_back:
                engine.close()
                raise UnsupportedError(f"this CPU has no {precision} instructions")
            _log.warning("no %s instructions here: running %s", precision, engine.info.precision)
        return cls(manifest, engine, tile_size=tile_size)

    @property
    def scale(self) -> int:
        """Upscaling factor."""
        return self.manifest.scale

    @property
    def channels(self) -> str:
        """What the network takes: ``y``, luminance, or ``rgb``."""
        return self.manifest.channels

    @property
    def info(self) -> BackendInfo:
        """What really runs: backend, provider, version, precision, device, threads."""
        return self._backend.info

    @property
    def max_concurrency(self) -> int:
        """Calls that may run at the same time."""
        return self.info.max_concurrency

    @property
    def precision(self) -> str:
        """Precision of the open engine."""
        return self._backend.info.precision

    def upscale(self, image: Picture, out: Picture | None = None) -> Picture:
        """Upscale a picture: HxW grey, HxWx3 RGB or HxWx4 RGBA, uint8 or uint16, to the same kind.

        For a luminance network RGB is split by BT.601 in float: luminance goes through the network,
        chroma is resized bicubically. An RGB network takes RGB as it is, and grey as three equal
        channels, whose result is weighted to grey by BT.601. Alpha is resized bicubically.
        ``out`` receives the result if given.
        """
        _check_picture(image)
        self._check_out(out, image)
        wanted = 2 if self.channels == "y" else 3
        if image.dtype == np.uint8 and image.ndim == wanted and image.shape[2:] in ((), (3,)):
            return self._run(image, out)
        if self.channels == "rgb":
            sr = self._upscale_by_rgb(image)
        elif image.ndim == 2:
            sr = self._upscale_deep_grey(image)
        else:
            sr = self._upscale_colour(image)
        if out is None:
            return sr
        np.copyto(out, sr)
        return out

    def upscale_luma(
        self, plane: Picture, *, bit_depth: int = 8, out: Picture | None = None
    ) -> Picture:
        """Upscale an HxW luminance plane of a video frame to the same type.

        uint8, uint16 of ``bit_depth`` bits, or float32 in 0..255, which is not rounded.
        """
        self._check_channels("y", "upscale or upscale_rgb")
        if plane.ndim != 2 or 0 in plane.shape:
            raise ValueError(f"a plane of shape {plane.shape} cannot be upscaled")
        wanted = np.uint8 if bit_depth == 8 else np.uint16
        if plane.dtype not in (wanted, np.float32) or not 8 <= bit_depth <= 16:
            raise ValueError(f"samples of type {plane.dtype} do not hold {bit_depth}-bit luminance")
        self._check_out(out, plane)
        return self._run(plane, out, bit_depth=bit_depth)

    def upscale_rgb(self, picture: Picture, *, out: Picture | None = None) -> Picture:
        """Upscale HxWx3 RGB by an RGB network to the same type.

        uint8, or float32 in 0..255, which is neither rounded nor clamped.
        """
        self._check_channels("rgb", "upscale or upscale_luma")
        if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
            raise ValueError(f"a picture of shape {picture.shape} is not HxWx3 RGB")
        if picture.dtype not in (np.uint8, np.float32):
            raise ValueError(f"samples of type {picture.dtype} are not uint8 or float32")
        self._check_out(out, picture)
        return self._run(picture, out)

    @property
    def takes_frames(self) -> bool:
        """Whether :meth:`upscale_frame` works: the backend upscales chroma too."""
        return isinstance(self._backend, FrameBackend)

    def upscale_frame(
        self,
        planes: tuple[Picture, ...],
        *,
        bit_depth: int = 8,
        subsampling: tuple[int, int],
        location: str = "left",
    ) -> tuple[Picture, ...]:
        """Upscale the planes Y, or Y, U and V, of a video frame, uint8 or uint16.

        ``subsampling`` is luma samples per chroma sample in x and y, (0, 0) for grey; ``location``
        is where chroma lies: left, center, top_left or top.
        """
        self._check_channels("y", "upscale_rgb")
        if not isinstance(self._backend, FrameBackend):
            raise UnsupportedError(
                f"backend {self.info.name} upscales luminance alone; choose native"
            )
        return self._backend.run_frame(
            planes, bit_depth=bit_depth, subsampling=subsampling, location=location
        )

    def upscale_timed(self, frame: Picture) -> float:
        """Upscale 8-bit luminance, or RGB for an RGB network, and drop the result.

        Returns the seconds spent inside the engine.
        """
        spent = 0.0

        def run(window: Picture, *, out: Picture | None = None) -> Picture:
            nonlocal spent
            started = time.perf_counter()
            sr = self._backend.run(window, out=out)
            spent += time.perf_counter() - started
            return sr

        self._run_by(run, frame)
        return spent

    def upscale_frames(self, frames: Iterable[Picture]) -> Iterator[Picture]:
        """Upscale pictures one after the other."""
        return (self.upscale(frame) for frame in frames)

    def close(self) -> None:
        """Release the engine."""
        self._backend.close()

    @property
    def _is_cut(self) -> bool:
        """Whether frames are cut into windows here, not by the backend or not at all."""
        return self.tile_size > 0 and not self.info.tiles_itself

    def _run(self, samples: Picture, out: Picture | None = None, *, bit_depth: int = 8) -> Picture:
        """Samples of the network's channels through the engine, tiled if asked."""
        return self._run_by(partial(self._backend.run, bit_depth=bit_depth), samples, out)

    def _run_by(
        self, run: Callable[..., Picture], samples: Picture, out: Picture | None = None
    ) -> Picture:
        height, width = samples.shape[:2]
        padded = self._padded(samples)
        if padded is not samples:
            sr = self._run_by(run, padded)[: height * self.scale, : width * self.scale]
            if out is None:
                return np.ascontiguousarray(sr)
            np.copyto(out, sr)
            return out
        if not self._is_cut:
            return run(np.ascontiguousarray(samples) if samples.ndim == 3 else samples, out=out)
        return upscale_tiled(
            samples, run, self.scale, tile_size=self.tile_size, halo=self.manifest.halo, out=out
        )

    def _padded(self, samples: Picture) -> Picture:
        """The last row and column repeated, where the network wants other sides."""
        height, width = samples.shape[:2]
        below, beside = (self.manifest.padded(side) - side for side in (height, width))
        if not (below or beside):
            return samples
        return np.pad(samples, ((0, below), (0, beside), (0, 0))[: samples.ndim], mode="edge")

    def _check_channels(self, channels: str, instead: str) -> None:
        if self.channels != channels:
            kind = "an RGB" if self.channels == "rgb" else "a luminance"
            raise UnsupportedError(f"{self.manifest.model} is {kind} network; use {instead}")

    def _check_out(self, out: Picture | None, image: Picture) -> None:
        height, width, *channels = image.shape
        shape = (height * self.scale, width * self.scale, *channels)
        if out is not None and (out.shape != shape or out.dtype != image.dtype):
            raise ValueError(
                f"out has shape {out.shape} and type {out.dtype}, needed {shape}, {image.dtype}"
            )

    def _upscale_deep_grey(self, image: Picture) -> Picture:
        sr = self._run(image.astype(np.float32) / np.float32(257)) * np.float32(257)
        return _rounded(sr, 65535, image.dtype)

    def _upscale_by_rgb(self, image: Picture) -> Picture:
        unit = 1.0 if image.dtype == np.uint8 else 257.0
        if image.ndim == 2:
            levels = image.astype(np.float32) / np.float32(unit)
            grey = grey_from_rgb(self._run(np.dstack([levels] * 3)))
            return _rounded(grey * unit, 255 * unit, image.dtype)
        rgb = image[:, :, :3]
        if image.dtype == np.uint8:
            sr = self._run(rgb)
        else:
            levels = self._run(rgb.astype(np.float32) / np.float32(unit))
            sr = _rounded(levels * np.float32(unit), 255 * unit, image.dtype)
        if image.shape[2] == 3:
            return sr
        alpha = upscale_bicubic(image[:, :, 3], self.scale)
        return np.dstack([sr, _rounded(alpha, 255 * unit, image.dtype)])

    def _upscale_colour(self, image: Picture) -> Picture:
        unit = 1.0 if image.dtype == np.uint8 else 257.0
        samples = image.astype(np.float64) / unit
        ycbcr = ycbcr_from_rgb(samples[:, :, :3])
        luma = self._run(ycbcr[:, :, 0].astype(np.float32))
        chroma = [upscale_bicubic(ycbcr[:, :, channel], self.scale) for channel in (1, 2)]
        sr = rgb_from_ycbcr(np.dstack([luma, *chroma]).astype(np.float64))
        if image.shape[2] == 4:
            sr = np.dstack([sr, upscale_bicubic(samples[:, :, 3], self.scale)])
        return _rounded(sr * unit, 255 * unit, image.dtype)


def _check_picture(image: Picture) -> None:
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"samples of type {image.dtype} are not uint8 or uint16")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        raise ValueError(f"a picture of shape {image.shape} is not HxW, HxWx3 or HxWx4")
    if 0 in image.shape:
        raise ValueError(f"a picture of shape {image.shape} is empty")


def _rounded(values: Picture, peak: float, dtype: np.dtype[Any]) -> Picture:
    """Round half to even, clamp to 0..peak."""
    return np.clip(np.rint(values), 0, peak).astype(dtype)
