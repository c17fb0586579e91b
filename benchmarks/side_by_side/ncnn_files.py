"""A chain as ncnn's two files, since ncnn's wheel reads no ONNX."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from side_by_side.cases import SUB_PIXEL
from side_by_side.chain import Chain, Layer, transposed_tail
from side_by_side.reference import BASE_RADIUS, base_weight

_MAGIC = 7767517
_FLOAT_TAG, _INT8_TAG = b"\0\0\0\0", (0x000D4B38).to_bytes(4, "little")
_REPLICATE = 1


@dataclass
class _Net:
    lines: list[str] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    blobs: int = 0

    def add(self, kind: str, sources: str, outputs: str, options: str = "") -> None:
        inputs, names = sources.split(), outputs.split()
        blobs = " ".join([*inputs, *names])
        name = f"{kind}{len(self.lines)}"
        self.lines.append(f"{kind} {name} {len(inputs)} {len(names)} {blobs} {options}")
        self.blobs += len(names)


def ncnn_files(chain: Chain, *, form: str, is_int8: bool) -> tuple[str, bytes]:
    """Content of the .param and the .bin file; blobs ``lr`` and ``sr``, grey levels."""
    net = _Net()
    net.add("Input", "", "lr")
    blob = "lr"
    if chain.has_base:
        net.add("Split", "lr", "picture for_base")
        blob = "picture"
    for index, layer in enumerate(chain.layers[:-1]):
        # The first layer's INT8 input is shifted by 128, which ncnn's INT8 cannot say.
        layer = chain.in_float(0, is_int8=is_int8) if index == 0 else layer
        _convolution(net, layer, blob, f"conv{index}", is_int8=is_int8 and index > 0)
        blob = _activation(net, layer, f"conv{index}", f"act{index}")
    learnt = "learnt" if chain.has_base else "sr"
    if form == SUB_PIXEL:
        _convolution(net, chain.tail, blob, "phases", is_int8=is_int8)
        net.add("PixelShuffle", "phases", learnt, f"0={chain.scale}")
    else:
        _deconvolution(net, chain, blob, learnt, is_int8=is_int8)
    if chain.has_base:
        _base(net, chain.scale)
        net.add("BinaryOp", "learnt base", "sr", "0=0")
    text = "\n".join([str(_MAGIC), f"{len(net.lines)} {net.blobs}", *net.lines])
    return text + "\n", b"".join(net.data)


def _convolution(net: _Net, layer: Layer, source: str, output: str, *, is_int8: bool) -> None:
    count, _, kernel, _ = layer.weight.shape
    options = f"0={count} 1={kernel} 4={kernel // 2} 5=1 6={layer.weight.size}"
    if not is_int8 or layer.int8 is None:
        net.add("Convolution", source, output, options)
        net.data += [_FLOAT_TAG, layer.weight.tobytes(), layer.bias.tobytes()]
        return
    int8 = layer.int8
    net.add("Convolution", source, output, options + " 8=2")
    raw = int8.weight.tobytes()
    net.data += [_INT8_TAG, raw, b"\0" * (-len(raw) % 4), int8.bias.tobytes()]
    # ncnn multiplies by its scales where Q/DQ divides.
    net.data.append((1 / int8.scale).astype("<f4").tobytes())
    net.data.append(np.array([1 / int8.input_scale], "<f4").tobytes())


def _activation(net: _Net, layer: Layer, source: str, output: str) -> str:
    if layer.slope is not None:
        net.add("PReLU", source, output, f"0={layer.slope.size}")
        net.data.append(layer.slope.tobytes())
        return output
    if layer.clip is not None:
        net.add("Clip", source, output, f"0={layer.clip[0]:.9g} 1={layer.clip[1]:.9g}")
        return output
    return source


def _deconvolution(net: _Net, chain: Chain, source: str, output: str, *, is_int8: bool) -> None:
    kernel, bias = transposed_tail(chain.in_float(-1, is_int8=is_int8), chain.scale)
    side, extra = kernel.shape[2], chain.scale - 1
    shape = f"0=1 1={side} 3={chain.scale} 4={side // 2} 18={extra} 19={extra}"
    net.add("Deconvolution", source, output, f"{shape} 5=1 6={kernel.size}")
    net.data += [_FLOAT_TAG, kernel.tobytes(), bias.tobytes()]


def _base(net: _Net, scale: int) -> None:
    pad = " ".join(f"{side}={BASE_RADIUS}" for side in range(4))
    net.add("Padding", "for_base", "padded", f"{pad} 4={_REPLICATE}")
    weight = base_weight(scale)
    net.add("Convolution", "padded", "base_phases", f"0={len(weight)} 1=5 5=0 6={weight.size}")
    net.data += [_FLOAT_TAG, weight.tobytes()]
    net.add("PixelShuffle", "base_phases", "base", f"0={scale}")
