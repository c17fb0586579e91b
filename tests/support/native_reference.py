"""The arithmetic of ``model.native`` in numpy: the specification of the native engine."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge_sr.data.resample import bicubic_phases

Array = NDArray[Any]
LOW, HIGH, MIDDLE = -128, 127, 128
_TYPES = {"F32": np.dtype("<f4"), "I8": np.dtype(np.int8)}


@dataclass(frozen=True)
class NativeFile:
    """Content of model.native: the description and tensors of each layer."""

    scale: int
    has_base: bool
    layers: tuple[dict[str, Any], ...]
    upsamples_first: bool = False


# Sum, multiplier and shift per output channel to a value; all broadcast to [out, h, w].
Rescale = Callable[[Array, Array, Array], Array]


def fused_rescale(total: Array, multiplier: Array, shift: Array) -> Array:
    """fma(float32(total), multiplier, shift), but for a double rounding too rare to matter."""
    product = total.astype(np.float32).astype(np.float64) * multiplier
    return (product + shift).astype(np.float32)


def read_native(data: bytes) -> NativeFile:
    """The file, without any of the checks that the engine's parser makes."""
    length = int.from_bytes(data[:8], "little")
    header, values = json.loads(data[8 : 8 + length]), data[8 + length :]
    network = json.loads(header.pop("__metadata__")["network"])
    layers = [dict(layer) for layer in network["layers"]]
    for name, entry in header.items():
        index, tensor = name.split(".", 1)
        begin, end = entry["data_offsets"]
        array = np.frombuffer(values[begin:end], _TYPES[entry["dtype"]])
        layers[int(index)][tensor] = array.reshape(entry["shape"])
    upsamples_first = network.get("head", "none") == "bicubic"
    return NativeFile(
        network["scale"], network["base"] == "bicubic", tuple(layers), upsamples_first
    )


def run_float(file: NativeFile, lr: Array) -> Array:
    """Grey levels in, unclamped grey levels out, in float64."""
    features = _picture(file, lr)[None]
    for layer in file.layers:
        features = _float_layer(layer, features)
    return _with_base(file, features, lr)


def run_int8(file: NativeFile, lr: Array, *, rescale: Rescale = fused_rescale) -> Array:
    """As :func:`run_float` with the INT8 layers in exact integers; ``lr`` is uint8."""
    features: Array = _picture(file, lr).astype(np.float32)[None]
    is_quantized = False
    for index, layer in enumerate(file.layers):
        if not layer["int8"]:
            features, is_quantized = _float_layer(layer, features.astype(np.float64)), False
            continue
        if not is_quantized:
            scale = layer["int8.input_scale"]
            features = to_int8(features - MIDDLE, 1) if index == 0 else to_int8(features, scale)
        unit = _input_scale_of(file, index + 1)
        features = _int8_layer(layer, features, unit, rescale)
        is_quantized = unit is not None
    return _with_base(file, features.astype(np.float64), lr)


def to_int8(values: Array, scale: Array) -> Array:
    """QuantizeLinear with zero point 0: round half to even, saturate; as int64."""
    return np.clip(np.rint(values / scale), LOW, HIGH).astype(np.int64)


def to_bytes(grey: Array) -> NDArray[np.uint8]:
    """Round half to even and clamp, as every backend does."""
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def _input_scale_of(file: NativeFile, index: int) -> Array | None:
    """Input scale of a layer that takes INT8; None behind the last or before a float layer."""
    if index == len(file.layers) or not file.layers[index]["int8"]:
        return None
    scale: Array = file.layers[index]["int8.input_scale"]
    return scale


def _int8_layer(
    layer: dict[str, Any], features: Array, unit: Array | None, rescale: Rescale
) -> Array:
    """Real values, or INT8 in units of ``unit``."""
    total = convolved(features, layer["int8.weight"], border=layer["border"]).astype(np.int64)
    divisor = 1.0 if unit is None else float(unit[0])
    per_channel = layer["int8.weight_scale"].astype(np.float64) * layer["int8.input_scale"]
    multiplier = (per_channel / divisor).astype(np.float32)[:, None, None]
    shift = (layer["int8.bias"] / divisor).astype(np.float32)[:, None, None]
    values = _activated(layer, rescale(total, multiplier, shift), divisor)
    return values if unit is None else to_int8(values, np.float32(1))


def _float_layer(layer: dict[str, Any], features: Array) -> Array:
    values = convolved(features, layer["weight"], border=0) + layer["bias"][:, None, None]
    return _activated(layer, values, 1.0)


def _activated(layer: dict[str, Any], values: Array, unit: float) -> Array:
    """PReLU or clip of values counted in ``unit``."""
    if layer["activation"] == "prelu":
        return np.where(values < 0, values * layer["slope"][:, None, None], values)
    if layer["activation"] == "clip":
        return np.clip(values, layer["low"] / unit, layer["high"] / unit)
    return values


def convolved(features: Array, weight: Array, *, border: int) -> NDArray[np.float64]:
    """[in, h, w] by [out, in, k, k] to [out, h, w]; float64 holds the integer sums exactly."""
    out_channels, _, kernel, _ = weight.shape
    radius, (height, width) = kernel // 2, features.shape[1:]
    around = ((0, 0), (radius, radius), (radius, radius))
    padded = np.pad(features.astype(np.float64), around, constant_values=border)
    windows = sliding_window_view(padded, (kernel, kernel), axis=(1, 2))
    columns = windows.transpose(0, 3, 4, 1, 2).reshape(-1, height * width)
    total = weight.astype(np.float64).reshape(out_channels, -1) @ columns
    return total.reshape(out_channels, height, width)


def _picture(file: NativeFile, lr: Array) -> NDArray[np.float64]:
    """What the first layer reads."""
    picture = lr.astype(np.float64)
    return _shuffled(_base_phases(lr, file.scale)) if file.upsamples_first else picture


def _with_base(file: NativeFile, phases: Array, lr: Array) -> Array:
    if file.upsamples_first:
        return phases[0] + _picture(file, lr) if file.has_base else phases[0]
    return _shuffled(phases + _base_phases(lr, file.scale) if file.has_base else phases)


def _base_phases(lr: Array, scale: int) -> NDArray[np.float64]:
    picture = np.pad(lr.astype(np.float64), 2, mode="edge")[None]
    weight = bicubic_phases(scale).astype(np.float32)[:, None]
    return convolved(picture, weight, border=0)[:, 2:-2, 2:-2]


def _shuffled(phases: Array) -> Array:
    """Depth-to-space of [scale*scale, h, w]."""
    count, height, width = phases.shape
    scale = math.isqrt(count)
    blocks = phases.reshape(scale, scale, height, width).transpose(2, 0, 3, 1)
    return blocks.reshape(height * scale, width * scale)
