"""The CUDA driver through ctypes: memory, streams, graphs. No toolkit, no torch, no pycuda."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from runtime.errors import BackendError, DeviceMemoryError, UnsupportedError

LIBRARY = "libcuda.so.1"
DRIVER_VERSION_FILE = Path("/proc/driver/nvidia/version")

# Values of cuda.h.
COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76
STREAM_NON_BLOCKING = 1
EVENT_DISABLE_TIMING = 2
CAPTURE_THREAD_LOCAL = 1
MEMORY_DEVICE = 2
OUT_OF_MEMORY = 2

Device, DevicePointer = c_int, c_uint64


class Copy2D(ctypes.Structure):
    """CUDA_MEMCPY2D_v2: a rectangle of bytes between two pitched arrays."""

    _fields_ = (
        ("source_x", c_size_t),
        ("source_y", c_size_t),
        ("source_type", c_int),
        ("source_host", c_void_p),
        ("source_device", DevicePointer),
        ("source_array", c_void_p),
        ("source_pitch", c_size_t),
        ("target_x", c_size_t),
        ("target_y", c_size_t),
        ("target_type", c_int),
        ("target_host", c_void_p),
        ("target_device", DevicePointer),
        ("target_array", c_void_p),
        ("target_pitch", c_size_t),
        ("width_in_bytes", c_size_t),
        ("height", c_size_t),
    )


# Handles (contexts, streams, events, graphs) are pointers.
PROTOTYPES: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "cuInit": (c_uint,),
        "cuDriverGetVersion": (POINTER(c_int),),
        "cuGetErrorString": (c_int, POINTER(c_char_p)),
        "cuDeviceGetCount": (POINTER(c_int),),
        "cuDeviceGet": (POINTER(Device), c_int),
        "cuDeviceGetName": (c_char_p, c_int, Device),
        "cuDeviceGetAttribute": (POINTER(c_int), c_int, Device),
        "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), Device),
        "cuCtxSetCurrent": (c_void_p,),
        "cuMemAlloc_v2": (POINTER(DevicePointer), c_size_t),
        "cuMemFree_v2": (DevicePointer,),
        "cuMemHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
        "cuMemFreeHost": (c_void_p,),
        "cuMemcpyHtoDAsync_v2": (DevicePointer, c_void_p, c_size_t, c_void_p),
        "cuMemcpyDtoHAsync_v2": (c_void_p, DevicePointer, c_size_t, c_void_p),
        "cuMemcpy2DAsync_v2": (POINTER(Copy2D), c_void_p),
        "cuStreamCreate": (POINTER(c_void_p), c_uint),
        "cuStreamDestroy_v2": (c_void_p,),
        "cuStreamSynchronize": (c_void_p,),
        "cuStreamBeginCapture_v2": (c_void_p, c_int),
        "cuStreamEndCapture": (c_void_p, POINTER(c_void_p)),
        "cuGraphInstantiateWithFlags": (POINTER(c_void_p), c_void_p, c_uint64),
        "cuGraphLaunch": (c_void_p, c_void_p),
        "cuGraphExecDestroy": (c_void_p,),
        "cuGraphDestroy": (c_void_p,),
        "cuEventCreate": (POINTER(c_void_p), c_uint),
        "cuEventRecord": (c_void_p, c_void_p),
        "cuEventDestroy_v2": (c_void_p,),
        "cuStreamWaitEvent": (c_void_p, c_void_p, c_uint),
    }
)


@dataclass(frozen=True)
class GpuFacts:
    """What a plan depends on. ``cuda`` is the driver's CUDA version, ``driver`` its release."""

    name: str
    compute_capability: str
    cuda: str
    driver: str


class CudaDriver:
    """The first device with its primary context, which TensorRT and CUDA's runtime use, too."""

    def __init__(self, library: Any) -> None:
        self._library = library
        for name, arguments in PROTOTYPES.items():
            try:
                function = getattr(library, name)
            except AttributeError as error:
                raise UnsupportedError(f"the CUDA driver is too old: it has no {name}") from error
            function.argtypes, function.restype = arguments, c_int
        self.call("cuInit", 0)
        count = c_int()
        self.call("cuDeviceGetCount", ctypes.byref(count))
        if count.value == 0:
            raise UnsupportedError("the CUDA driver sees no device")
        self._device, self._context = Device(), c_void_p()
        self.call("cuDeviceGet", ctypes.byref(self._device), 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
        self.make_current()

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of the driver; DeviceMemoryError or BackendError if it fails."""
        code = getattr(self._library, name)(*arguments)
        if code == 0:
            return
        text = c_char_p()
        self._library.cuGetErrorString(code, ctypes.byref(text))
        kind = DeviceMemoryError if code == OUT_OF_MEMORY else BackendError
        reason = (text.value or b"unknown error").decode()
        raise kind(f"{name} failed: {reason} (CUDA error {code})")

    def make_current(self) -> None:
        """Bind the context to the calling thread; cheap."""
        self.call("cuCtxSetCurrent", self._context)

    def facts(self) -> GpuFacts:
        """The device and its driver."""
        name = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", name, len(name), self._device)
        major, minor = (
            self._attribute(code) for code in (COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR)
        )
        version = c_int()
        self.call("cuDriverGetVersion", ctypes.byref(version))
        return GpuFacts(
            name=name.value.decode(errors="replace"),
            compute_capability=f"{major}.{minor}",
            cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
            driver=driver_release(),
        )

    def _attribute(self, code: int) -> int:
        value = c_int()
        self.call("cuDeviceGetAttribute", ctypes.byref(value), code, self._device)
        return value.value


def driver_release(path: Path = DRIVER_VERSION_FILE) -> str:
    """Such as ``560.35.03``; empty where the kernel module does not say."""
    try:
        found = re.search(r"\b(\d+\.\d+(?:\.\d+)?)\b", path.read_text())
    except OSError:
        return ""
    return found.group(1) if found else ""


@cache
def cuda_driver() -> CudaDriver:
    """The driver of this machine; UnsupportedError if there is none or it sees no device."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise UnsupportedError(f"no CUDA driver here: {error}") from error
    try:
        return CudaDriver(library)
    except BackendError as error:
        raise UnsupportedError(f"no CUDA device here: {error}") from error
