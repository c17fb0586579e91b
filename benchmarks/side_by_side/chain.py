"""A bundle's ``model.native`` as arrays: the layers that every runtime here must reproduce."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.manifest import NATIVE_MODEL, read_manifest, verify_file

Array = NDArray[Any]
_DTYPES = {"F32": "<f4", "I8": "i1"}


@dataclass(frozen=True)
class Int8Weights:
    """A layer in INT8: real weight = scale[out] * weight, real activation = input_scale * q.

    The first layer's are for an input in 1/255, with 128 taken from its bytes.
    """

    weight: Array
    scale: Array
    bias: Array
    input_scale: float


@dataclass(frozen=True)
class Layer:
    """A convolution [out, in, k, k] padded to the same size, with PReLU slopes or a clip."""

    weight: Array
    bias: Array
    slope: Array | None = None
    clip: tuple[float, float] | None = None
    int8: Int8Weights | None = None


@dataclass(frozen=True)
class Chain:
    """Layers from grey levels to the scale*scale phases; ``has_base`` adds bicubic upscaling."""

    scale: int
    has_base: bool
    layers: tuple[Layer, ...]

    @property
    def tail(self) -> Layer:
        """The sub-pixel convolution."""
        return self.layers[-1]

    def in_float(self, index: int, *, is_int8: bool) -> Layer:
        """A layer for float arithmetic: of the INT8 network, whose weights may differ, if asked."""
        layer = self.layers[index]
        if not is_int8 or layer.int8 is None:
            return layer
        weight = layer.int8.weight * layer.int8.scale[:, None, None, None]
        bias = layer.int8.bias
        if index == 0:
            bias = bias - weight.sum(axis=(1, 2, 3)) * np.float32(128 / 255)
            weight = weight / np.float32(255)
        return replace(layer, weight=weight.astype(np.float32), bias=bias.astype(np.float32))

    @property
    def macs(self) -> int:
        """Multiply-accumulates for an LR pixel without base and structural zeros.

        A tap of the tail that is zero for all channels is one that a transposed convolution lacks.
        """
        body = sum(layer.weight.size for layer in self.layers[:-1])
        taps = np.any(self.tail.weight != 0, axis=1).sum()
        return int(body + taps * self.tail.weight.shape[1])


def read_chain(bundle: Path) -> Chain:
    """The chain of a bundle. Raises what ``runtime.manifest`` raises for a bundle without one."""
    data = verify_file(bundle, NATIVE_MODEL, read_manifest(bundle))
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    network = json.loads(header.pop("__metadata__")["network"])
    tensors = {name: _tensor(data[start:], entry) for name, entry in header.items()}
    layers = [_layer(entry, tensors, index) for index, entry in enumerate(network["layers"])]
    return Chain(network["scale"], network["base"] == "bicubic", tuple(layers))


def transposed_tail(tail: Layer, scale: int) -> tuple[Array, Array]:
    """Kernel [in, 1, k, k] and bias [1] of the transposed convolution that equals ``tail``.

    Its stride is ``scale``, its padding k // 2, its output padding scale - 1. Tap dy of phase ry
    is transposed tap ry - scale * dy + k // 2. ValueError if there is no such convolution.
    """
    phases, channels, size, _ = tail.weight.shape
    middle = scale * (size // 2 + 1)
    kernel = np.zeros((channels, 1, 2 * middle + 1, 2 * middle + 1), tail.weight.dtype)
    for phase, ky, kx in np.ndindex(phases, size, size):
        y = middle + phase // scale - scale * (ky - size // 2)
        x = middle + phase % scale - scale * (kx - size // 2)
        kernel[:, 0, y, x] = tail.weight[phase, :, ky, kx]
    rows, columns = np.nonzero(np.any(kernel != 0, axis=(0, 1)))
    if rows.size == 0:
        raise ValueError("the tail is zero")
    padding = middle - min(rows.min(), columns.min())
    if max(rows.max(), columns.max()) > middle + padding:
        raise ValueError("the tail is no transposed convolution of an odd kernel")
    if np.any(tail.bias != tail.bias[0]):
        raise ValueError("the tail has a bias for each phase, a transposed convolution has one")
    cut = slice(middle - padding, middle + padding + 1)
    return np.ascontiguousarray(kernel[:, :, cut, cut]), tail.bias[:1].copy()


def _tensor(data: bytes, entry: dict[str, Any]) -> Array:
    begin, end = entry["data_offsets"]
    return np.frombuffer(data[begin:end], _DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _layer(entry: dict[str, Any], tensors: dict[str, Array], index: int) -> Layer:
    int8 = None
    if entry["int8"]:
        int8 = Int8Weights(
            tensors[f"{index}.int8.weight"],
            tensors[f"{index}.int8.weight_scale"],
            tensors[f"{index}.int8.bias"],
            float(tensors[f"{index}.int8.input_scale"][0]),
        )
    return Layer(
        tensors[f"{index}.weight"],
        tensors[f"{index}.bias"],
        tensors.get(f"{index}.slope"),
        (entry["low"], entry["high"]) if entry["activation"] == "clip" else None,
        int8,
    )
