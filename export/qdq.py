"""INT8 as QuantizeLinear/DequantizeLinear pairs on the inputs of the learnt convolutions.

Activations are symmetric per tensor; weights are symmetric per output channel and stored in INT8
behind a DequantizeLinear alone; zero points are 0, biases float32. Nothing stands between a
convolution and its PReLU and nothing on the tail's output, so an engine can fuse convolution,
activation and the next quantisation. The fixed base, the addition, clip and round keep float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from export.graph import (
    add_constant,
    attributes,
    constants,
    copy_of,
    enlarging_head,
    finish,
    fresh_name,
    producers,
    residual_convolutions,
)

LEVELS = 127
PEAK = 255.0
_MIDDLE = 128.0


def quantizable_convs(model: onnx.ModelProto) -> list[str]:
    """Names of the convolutions of the learnt path, in order."""
    return [node.name for node in residual_convolutions(model.graph)]


def quantizable_tensors(model: onnx.ModelProto) -> list[str]:
    """Activations that need a range: the input of each learnt convolution but the first.

    The first reads the picture, whose 256 levels are kept exactly at a fixed scale; where it is
    enlarged first, the enlargement is rounded to those levels.
    """
    graph = model.graph
    first = _picture_readers(graph)
    names = [n.input[0] for n in residual_convolutions(graph) if n.output[0] not in first]
    return list(dict.fromkeys(names))


def quantizable_weights(model: onnx.ModelProto) -> list[str]:
    """Weights of the learnt convolutions, by name, in order."""
    return list(dict.fromkeys(n.input[1] for n in residual_convolutions(model.graph)))


def quantize(
    model: onnx.ModelProto, ranges: dict[str, float], *, keep_float: frozenset[str] = frozenset()
) -> onnx.ModelProto:
    """Insert the pairs into a graph of grey levels (bytes or their float twin).

    ``ranges`` holds the symmetric range of each of :func:`quantizable_tensors`; tensors named in
    ``keep_float`` (activations or weights) stay float32. Raises ValueError if a range is missing
    or not positive, or if the picture reaches a convolution in a way that is not understood.
    """
    for name in quantizable_tensors(model):
        if name not in keep_float and not ranges.get(name, 0.0) > 0:
            raise ValueError(f"tensor {name} has no positive range; calibrate it or keep it float")
    model = copy_of(model)
    graph = model.graph
    first = _picture_readers(graph)
    pairs: dict[str, str] = {}
    for node in residual_convolutions(graph):
        if node.op_type != "Conv":
            raise ValueError(f"{node.op_type} {node.name} cannot be quantised; rewrite it first")
        if node.output[0] in first:
            _shift_picture(graph, node, first[node.output[0]], keep_float=keep_float)
        elif node.input[0] not in keep_float:
            name = node.input[0]
            if name not in pairs:
                pairs[name] = _pair(graph, name, np.float32(ranges[name] / LEVELS))
            node.input[0] = pairs[name]
        _quantize_weight(graph, node, keep_float)
    return finish(model)


def _picture_readers(graph: onnx.GraphProto) -> dict[str, float]:
    """Learnt convolutions that read the picture or its fixed enlargement, by output.

    The value is the factor on the grey levels.
    """
    writers, arrays = producers(graph), constants(graph)
    head = enlarging_head(graph)
    picture = head[-1].output[0] if head else graph.input[0].name
    found = {}
    for node in residual_convolutions(graph):
        factor, tensor = 1.0, node.input[0]
        while tensor in writers and tensor != picture:
            writer = writers[tensor]
            if writer.op_type == "Cast":
                tensor = writer.input[0]
            elif writer.op_type in ("Mul", "Div") and _scalar(arrays, writer.input[1]) is not None:
                value = _scalar(arrays, writer.input[1])
                assert value is not None
                factor = factor * value if writer.op_type == "Mul" else factor / value
                tensor = writer.input[0]
            else:
                break
        if tensor == picture:
            found[node.output[0]] = factor
    return found


def _scalar(arrays: dict[str, NDArray[Any]], name: str) -> float | None:
    values = arrays.get(name)
    return float(values.reshape(-1)[0]) if values is not None and values.size == 1 else None


def _grey_levels(graph: onnx.GraphProto, tensor: str) -> str:
    """The float32 tensor of grey levels behind the picture's optional scaling."""
    writers = producers(graph)
    while tensor in writers and writers[tensor].op_type in ("Mul", "Div"):
        tensor = writers[tensor].input[0]
    return tensor


