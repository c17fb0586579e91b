"""Caffe's .caffemodel files: the layers' weights, read from protobuf's wire format.

The file is one ``NetParameter`` message. Only what weights need is read: the layers' names and
their blobs, in the current form (field ``layer``) and in the one before it (``layers``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

# Field numbers: those of the layers in NetParameter, then of name and blobs within each.
_LAYERS = {100: (1, 7), 2: (4, 6)}
_OLD_SHAPE, _FLOATS, _SHAPE, _DOUBLES = (1, 2, 3, 4), 5, 7, 8
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
# Of a layer's blobs; later ones are statistics of layers that no network here has.
_BLOB_NAMES = ("weight", "bias")
_MOST_DIMENSIONS = 8

Field = tuple[int, int, memoryview | int]


def read_caffe_file(data: bytes) -> dict[str, Tensor]:
    """Blobs as ``layer.weight`` and ``layer.bias`` in float32, in the order of the layers.

    Raises ValueError for what is no such message, ends early or holds no blobs.
    """
    tensors: dict[str, Tensor] = {}
    for number, kind, value in _fields(memoryview(data)):
        if number in _LAYERS and kind == _BYTES:
            assert isinstance(value, memoryview)
            name, blobs = _layer(value, *_LAYERS[number])
            for index, blob in enumerate(blobs):
                suffix = _BLOB_NAMES[index] if index < len(_BLOB_NAMES) else str(index)
                if f"{name}.{suffix}" in tensors:
                    raise ValueError(f"it holds two layers named {name}")
                tensors[f"{name}.{suffix}"] = blob
    if not tensors:
        raise ValueError("it holds no layers with weights")
    return tensors


def _layer(data: memoryview, name_field: int, blob_field: int) -> tuple[str, list[Tensor]]:
    name, blobs = "", []
    for number, kind, value in _fields(data):
        if isinstance(value, memoryview) and kind == _BYTES:
            if number == name_field:
                name = bytes(value).decode("utf-8", errors="replace")
            elif number == blob_field:
                blobs.append(_blob(name, value))
    return name, blobs


def _blob(layer: str, data: memoryview) -> Tensor:
    """A BlobProto: its shape, or the older num, channels, height, width; floats or doubles."""
    shape: list[int] = []
    old_shape = dict.fromkeys(_OLD_SHAPE, 0)
    parts: list[Tensor] = []
    for number, _, value in _fields(data):
        if number in _OLD_SHAPE and isinstance(value, int):
            old_shape[number] = value
        elif number == _SHAPE and isinstance(value, memoryview):
            shape += _dimensions(value)
        elif number == _FLOATS and isinstance(value, memoryview):
            parts.append(_numbers(value, torch.float32))
        elif number == _DOUBLES and isinstance(value, memoryview):
            parts.append(_numbers(value, torch.float64))
    if not shape and any(old_shape.values()):
        shape = list(old_shape.values())
    values = torch.cat(parts) if parts else torch.empty(0)
    if len(shape) > _MOST_DIMENSIONS or math.prod(shape) != len(values):
        raise ValueError(
            f"its layer {layer} claims a blob of shape {shape[:_MOST_DIMENSIONS]}, "
            f"but holds {len(values)} numbers"
        )
    return values.reshape(shape)


def _dimensions(data: memoryview) -> Iterator[int]:
    """A BlobShape: varints one by one, or packed."""
    for number, _, value in _fields(data):
        if number != 1:
            continue
        if isinstance(value, int):
            yield value
            continue
        position = 0
        while position < len(value):
            dimension, position = _varint(value, position)
            yield dimension


def _numbers(data: memoryview, dtype: torch.dtype) -> Tensor:
    """Little-endian numbers, one or many; float32."""
    if not len(data) or len(data) % dtype.itemsize:
        raise ValueError(f"it holds {len(data)} bytes of numbers of {dtype.itemsize} bytes")
    return torch.frombuffer(bytearray(data), dtype=dtype).to(torch.float32)


def _fields(data: memoryview) -> Iterator[Field]:
    """Number, wire type and value of each field: an integer for varints, else its bytes."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield number, kind, value
            continue
        if kind == _BYTES:
            length, position = _varint(data, position)
        elif kind in (_FOUR_BYTES, _EIGHT_BYTES):
            length = 4 if kind == _FOUR_BYTES else 8
        else:
            raise ValueError("it is no Caffe model: a field has a wire type that none has")
        if number == 0 or length > len(data) - position:
            raise ValueError("it ends within a field, or is no Caffe model; is the file whole?")
        yield number, kind, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """An unsigned integer of at most 64 bits, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError("it ends within a number; is the file whole?")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("it is no Caffe model: a number is longer than 64 bits")
