"""The public way to upscale: open a bundle, hand over pictures or planes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.backends import Backend, BackendInfo, FrameBackend, open_backend
from runtime.errors import UnsupportedError
from runtime.manifest import Manifest, read_manifest
from runtime.resample import upscale_bicubic
from runtime.tiling import upscale_tiled
from runtime.ycbcr import rgb_from_ycbcr, ycbcr_from_rgb

Picture = NDArray[Any]

_log = logging.getLogger("edge_sr.runtime")


class Upscaler:
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
        lose next to nothing by it and the CPU has it; ``threads`` 0 is one per physical core;
        ``tile_size`` is the side of a window in LR pixels, 0 runs whole frames or, natively, tiles
        that suit the cache; ``may_fall_back`` lets a CPU without bf16 run fp32 in its place, as
        :attr:`precision` then says. Raises OSError, ValueError, ModelFormatError or
        UnsupportedError with one clear line.
        """
        folder = Path(bundle)
        manifest = read_manifest(folder)
        if manifest.channels != "y":
            raise UnsupportedError(f"{manifest.model} is an RGB network, which is not offered yet")
        _check_tile_size(tile_size, manifest)
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

        RGB is split by BT.601 in float: luminance goes through the network, chroma and alpha are
        resized bicubically. ``out`` receives the result if given.
        """
        _check_picture(image)
        self._check_out(out, image)
        if image.ndim == 2 and image.dtype == np.uint8:
            return self._run(image, out)
        sr = self._upscale_deep_grey(image) if image.ndim == 2 else self._upscale_colour(image)
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
        if plane.ndim != 2 or 0 in plane.shape:
            raise ValueError(f"a plane of shape {plane.shape} cannot be upscaled")
        wanted = np.uint8 if bit_depth == 8 else np.uint16
        if plane.dtype not in (wanted, np.float32) or not 8 <= bit_depth <= 16:
            raise ValueError(f"samples of type {plane.dtype} do not hold {bit_depth}-bit luminance")
        self._check_out(out, plane)
        return self._run(plane, out, bit_depth=bit_depth)

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
        if not isinstance(self._backend, FrameBackend):
            raise UnsupportedError(
                f"backend {self.info.name} upscales luminance alone; choose native"
            )
        return self._backend.run_frame(
            planes, bit_depth=bit_depth, subsampling=subsampling, location=location
        )

    def upscale_luma_timed(self, plane: Picture) -> float:
        """Upscale an 8-bit plane, drop the result; returns the seconds spent inside the engine."""
        spent = 0.0

        def run(window: Picture) -> Picture:
            nonlocal spent
            started = time.perf_counter()
            sr = self._backend.run(window)
            spent += time.perf_counter() - started
            return sr

        if self._is_cut:
            self._in_windows(plane, run)
        else:
            run(plane)
        return spent

    def upscale_frames(self, frames: Iterable[Picture]) -> Iterator[Picture]:
        """Upscale pictures one after the other."""
        return (self.upscale(frame) for frame in frames)

    def close(self) -> None:
        """Release the engine."""
        self._backend.close()

    def __enter__(self) -> Upscaler:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _is_cut(self) -> bool:
        """Whether frames are cut into windows here, not by the backend or not at all."""
        return self.tile_size > 0 and not self.info.tiles_itself

    def _run(self, plane: Picture, out: Picture | None = None, *, bit_depth: int = 8) -> Picture:
        """A plane through the engine, tiled if asked."""
        if self._is_cut:
            return self._in_windows(plane, partial(self._backend.run, bit_depth=bit_depth), out)
        return self._backend.run(plane, bit_depth=bit_depth, out=out)

    def _in_windows(
        self, plane: Picture, run: Callable[[Picture], Picture], out: Picture | None = None
    ) -> Picture:
        halo = self.manifest.receptive_field_radius
        return upscale_tiled(plane, run, self.scale, tile_size=self.tile_size, halo=halo, out=out)

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


def _check_tile_size(tile_size: int, manifest: Manifest) -> None:
    halo = manifest.receptive_field_radius
    if tile_size < 0:
        raise ValueError(f"tile size {tile_size} must not be negative")
    if tile_size and not manifest.tileable:
        raise UnsupportedError(f"{manifest.model} has global operations and cannot be tiled")
    if tile_size and tile_size <= 2 * halo:
        raise ValueError(
            f"tile size {tile_size} leaves no core with halo {halo}; "
            f"use at least {2 * halo + 1}, or 0 for whole frames"
        )
    if tile_size % manifest.size_multiple:
        raise ValueError(
            f"tile size {tile_size} does not divide by {manifest.size_multiple}, "
            "which this model needs"
        )


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
