"""TensorRT: plans built on this device, CUDA graphs, copies that overlap the network."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from runtime.backends.base import BackendInfo, Plane
from runtime.backends.cuda_driver import CudaDriver, cuda_driver
from runtime.backends.tensorrt_cache import (
    Plan,
    PlanRequest,
    is_cached,
    machine_facts,
    plan_of,
)
from runtime.backends.tensorrt_lane import Lane
from runtime.backends.tensorrt_library import import_tensorrt, logger_of, open_engine
from runtime.backends.tensorrt_plan import (
    Profile,
    Shape,
    frame_profile,
    tile_profile,
)
from runtime.device_array import device_plane
from runtime.errors import BackendError, DeviceMemoryError, UnsupportedError
from runtime.manifest import Manifest, model_file
from runtime.plan_cache import PlanCache
from runtime.progress import format_duration
from runtime.tiling import Tile, plan_tiles

# Windows of frames that have no plan of their own, and how many of them run at once.
TILE_SIZE, TILE_BATCH = 256, 8
LANES = 2

_log = logging.getLogger("edge_sr.tensorrt")


class TensorRTBackend:
    """Engines of one precision, callable from any thread; two frames may be in flight.

    With ``tile_size`` 0 the first frame decides: a plan for exactly its size is built, or taken
    from the cache. Frames of other sizes take a cached plan, or run in windows of 256 pixels.
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
        cache: PlanCache | None = None,
    ) -> None:
        del threads
        if device == "cpu":
            raise UnsupportedError("TensorRT runs on a GPU, not on cpu")
        if precision == "bf16":
            raise UnsupportedError("TensorRT gets no bf16 graph; choose fp32, fp16 or int8")
        self._trt, self._cuda = import_tensorrt(), cuda_driver()
        self._bundle, self._manifest, self._precision = bundle, manifest, precision
        self._cache = cache or PlanCache()
        self._tile_size = tile_size
        self._frame: dict[bool, Shape] = {}
        self._engines: dict[tuple[bool, Profile], _Engine] = {}
        self._lock = threading.Lock()
        self._closed = False
        self.info = BackendInfo(
            name="tensorrt",
            provider=machine_facts()["gpu"],
            version=self._trt.__version__,
            precision=precision,
            device="cuda",
            threads=1,
            max_batch=TILE_BATCH,
            max_concurrency=LANES,
            tiles_itself=True,
        )

    def run(self, window: Plane, *, bit_depth: int = 8, out: Plane | None = None) -> Plane:
        """Upscale HxW or HxWx3: uint8, uint16 of ``bit_depth`` bits, or float32 grey levels."""
        if window.dtype == np.uint16:
            unit = np.float32(2 ** (bit_depth - 8))
            levels = self._run_plane(window.astype(np.float32) / unit) * unit
            sr = np.clip(np.rint(levels), 0, 2**bit_depth - 1).astype(np.uint16)
        elif window.dtype in (np.uint8, np.float32):
            sr = self._run_plane(window, out)
        else:
            raise ValueError(f"samples of type {window.dtype} are not uint8, uint16 or float32")
        if out is None or sr is out:
            return sr
        np.copyto(out, sr)
        return out

    def run_on_device(self, lr: Any, sr: Any, *, stream: int = 0) -> None:
        """Upscale a plane in GPU memory into another, which never leave the device.

        ``lr`` HxW and ``sr`` scale*H x scale*W are uint8 or float32 arrays with
        ``__cuda_array_interface__`` or DLPack; rows may have gaps. The work is put on ``stream``, a
        handle of the caller's, in order with what is there; with 0 the call waits for it. Frames
        that are larger than memory allows are not cut here, and RGB bundles are refused.
        """
        if self._manifest.channels != "y":
            raise UnsupportedError(
                f"{self._manifest.model} is an RGB network, whose frames cannot stay on the device"
            )
        source, target = device_plane(lr, stream=stream), device_plane(sr, stream=stream)
        scale = self._manifest.scale
        if source.dtype not in (np.uint8, np.float32) or source.dtype != target.dtype:
            raise ValueError(
                f"types {source.dtype} and {target.dtype} are not both uint8 or float32"
            )
        if (target.height, target.width) != (source.height * scale, source.width * scale):
            raise ValueError(
                f"the result has {target.width}x{target.height} pixels, needed "
                f"{source.width * scale}x{source.height * scale}"
            )
        profile = frame_profile(source.width, source.height)
        engine = self._engine(profile, twin=source.dtype == np.float32)
        with engine.lanes(1) as (lane,):
            lane.run_on_device(source, target, stream)
            if stream == 0:
                lane.wait(stream)

    def close(self) -> None:
        """Free the engines and their memory."""
        with self._lock:
            self._closed = True
            for engine in self._engines.values():
                engine.close()
            self._engines.clear()

    # ---- Which plan ----

    def _run_plane(self, plane: Plane, out: Plane | None = None) -> Plane:
        height, width = plane.shape[:2]
        twin = plane.dtype == np.float32
        size = Shape(1, height, width)
        profile = frame_profile(width, height, self._manifest.channel_count)
        is_first = self._frame.setdefault(twin, size) == size
        if self._tile_size == 0 and (
            is_first or is_cached(self._request(profile, twin=twin), self._cache)
        ):
            try:
                return self._run_whole(plane, self._engine(profile, twin=twin), out)
            except DeviceMemoryError as error:
                if not self._manifest.tileable:
                    raise
                _log.warning("frames of %dx%d run in windows: %s", width, height, error)
                self._tile_size = self._least_tile(TILE_SIZE)
        return self._run_tiled(plane, out)

    def _request(self, profile: Profile, *, twin: bool) -> PlanRequest:
        name = model_file(self._precision, twin=twin)
        return PlanRequest(self._bundle, self._manifest, name, profile)

    def _least_tile(self, tile_size: int) -> int:
        """A tile size that the network takes, or more if the halo would leave nothing of it."""
        return max(self._manifest.padded(tile_size), 4 * self._manifest.halo)

    def _engine(self, profile: Profile, *, twin: bool) -> _Engine:
        with self._lock:
            if self._closed:
                raise ValueError("the TensorRT engine is closed; open the bundle again")
            engine = self._engines.get((twin, profile))
            if engine is None:
                engine = self._engines[twin, profile] = self._open(profile, twin=twin)
            return engine

    def _open(self, profile: Profile, *, twin: bool) -> _Engine:
        """Once more with a new plan if TensorRT refuses the one in the cache."""
        request = self._request(profile, twin=twin)
        text = f"a plan of {request.name} for {_text(profile)}"
        tell = partial(_log.warning, "building %s, once for this machine", text)
        for rebuild in (False, True):
            plan = plan_of(request, self._cache, starting=tell, rebuild=rebuild)
            if plan.built is not None:
                _log.warning("built %s in %s", text, format_duration(plan.built.seconds))
            try:
                return _Engine(self._cuda, plan, profile, self._manifest.scale, twin=twin)
            except DeviceMemoryError:
                raise
            except BackendError as error:
                if plan.built is not None:
                    raise
                _log.warning("the cached plan does not load: %s", error)
        raise AssertionError("unreachable")

    # ---- Whole frames and windows ----

    def _run_whole(self, plane: Plane, engine: _Engine, out: Plane | None) -> Plane:
        sr = self._empty(plane) if out is None else out
        with engine.lanes(1) as (lane,):
            lane.submit([plane])
            np.copyto(sr, lane.collect()[0])
        return sr

    def _run_tiled(self, plane: Plane, out: Plane | None) -> Plane:
        if not self._manifest.tileable:
            raise UnsupportedError(
                f"{self._manifest.model} has global operations and cannot be tiled; open it anew "
                "for frames of another size"
            )
        height, width = plane.shape[:2]
        manifest = self._manifest
        tile_size = self._tile_size or self._least_tile(TILE_SIZE)
        profile = tile_profile(
            tile_size, TILE_BATCH, manifest.channel_count, least=manifest.size_multiple
        )
        try:
            engine = self._engine(profile, twin=plane.dtype == np.float32)
        except DeviceMemoryError as error:
            smaller = self._least_tile(tile_size // 2)
            if smaller >= tile_size:
                raise
            _log.warning("windows of %d pixels instead of %d: %s", smaller, tile_size, error)
            self._tile_size = smaller
            return self._run_tiled(plane, out)
        tiles = plan_tiles(width, height, tile_size=tile_size, halo=manifest.halo)
        sr = self._empty(plane) if out is None else out
        with engine.lanes(LANES) as lanes:
            _run_batches(lanes, plane, tiles, sr, manifest.scale)
        return sr

    def _empty(self, plane: Plane) -> Plane:
        """Memory for the result of HxW or HxWx3 samples."""
        height, width, *channels = plane.shape
        scale = self._manifest.scale
        return np.empty((height * scale, width * scale, *channels), plane.dtype)


class _Engine:
    """A deserialised plan and the lanes that run it."""

    def __init__(
        self, cuda: CudaDriver, plan: Plan, profile: Profile, scale: int, *, twin: bool
    ) -> None:
        trt = import_tensorrt()
        self._cuda, self._profile, self._scale = cuda, profile, scale
        self._dtype: np.dtype[Any] = np.dtype(np.float32 if twin else np.uint8)
        cuda.make_current()
        self._logger = logger_of(trt)
        compatible = plan.options.version_compatible
        self._engine = open_engine(trt, self._logger, plan.data, version_compatible=compatible)
        self._free: deque[Lane] = deque()
        self._made = 0
        self._changed = threading.Condition()
        self._free.append(self._make())

    @contextmanager
    def lanes(self, most: int) -> Iterator[list[Lane]]:
        """At least one lane, waiting for it if it must; more if they are free."""
        taken = self._take(most)
        try:
            yield taken
        finally:
            with self._changed:
                self._free.extend(taken)
                self._changed.notify_all()

    def close(self) -> None:
        """Close the lanes, once they are back."""
        with self._changed:
            while len(self._free) < self._made:
                self._changed.wait()
            while self._free:
                self._free.pop().close()
        self._engine = None

    def _take(self, most: int) -> list[Lane]:
        with self._changed:
            while not self._free and not self._grow():
                self._changed.wait()
            taken = [self._free.popleft()]
            while len(taken) < most and (self._free or self._grow()):
                taken.append(self._free.popleft())
            return taken

    def _grow(self) -> bool:
        """Make another lane if there may be one and memory is left."""
        if self._made >= LANES:
            return False
        try:
            self._free.append(self._make())
        except BackendError as error:
            _log.info("one frame at a time: %s", error)
            return False
        return True

    def _make(self) -> Lane:
        lane = Lane(self._cuda, self._engine, self._profile, self._scale, self._dtype)
        self._made += 1
        return lane


def _run_batches(
    lanes: Sequence[Lane], plane: Plane, tiles: Sequence[Tile], sr: Plane, scale: int
) -> None:
    """Fill and empty the lanes in turn, so that the copies of one overlap the work of another."""
    batch = min(TILE_BATCH, len(tiles))
    pending: deque[tuple[Lane, Sequence[Tile]]] = deque()
    for start in range(0, len(tiles), batch):
        if len(pending) == len(lanes):
            _store(*pending.popleft(), sr, scale)
        some = tiles[start : start + batch]
        lane = lanes[(start // batch) % len(lanes)]
        windows = [_window(plane, tile) for tile in some]
        # One shape for all batches, so that one CUDA graph serves them.
        lane.submit(windows + windows[-1:] * (batch - len(windows)))
        pending.append((lane, some))
    while pending:
        _store(*pending.popleft(), sr, scale)


def _window(plane: Plane, tile: Tile) -> Plane:
    rows, columns = tile.window_y, tile.window_x
    return plane[rows.start : rows.stop, columns.start : columns.stop]


def _store(lane: Lane, tiles: Sequence[Tile], sr: Plane, scale: int) -> None:
    for tile, window in zip(tiles, lane.collect(), strict=False):
        (x0, x1), (y0, y1) = tile.core_x, tile.core_y
        left, top = tile.window_x.start, tile.window_y.start
        sr[y0 * scale : y1 * scale, x0 * scale : x1 * scale] = window[
            (y0 - top) * scale : (y1 - top) * scale, (x0 - left) * scale : (x1 - left) * scale
        ]


def _text(profile: Profile) -> str:
    shape = profile.largest
    size = f"{shape.width}x{shape.height}"
    return f"frames of {size}" if profile.is_fixed else f"up to {shape.batch} windows of {size}"
