"""Float16 by casts around the learnt path, in the graph itself.

The fixed base, the addition, clip and round keep float32, so half precision costs only what the
learnt residual loses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.graph import (
    CONVOLUTIONS,
    add_constant,
    copy_of,
    finish,
    fresh_name,
    path_flags,
    residual_convolutions,
)

# Inputs that stay float32 by the operator's definition: Resize's regions and factors.
_KEPT_INPUTS = {"Resize": (1, 2)}
_HALF_MAX = float(np.finfo(np.float16).max)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Run everything from the first to the last convolution of the learnt path in float16.

    Raises ValueError if a weight does not fit into float16.
    """
    model = copy_of(model)
    graph = model.graph
    inside = _learnt_path(graph)
    floats = _float_tensors(model)
    written_inside = {name for node in inside for name in node.output}
    read_outside = {value.name for value in graph.output}
    for node in graph.node:
        if node not in inside:
            read_outside.update(node.input)
    replaced: dict[str, str] = {}
    casts = []
    for node in inside:
        kept = _KEPT_INPUTS.get(node.op_type, ())
        for index, name in enumerate(node.input):
            if name not in floats or name in written_inside or index in kept:
                continue
            if name not in replaced:
                replaced[name], cast = _half_of(graph, name)
                casts += [cast] if cast else []
            node.input[index] = replaced[name]
        _retype_attributes(node)
    for name in sorted(written_inside & read_outside & floats):
        casts.append(_return_to_float(graph, inside, name))
    graph.node.extend(casts)
    return finish(model)


def _learnt_path(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Nodes on a path between two learnt convolutions, those included."""
    learnt = [node.output[0] for node in residual_convolutions(graph)]
    found = []
    for node, (before, after) in zip(graph.node, path_flags(graph), strict=True):
        is_learnt = node.op_type in CONVOLUTIONS and node.output[0] in learnt
        if is_learnt or (before and after):
            found.append(node)
    return found


def _float_tensors(model: onnx.ModelProto) -> set[str]:
    """Names of all float32 tensors, constants included."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    found = {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    return found | {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT}


def _half_of(graph: onnx.GraphProto, name: str) -> tuple[str, onnx.NodeProto | None]:
    """The float16 version of a tensor from outside: a converted constant or a cast."""
    for tensor in graph.initializer:
        if tensor.name == name:
            values = numpy_helper.to_array(tensor)
            if values.size and float(np.abs(values).max()) > _HALF_MAX:
                raise ValueError(
                    f"constant {name} reaches {np.abs(values).max():.3g}, beyond float16's "
                    f"{_HALF_MAX:.0f}; build without fp16"
                )
            return add_constant(graph, f"{name}.half", values.astype(np.float16)), None
    half = fresh_name(graph, f"{name}.half")
    return half, helper.make_node("Cast", [name], [half], half, to=TensorProto.FLOAT16)


def _return_to_float(
    graph: onnx.GraphProto, inside: list[onnx.NodeProto], name: str
) -> onnx.NodeProto:
    """Rename a result of the half part; its old name now is the cast back to float32."""
    half = fresh_name(graph, f"{name}.half")
    for node in inside:
        node.input[:] = [half if n == name else n for n in node.input]
        node.output[:] = [half if n == name else n for n in node.output]
    return helper.make_node("Cast", [half], [name], f"{name}.float", to=TensorProto.FLOAT)


def _retype_attributes(node: onnx.NodeProto) -> None:
    """Make casts and constant makers of the half part produce float16."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16
        value: Any = attribute.t
        if attribute.name == "value" and value.data_type == TensorProto.FLOAT:
            halved = numpy_helper.to_array(value).astype(np.float16)
            attribute.t.CopyFrom(numpy_helper.from_array(halved))
