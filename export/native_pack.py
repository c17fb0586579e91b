"""``model.native``: the chain and its weights for the native engine, as one safetensors file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.chain_reader import read_chain
from export.graph import constants, producers, samples_of
from export.plain_chain import ChainLayer, NotAPlainChainError, to_odd_square
from export.qdq import PEAK

# Version 2 says what the layers read; files that need no more are of version 1.
FORMAT, FORMAT_VERSION, HEAD_VERSION = "edge-sr-native", "1", "2"
# The first layer's int8 input is the grey level minus 128, padded with black.
PICTURE_BORDER, PICTURE_SCALE = -128, np.float32(1 / PEAK)
_ALIGNMENT = 8
_DTYPES = {"float32": "F32", "int8": "I8"}


@dataclass(frozen=True)
class QuantizedWeights:
    """A layer in INT8: weight = weight_scale[out] * weight, activation = input_scale * q."""

    weight: NDArray[np.int8]
    weight_scale: NDArray[np.float32]
    bias: NDArray[np.float32]
    input_scale: np.float32
    slope: NDArray[np.float32] | None


@dataclass(frozen=True)
class NativeModel:
    """The file's content, and how many of its layers are INT8."""

    data: bytes
    layers: int
    int8_layers: int

    @property
    def text(self) -> str:
        """For people."""
        return f"packed, {self.layers} layers, {self.int8_layers} in int8"


@dataclass(frozen=True)
class Unpacked:
    """Why a network has no native model."""

    reason: str

    @property
    def text(self) -> str:
        """For people."""
        return f"not packed: {self.reason}"


def pack_or_reason(
    twin: onnx.ModelProto, scale: int, *, int8_twin: onnx.ModelProto | None = None
) -> NativeModel | Unpacked:
    """The native model, or why there is none: a bundle is complete without it."""
    try:
        return pack_native(twin, scale, int8_twin=int8_twin)
    except NotAPlainChainError as error:
        return Unpacked(str(error))


def pack_native(
    twin: onnx.ModelProto, scale: int, *, int8_twin: onnx.ModelProto | None = None
) -> NativeModel:
    """The native model of a float grey-level graph, with INT8 weights where given.

    Raises NotAPlainChainError with the reason if the native engine does not run the network.
    """
    if samples_of(twin.graph) != 1:
        raise NotAPlainChainError("it takes RGB, and the native engine runs luminance alone")
    chain = read_chain(twin, scale)
    quantized = _quantized_layers(int8_twin) if int8_twin is not None else {}
    tensors: dict[str, NDArray[Any]] = {}
    layers = []
    for index, layer in enumerate(chain.layers):
        int8 = quantized.get(layer.output)
        if index == 0 and int8 is not None:
            _check_picture(layer, int8)
        if int8 is not None:
            _check_slope(layer, int8)
        layers.append(_description(layer, int8, is_first=index == 0))
        for name, values in _tensors_of(layer, int8).items():
            tensors[f"{index}.{name}"] = values
    base = "bicubic" if chain.has_base else "none"
    head = {"head": "bicubic"} if chain.upsamples_first else {}
    network = {"scale": scale, **head, "base": base, "layers": layers}
    metadata = {
        "format": FORMAT,
        "version": HEAD_VERSION if chain.upsamples_first else FORMAT_VERSION,
        "network": json.dumps(network, separators=(",", ":")),
    }
    return NativeModel(
        _safetensors(tensors, metadata), len(layers), sum(layer["int8"] for layer in layers)
    )


def _check_picture(first: ChainLayer, int8: QuantizedWeights) -> None:
    """The engine takes the 256 levels as they are, as export/qdq.py does."""
    if int8.input_scale != PICTURE_SCALE:
        raise NotAPlainChainError(
            f"the INT8 input of its first layer {first.name} is not the picture's 256 levels"
        )


def _check_slope(layer: ChainLayer, int8: QuantizedWeights) -> None:
    """One slope serves all precisions; weights that were fine-tuned for INT8 must have kept it."""
    slope = layer.activation.slope
    if slope is not None and int8.slope is not None and not np.array_equal(slope, int8.slope):
        raise NotAPlainChainError(f"the PReLU after {layer.name} has another slope in INT8")


def _description(
    layer: ChainLayer, int8: QuantizedWeights | None, *, is_first: bool
) -> dict[str, Any]:
    out_channels, in_channels, kernel, _ = layer.weight.shape
    entry: dict[str, Any] = {
        "name": layer.name.encode("ascii", "replace").decode()[:100],
        "kernel": kernel,
        "in": in_channels,
        "out": out_channels,
        "activation": "none",
        "int8": int8 is not None,
    }
    if layer.activation.slope is not None:
        entry["activation"] = "prelu"
    if layer.activation.clip is not None:
        low, high = layer.activation.clip
        entry |= {"activation": "clip", "low": low, "high": high}
    if int8 is not None:
        entry["border"] = PICTURE_BORDER if is_first else 0
    return entry


def _tensors_of(layer: ChainLayer, int8: QuantizedWeights | None) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {"weight": layer.weight, "bias": layer.bias}
    if layer.activation.slope is not None:
        tensors["slope"] = layer.activation.slope
    if int8 is not None:
        tensors |= {
            "int8.weight": to_odd_square(int8.weight, layer.pads),
            "int8.weight_scale": int8.weight_scale,
            "int8.bias": int8.bias,
            "int8.input_scale": np.array([int8.input_scale], np.float32),
        }
    return tensors


def _quantized_layers(twin: onnx.ModelProto) -> dict[str, QuantizedWeights]:
    """The convolutions of a Q/DQ graph whose input and weight are both quantised, by output."""
    arrays, writers = constants(twin.graph), producers(twin.graph)
    slopes = {n.input[0]: arrays[n.input[1]] for n in twin.graph.node if n.op_type == "PRelu"}

    def dequantizer(tensor: str) -> onnx.NodeProto | None:
        node = writers.get(tensor)
        return node if node is not None and node.op_type == "DequantizeLinear" else None

    layers = {}
    for node in twin.graph.node:
        if node.op_type != "Conv":
            continue
        activation, weight = dequantizer(node.input[0]), dequantizer(node.input[1])
        if activation is None or weight is None:
            continue
        levels, scales = arrays[weight.input[0]], arrays[weight.input[1]]
        channels = len(levels)
        bias = arrays[node.input[2]] if len(node.input) > 2 else np.zeros(channels, np.float32)
        slope = slopes.get(node.output[0])
        layers[node.output[0]] = QuantizedWeights(
            levels,
            np.broadcast_to(scales.reshape(-1), channels).astype(np.float32),
            bias.astype(np.float32),
            np.float32(arrays[activation.input[1]].reshape(-1)[0]),
            None if slope is None else np.broadcast_to(slope.reshape(-1), channels),
        )
    return layers


def _safetensors(tensors: dict[str, NDArray[Any]], metadata: dict[str, str]) -> bytes:
    """The safetensors library orders metadata at random; a bundle's digest must not change."""
    header: dict[str, Any] = {"__metadata__": metadata}
    chunks, offset = [], 0
    # Wide types first, so that every tensor is aligned.
    for name in sorted(tensors, key=lambda n: (-tensors[n].itemsize, n)):
        values = np.ascontiguousarray(tensors[name])
        data = values.astype(values.dtype.newbyteorder("<")).tobytes()
        header[name] = {
            "dtype": _DTYPES[values.dtype.name],
            "shape": list(values.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text + b"".join(chunks)
