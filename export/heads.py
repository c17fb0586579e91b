"""Input and output of the graphs in a bundle: grey levels, as floats or as bytes.

A network is exported for luminance or RGB in [0, 1]. A bundle's graphs take grey levels on the
8-bit scale, so that a frame crosses the boundary as it was decoded; each channel alone is clamped
and rounded.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.graph import (
    add_constant,
    attributes,
    constants,
    consumers,
    copy_of,
    enlarging_head,
    finish,
    fresh_name,
    producers,
    replace_input,
)

INPUT, OUTPUT = "lr", "sr"
PEAK = 255.0


def with_float_io(model: onnx.ModelProto) -> onnx.ModelProto:
    """From samples in [0, 1] to float32 grey levels in and out, neither clamped nor rounded.

    The factors 1/255 and 255 go into the weights of the first and last convolutions where all of
    the graph's ends allow it, which leaves the weights of a linear branch or of an enlarging head
    as they were; otherwise they become multiplications.
    """
    model = copy_of(model)
    graph = model.graph
    first, last = _ends_behind_head(graph) or (
        _convolutions_behind(graph, INPUT),
        _convolutions_before(graph, OUTPUT),
    )
    weight_factors: dict[str, float] = defaultdict(lambda: 1.0)
    bias_factors: dict[str, float] = defaultdict(lambda: 1.0)
    for node in first or []:
        weight_factors[node.output[0]] /= PEAK
    for node in last or []:
        weight_factors[node.output[0]] *= PEAK
        bias_factors[node.output[0]] *= PEAK
    for node in list(graph.node):
        key = node.output[0]
        _scale_constant(graph, node, 1, weight_factors[key])
        _scale_constant(graph, node, 2, bias_factors[key])
    if first is None:
        _multiply_input(graph, 1.0 / PEAK)
    if last is None:
        _multiply_output(graph, PEAK)
    return finish(model)


def with_uint8_io(model: onnx.ModelProto) -> onnx.ModelProto:
    """From float grey levels to bytes: Cast first, last Clip, Round (half to even) and Cast."""
    model = copy_of(model)
    graph = model.graph
    grey_in = fresh_name(graph, f"{INPUT}.grey")
    grey_out = fresh_name(graph, f"{OUTPUT}.grey")
    for node in graph.node:
        replace_input(node, INPUT, grey_in)
        replace_input(node, OUTPUT, grey_out)
        node.output[:] = [grey_out if name == OUTPUT else name for name in node.output]
    first = helper.make_node("Cast", [INPUT], [grey_in], "levels", to=TensorProto.FLOAT)
    low = add_constant(graph, "clip.low", np.array(0, np.float32))
    high = add_constant(graph, "clip.high", np.array(PEAK, np.float32))
    names = [fresh_name(graph, f"{OUTPUT}.{step}") for step in ("clipped", "rounded")]
    graph.node.insert(0, first)
    graph.node.extend(
        [
            helper.make_node("Clip", [grey_out, low, high], [names[0]], "clip"),
            helper.make_node("Round", [names[0]], [names[1]], "round"),
            helper.make_node("Cast", [names[1]], [OUTPUT], "bytes", to=TensorProto.UINT8),
        ]
    )
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    return finish(model)


def _ends_behind_head(
    graph: onnx.GraphProto,
) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]] | None:
    """First and last convolutions of a network that upsamples first, by :func:`enlarging_head`.

    None for others, and if a factor cannot go into all of them.
    """
    head = enlarging_head(graph)
    if not head:
        return None
    picture, learnt, skip = head[-1].output[0], OUTPUT, producers(graph)[OUTPUT]
    if skip.op_type == "Add" and list(skip.input).count(picture) == 1:
        learnt = next(name for name in skip.input if name != picture)
        first = _convolutions_behind(graph, picture, besides=OUTPUT)
    else:
        first = _convolutions_behind(graph, picture)
    last = _convolutions_before(graph, learnt)
    return None if first is None or last is None else (first, last)


def _convolutions_behind(
    graph: onnx.GraphProto, tensor: str, *, besides: str | None = None
) -> list[onnx.NodeProto] | None:
    """The convolutions that read ``tensor`` directly or through padding; None if others do too.

    The node that writes ``besides`` may.
    """
    found: list[onnx.NodeProto] = []
    arrays = constants(graph)
    for node in consumers(graph)[tensor]:
        if besides in node.output:
            continue
        if node.op_type == "Conv" and node.input[1] in arrays and tensor == node.input[0]:
            found.append(node)
            continue
        behind = None
        if node.op_type == "Pad" and _pads_commute_with_scaling(graph, node):
            behind = _convolutions_behind(graph, node.output[0])
        if behind is None:
            return None
        found += behind
    return found


def _pads_commute_with_scaling(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    if attributes(node).get("mode", b"constant") != b"constant":
        return True
    if len(node.input) < 3 or not node.input[2]:
        return True
    value = constants(graph).get(node.input[2])
    return value is not None and not np.any(value)


def _convolutions_before(graph: onnx.GraphProto, tensor: str) -> list[onnx.NodeProto] | None:
    """The convolutions whose sum, shuffled or not, is ``tensor``; None if it is anything else."""
    node = producers(graph).get(tensor)
    if node is None or len(consumers(graph)[tensor]) > (0 if tensor == OUTPUT else 1):
        return None
    if node.op_type in ("Conv", "ConvTranspose"):
        arrays = constants(graph)
        is_constant = all(name in arrays for name in node.input[1:] if name)
        return [node] if is_constant else None
    if node.op_type == "DepthToSpace":
        return _convolutions_before(graph, node.input[0])
    if node.op_type != "Add" or node.input[0] == node.input[1]:
        return None
    left = _convolutions_before(graph, node.input[0])
    right = _convolutions_before(graph, node.input[1])
    return None if left is None or right is None else left + right


def _scale_constant(graph: onnx.GraphProto, node: onnx.NodeProto, index: int, by: float) -> None:
    """Give ``node`` its own scaled copy of a constant input (others may share the original)."""
    if by == 1.0 or len(node.input) <= index or not node.input[index]:
        return
    values = constants(graph)[node.input[index]]
    scaled = (values.astype(np.float64) * by).astype(np.float32)
    stem = node.input[index]
    shared = len(consumers(graph)[stem]) > 1
    if shared:
        node.input[index] = add_constant(graph, stem, scaled)
        return
    for tensor in graph.initializer:
        if tensor.name == stem:
            tensor.CopyFrom(numpy_helper.from_array(scaled, stem))


def _multiply_input(graph: onnx.GraphProto, by: float) -> None:
    scaled = fresh_name(graph, f"{INPUT}.unit")
    for node in graph.node:
        replace_input(node, INPUT, scaled)
    factor = add_constant(graph, "unit.factor", np.array(by, np.float32))
    graph.node.insert(0, helper.make_node("Mul", [INPUT, factor], [scaled], "unit"))


def _multiply_output(graph: onnx.GraphProto, by: float) -> None:
    unscaled = fresh_name(graph, f"{OUTPUT}.unit")
    for node in graph.node:
        replace_input(node, OUTPUT, unscaled)
        node.output[:] = [unscaled if name == OUTPUT else name for name in node.output]
    factor = add_constant(graph, "grey.factor", np.array(by, np.float32))
    graph.node.append(helper.make_node("Mul", [unscaled, factor], [OUTPUT], "grey"))
