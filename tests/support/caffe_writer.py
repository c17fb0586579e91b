"""Caffe's .caffemodel in protobuf's wire format, written from the message definitions."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from torch import Tensor


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes | str | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    data = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(data)) + data


def blob(tensor: Tensor, *, old: bool = False, packed: bool = True, double: bool = False) -> bytes:
    values = tensor.flatten().tolist()
    code, number, wire = ("d", 8, 1) if double else ("f", 5, 5)
    if packed:
        data = field(number, struct.pack(f"<{len(values)}{code}", *values))
    else:
        data = b"".join(varint(number << 3 | wire) + struct.pack(f"<{code}", v) for v in values)
    if old:
        shape = [1] * (4 - tensor.dim()) + list(tensor.shape)
        return b"".join(field(i, size) for i, size in enumerate(shape, start=1)) + data
    return data + field(7, field(1, b"".join(varint(size) for size in tensor.shape)))


def caffemodel(state: Mapping[str, Tensor], **form: bool) -> bytes:
    """A NetParameter of ``layer.weight`` and ``layer.bias``, with layers that have no blobs."""
    layers: dict[str, list[Tensor]] = {}
    for name, tensor in state.items():
        layers.setdefault(name.rpartition(".")[0], []).append(tensor)
    data = field(1, "DPFN") + field(100, field(1, "data") + field(2, "HDF5Data"))
    for name, tensors in layers.items():
        blobs = b"".join(field(7, blob(tensor, **form)) for tensor in tensors)
        data += field(100, field(1, name) + field(2, "Convolution") + field(10, 0) + blobs)
        data += field(100, field(1, f"relu_{name}") + field(2, "ReLU"))
    return data