def _shift_picture(
    graph: onnx.GraphProto, node: onnx.NodeProto, factor: float, *, keep_float: frozenset[str]
) -> None:
    """Feed (x - 128) / 255 at scale 1/255, which keeps all 256 levels, padded with -128/255.

    The weights take in ``factor`` and the bias what the shift removes, so the float function is
    unchanged. -128/255 in the shifted picture is the zero that the network pads with.
    """
    grey = _grey_levels(graph, node.input[0])
    if grey in keep_float:
        return
    arrays = constants(graph)
    weight = arrays[node.input[1]].astype(np.float64) * (factor * PEAK)
    bias = arrays[node.input[2]] if len(node.input) > 2 and node.input[2] else 0.0
    bias = bias + (_MIDDLE / PEAK) * weight.sum(axis=(1, 2, 3))
    stem = node.input[1]
    node.input[1] = add_constant(graph, f"{stem}.unit", weight.astype(np.float32))
    del node.input[2:]
    node.input.append(add_constant(graph, f"{stem}.shifted_bias", bias.astype(np.float32)))
    tensor = _binary(graph, "Sub", grey, _MIDDLE, "shifted")
    tensor = _binary(graph, "Mul", tensor, 1 / PEAK, "unit")
    tensor = _pad(graph, node, tensor)
    node.input[0] = _pair(graph, tensor, np.float32(1 / PEAK))


def _pad(graph: onnx.GraphProto, node: onnx.NodeProto, tensor: str) -> str:
    """Move the convolution's padding into a Pad with the value of black; returns its output."""
    options = attributes(node)
    if options.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise ValueError(f"convolution {node.name} pads by auto_pad; explicit pads are needed")
    pads = list(options.get("pads", [0, 0, 0, 0]))
    if not any(pads):
        return tensor
    kept = [a for a in node.attribute if a.name != "pads"]
    del node.attribute[:]
    node.attribute.extend(kept)
    top, left, bottom, right = pads
    amounts = add_constant(
        graph, f"{tensor}.pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
    )
    black = add_constant(graph, f"{tensor}.black", np.asarray(-_MIDDLE / PEAK, np.float32))
    padded = fresh_name(graph, f"{tensor}.padded")
    graph.node.append(helper.make_node("Pad", [tensor, amounts, black], [padded], padded))
    return padded


def _binary(graph: onnx.GraphProto, kind: str, tensor: str, value: float, suffix: str) -> str:
    constant = add_constant(graph, f"{tensor}.{suffix}_by", np.asarray(value, np.float32))
    result = fresh_name(graph, f"{tensor}.{suffix}")
    graph.node.append(helper.make_node(kind, [tensor, constant], [result], result))
    return result


def _quantize_weight(
    graph: onnx.GraphProto, node: onnx.NodeProto, keep_float: frozenset[str]
) -> None:
    """Store the weight in INT8, one scale per output channel, behind a DequantizeLinear."""
    name = node.input[1]
    if name.removesuffix(".unit") in keep_float or name in keep_float:
        return
    weight = constants(graph)[name]
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    scales = (np.maximum(largest, np.finfo(np.float32).tiny * 1e4) / LEVELS).astype(np.float32)
    levels = np.rint(weight / scales.reshape(-1, 1, 1, 1)).clip(-LEVELS, LEVELS).astype(np.int8)
    stored = add_constant(graph, f"{name}.int8", levels)
    node.input[1] = _dequantized(graph, stored, name, _scale_of(graph, name, scales), axis=0)


def _pair(graph: onnx.GraphProto, tensor: str, scale: np.float32) -> str:
    """Quantise and dequantise ``tensor`` with one scale; returns the dequantised tensor."""
    scale_and_zero = _scale_of(graph, tensor, scale)
    quantized = fresh_name(graph, f"{tensor}.int8")
    graph.node.append(
        helper.make_node("QuantizeLinear", [tensor, *scale_and_zero], [quantized], quantized)
    )
    return _dequantized(graph, quantized, tensor, scale_and_zero)


def _scale_of(graph: onnx.GraphProto, tensor: str, scale: Any) -> tuple[str, str]:
    """Names of new constants: the scale, and a zero point 0 of its shape."""
    scales = np.asarray(scale, np.float32)
    return (
        add_constant(graph, f"{tensor}.scale", scales),
        add_constant(graph, f"{tensor}.zero_point", np.zeros(scales.shape, np.int8)),
    )


def _dequantized(
    graph: onnx.GraphProto,
    quantized: str,
    tensor: str,
    scale_and_zero: tuple[str, str],
    *,
    axis: int | None = None,
) -> str:
    result = fresh_name(graph, f"{tensor}.dequantized")
    options: dict[str, Any] = {} if axis is None else {"axis": axis}
    graph.node.append(
        helper.make_node(
            "DequantizeLinear", [quantized, *scale_and_zero], [result], result, **options
        )
    )
    return result


def int8_share(model: onnx.ModelProto) -> dict[str, bool]:
    """Learnt convolutions by name, and whether both activation and weight are quantised."""
    writers = producers(model.graph)
    quantized = {}
    for node in residual_convolutions(model.graph):
        sources = [writers.get(name) for name in node.input[:2]]
        quantized[node.name] = all(
            source is not None and source.op_type == "DequantizeLinear" for source in sources
        )
    return quantized
