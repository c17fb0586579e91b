"""Pictures that lie in GPU memory, as any library hands them over: no copy, no import."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

# Values of the DLPack specification.
_DLPACK_CUDA, _DLPACK_CUDA_MANAGED = 2, 13
_DLPACK_CODES = {0: "i", 1: "u", 2: "f"}
# Of __cuda_array_interface__ and DLPack alike.
_LEGACY_DEFAULT_STREAM = 1


@dataclass(frozen=True)
class DevicePlane:
    """An HxW plane in GPU memory; rows lie ``row_bytes`` apart.

    ``stream``: where its content is produced, as a handle; 0 if it is there already. ``owner``
    keeps the memory alive.
    """

    pointer: int
    height: int
    width: int
    row_bytes: int
    dtype: np.dtype[Any]
    stream: int
    owner: Any

    @property
    def is_dense(self) -> bool:
        """Whether rows follow one another without a gap."""
        return self.row_bytes == self.width * self.dtype.itemsize


def device_plane(source: Any, *, stream: int = 0) -> DevicePlane:
    """A view of an array with ``__cuda_array_interface__`` or DLPack's ``__dlpack__``.

    HxW of native byte order, or with leading axes of length 1, and samples of a row side by side.
    ``stream`` is where it will be read: a DLPack producer waits for itself there. ValueError for
    anything else.
    """
    if hasattr(source, "__cuda_array_interface__"):
        return _from_interface(source)
    if hasattr(source, "__dlpack__"):
        return _from_dlpack(source, stream)
    raise ValueError(f"{type(source).__name__} has neither __cuda_array_interface__ nor __dlpack__")


def _from_interface(source: Any) -> DevicePlane:
    facts = source.__cuda_array_interface__
    dtype = np.dtype(facts["typestr"])
    shape = tuple(int(side) for side in facts["shape"])
    strides = facts.get("strides")
    if strides is None:
        strides = _dense_strides(shape, dtype.itemsize)
    pointer = int(facts["data"][0])
    return _plane(source, pointer, shape, tuple(strides), dtype, int(facts.get("stream") or 0))


class _DlDevice(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int32), ("id", ctypes.c_int32))


class _DlType(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _DlTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _DlDevice),
        ("ndim", ctypes.c_int32),
        ("dtype", _DlType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


def _from_dlpack(source: Any, stream: int) -> DevicePlane:
    device, _ = source.__dlpack_device__()
    if int(device) not in (_DLPACK_CUDA, _DLPACK_CUDA_MANAGED):
        raise ValueError(f"the array lies on DLPack device type {int(device)}, not in GPU memory")
    capsule = source.__dlpack__(stream=stream or _LEGACY_DEFAULT_STREAM)
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    # The capsule is not renamed: it stays the owner and frees the tensor when it goes.
    tensor = _DlTensor.from_address(pointer_of(capsule, b"dltensor"))
    code = _DLPACK_CODES.get(tensor.dtype.code)
    if code is None or tensor.dtype.lanes != 1 or tensor.dtype.bits % 8:
        raise ValueError(f"DLPack type {tensor.dtype.code} of {tensor.dtype.bits} bits")
    dtype = np.dtype(f"{code}{tensor.dtype.bits // 8}")
    shape = tuple(tensor.shape[axis] for axis in range(tensor.ndim))
    strides = _dense_strides(shape, dtype.itemsize)
    if tensor.strides:
        strides = tuple(tensor.strides[axis] * dtype.itemsize for axis in range(tensor.ndim))
    pointer = (tensor.data or 0) + tensor.byte_offset
    return _plane(capsule, pointer, shape, strides, dtype, 0)


def _plane(
    owner: Any,
    pointer: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    dtype: np.dtype[Any],
    stream: int,
) -> DevicePlane:
    if len(shape) < 2 or any(side != 1 for side in shape[:-2]) or 0 in shape:
        raise ValueError(f"an array of shape {shape} is no plane")
    if not dtype.isnative:
        raise ValueError(f"samples of type {dtype.str} are not in this machine's byte order")
    height, width = shape[-2:]
    row_bytes = strides[-2] if height > 1 else width * dtype.itemsize
    if (width > 1 and strides[-1] != dtype.itemsize) or row_bytes < width * dtype.itemsize:
        raise ValueError(f"strides {strides} do not keep the samples of a row side by side")
    return DevicePlane(pointer, height, width, row_bytes, dtype, stream, owner)


def _dense_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides, step = [], itemsize
    for side in reversed(shape):
        strides.append(step)
        step *= side
    return tuple(reversed(strides))
