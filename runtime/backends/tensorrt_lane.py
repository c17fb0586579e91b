"""A stream with an execution context, buffers and CUDA graphs of its own: one frame in flight."""

from __future__ import annotations

import ctypes
import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from runtime.backends.base import Plane
from runtime.backends.cuda_driver import (
    CAPTURE_THREAD_LOCAL,
    EVENT_DISABLE_TIMING,
    MEMORY_DEVICE,
    STREAM_NON_BLOCKING,
    Copy2D,
    CudaDriver,
    DevicePointer,
)
from runtime.backends.planar import picture_of, store_planes
from runtime.backends.tensorrt_plan import INPUT, OUTPUT, Profile, Shape
from runtime.device_array import DevicePlane
from runtime.errors import BackendError, DeviceMemoryError

MOST_GRAPHS = 4
# Of an address that TensorRT takes, in bytes.
ALIGNMENT = 256

_log = logging.getLogger("edge_sr.tensorrt")


class Lane:
    """Runs batches of pictures of ``dtype``, HxW or HxWx3, up to the largest shape of ``profile``.

    The copies and the network are captured into a CUDA graph for each of the last few shapes, so
    that a batch is one launch. One call at a time.
    """

    def __init__(
        self, cuda: CudaDriver, engine: Any, profile: Profile, scale: int, dtype: np.dtype[Any]
    ) -> None:
        self._cuda, self._scale, self._dtype = cuda, scale, dtype
        self._channels = profile.channels
        self._graphs: OrderedDict[Shape, ctypes.c_void_p] = OrderedDict()
        self._captures = True
        self._shape: Shape | None = None
        self._context = engine.create_execution_context()
        if self._context is None:
            raise DeviceMemoryError("TensorRT made no execution context: no memory for it is left")
        self._stream, self._device_done = ctypes.c_void_p(), ctypes.c_void_p()
        cuda.call("cuStreamCreate", ctypes.byref(self._stream), STREAM_NON_BLOCKING)
        # Marks the end of work on a stream of the caller's, before which the context is not free.
        cuda.call("cuEventCreate", ctypes.byref(self._device_done), EVENT_DISABLE_TIMING)
        lr_bytes = self._bytes_of(profile.largest)
        self._lr = _Buffers(cuda, lr_bytes)
        self._sr = _Buffers(cuda, lr_bytes * scale**2)

    def submit(self, windows: Sequence[Plane]) -> None:
        """Start upscaling windows of one shape and of the lane's type."""
        self._cuda.make_current()
        height, width = windows[0].shape[:2]
        shape = Shape(len(windows), height, width)
        staged = self._lr.host(self._dtype, shape.dimensions(self._channels))
        for planes, window in zip(staged, windows, strict=True):
            store_planes(window, planes)
        self._launch(shape)
        self._shape = shape

    def collect(self) -> list[Plane]:
        """Wait for what was submitted: the upscaled windows, valid until the next submission."""
        assert self._shape is not None, "nothing was submitted"
        self._cuda.make_current()
        self._cuda.call("cuStreamSynchronize", self._stream)
        batch = self._sr.host(self._dtype, self._upscaled(self._shape).dimensions(self._channels))
        return [picture_of(planes) for planes in batch]

    def run_on_device(self, lr: DevicePlane, sr: DevicePlane, stream: int) -> None:
        """Enqueue a plane that lies in GPU memory on a stream of the caller's; does not wait."""
        self._cuda.make_current()
        handle = ctypes.c_void_p(stream)
        shape = Shape(1, lr.height, lr.width)
        self._cuda.call("cuStreamWaitEvent", handle, self._device_done, 0)
        self._wait_for_producer(lr, handle)
        source = lr.pointer if _is_direct(lr) else self._lr.device.value
        target = sr.pointer if _is_direct(sr) else self._sr.device.value
        if source != lr.pointer:
            self._copy_rows(lr.pointer, lr.row_bytes, source, lr, handle)
        self._enqueue(shape, source, target, handle)
        if target != sr.pointer:
            self._copy_rows(target, sr.width * self._dtype.itemsize, sr.pointer, sr, handle)
        self._cuda.call("cuEventRecord", self._device_done, handle)

    def wait(self, stream: int) -> None:
        """Until everything on a stream of the caller's is done."""
        self._cuda.call("cuStreamSynchronize", ctypes.c_void_p(stream))

    def close(self) -> None:
        """Free everything; a driver that is gone already is no error."""
        try:
            self._cuda.make_current()
            self._drop_graphs()
            self._lr.free()
            self._sr.free()
            self._cuda.call("cuEventDestroy_v2", self._device_done)
            self._cuda.call("cuStreamDestroy_v2", self._stream)
        except BackendError as error:
            _log.debug("while closing: %s", error)
        self._context = None

    # ---- One batch ----

    def _launch(self, shape: Shape) -> None:
        self._cuda.call("cuStreamWaitEvent", self._stream, self._device_done, 0)
        graph = self._graphs.get(shape)
        if graph is not None:
            self._graphs.move_to_end(shape)
            self._cuda.call("cuGraphLaunch", graph, self._stream)
            return
        self._enqueue_all(shape)
        if not self._captures:
            return
        # TensorRT loads kernels during the first run, which must not be captured.
        self._cuda.call("cuStreamSynchronize", self._stream)
        self._capture(shape)

    def _enqueue_all(self, shape: Shape) -> None:
        self._cuda.call(
            "cuMemcpyHtoDAsync_v2",
            self._lr.device,
            self._lr.pinned,
            self._bytes_of(shape),
            self._stream,
        )
        self._enqueue(shape, self._lr.device.value, self._sr.device.value, self._stream)
        self._cuda.call(
            "cuMemcpyDtoHAsync_v2",
            self._sr.pinned,
            self._sr.device,
            self._bytes_of(self._upscaled(shape)),
            self._stream,
        )

    def _enqueue(self, shape: Shape, lr: int, sr: int, stream: ctypes.c_void_p) -> None:
        context, dimensions = self._context, shape.dimensions(self._channels)
        if not context.set_input_shape(INPUT, dimensions):
            raise BackendError(f"TensorRT refused the input shape {dimensions}")
        expected = self._upscaled(shape).dimensions(self._channels)
        if tuple(context.get_tensor_shape(OUTPUT)) != expected:
            raise BackendError(
                f"TensorRT says the result has shape {tuple(context.get_tensor_shape(OUTPUT))}, "
                f"not {expected}"
            )
        for name, address in ((INPUT, lr), (OUTPUT, sr)):
            if not context.set_tensor_address(name, address):
                raise BackendError(f"TensorRT refused the memory of {name}")
        if not context.execute_async_v3(stream.value or 0):
            raise BackendError(f"TensorRT failed on a batch of shape {dimensions}")

    def _capture(self, shape: Shape) -> None:
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        try:
            self._cuda.call("cuStreamBeginCapture_v2", self._stream, CAPTURE_THREAD_LOCAL)
            try:
                self._enqueue_all(shape)
            finally:
                self._cuda.call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
            self._cuda.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, 0)
        except BackendError as error:
            _log.warning("no CUDA graph, batches are launched call by call: %s", error)
            self._captures = False
            return
        finally:
            if graph.value:
                self._cuda.call("cuGraphDestroy", graph)
        self._graphs[shape] = executable
        while len(self._graphs) > MOST_GRAPHS:
            _, oldest = self._graphs.popitem(last=False)
            self._cuda.call("cuGraphExecDestroy", oldest)

    def _drop_graphs(self) -> None:
        while self._graphs:
            _, graph = self._graphs.popitem()
            self._cuda.call("cuGraphExecDestroy", graph)

    # ---- Memory of the caller's ----

    def _wait_for_producer(self, lr: DevicePlane, stream: ctypes.c_void_p) -> None:
        if not lr.stream:
            return
        event = ctypes.c_void_p()
        self._cuda.call("cuEventCreate", ctypes.byref(event), EVENT_DISABLE_TIMING)
        try:
            self._cuda.call("cuEventRecord", event, ctypes.c_void_p(lr.stream))
            self._cuda.call("cuStreamWaitEvent", stream, event, 0)
        finally:
            self._cuda.call("cuEventDestroy_v2", event)

    def _copy_rows(
        self, source: int, source_pitch: int, target: int, plane: DevicePlane, stream: Any
    ) -> None:
        """Between a pitched plane and a dense buffer, whichever of them is the target."""
        row = plane.width * self._dtype.itemsize
        copy = Copy2D(
            source_type=MEMORY_DEVICE,
            source_device=source,
            source_pitch=source_pitch,
            target_type=MEMORY_DEVICE,
            target_device=target,
            target_pitch=row if target != plane.pointer else plane.row_bytes,
            width_in_bytes=row,
            height=plane.height,
        )
        self._cuda.call("cuMemcpy2DAsync_v2", ctypes.byref(copy), stream)

    def _bytes_of(self, shape: Shape) -> int:
        return math.prod(shape) * self._channels * self._dtype.itemsize

    def _upscaled(self, shape: Shape) -> Shape:
        return Shape(shape.batch, shape.height * self._scale, shape.width * self._scale)


def _is_direct(plane: DevicePlane) -> bool:
    """Whether TensorRT takes the memory as it is: without gaps, and aligned."""
    return plane.is_dense and plane.pointer % ALIGNMENT == 0


class _Buffers:
    """Page-locked host memory and device memory of one size."""

    def __init__(self, cuda: CudaDriver, size: int) -> None:
        self._cuda = cuda
        self.pinned, self.device = ctypes.c_void_p(), DevicePointer()
        cuda.call("cuMemHostAlloc", ctypes.byref(self.pinned), size, 0)
        try:
            cuda.call("cuMemAlloc_v2", ctypes.byref(self.device), size)
        except BackendError:
            cuda.call("cuMemFreeHost", self.pinned)
            raise
        memory = (ctypes.c_uint8 * size).from_address(self.pinned.value or 0)
        self._bytes: Plane = np.ctypeslib.as_array(memory)

    def host(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Plane:
        """The first samples of the host memory as an array."""
        samples: Plane = self._bytes[: math.prod(shape) * dtype.itemsize].view(dtype)
        return samples.reshape(shape)

    def free(self) -> None:
        """Give both back."""
        self._cuda.call("cuMemFreeHost", self.pinned)
        self._cuda.call("cuMemFree_v2", self.device)
