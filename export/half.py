"""Float16 by casts around the learnt path, in the graph itself.

The fixed base, the addition, clip and round keep float32, so half precision costs only what the
learnt residual loses. So does attention: sums over the picture, products of positions and the
matrix iterations of second-order attention leave float16's range or its eleven bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.graph import (
    Names,
    add_constant,
    copy_of,
    finish,
    path_flags,
    residual_convolutions,
    spatial_flags,
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
    is_inside = _learnt_path(graph)
    inside = [node for node, flag in zip(graph.node, is_inside, strict=True) if flag]
    floats, names = _float_tensors(model), Names(graph)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    written_inside = {name for node in inside for name in node.output}
    read_outside = {value.name for value in graph.output}
    for node, flag in zip(graph.node, is_inside, strict=True):
        if not flag:
            read_outside.update(node.input)
    replaced: dict[str, str] = {}
    casts = []
    for node in inside:
        kept = _KEPT_INPUTS.get(node.op_type, ())
        for index, name in enumerate(node.input):
            if name not in floats or name in written_inside or index in kept:
                continue
            if name not in replaced and name in weights:
                replaced[name] = add_constant(graph, f"{name}.half", _halved(weights[name]), names)
            elif name not in replaced:
                replaced[name] = names.fresh(f"{name}.half")
                casts.append(_cast(name, replaced[name], TensorProto.FLOAT16))
            node.input[index] = replaced[name]
        _retype_attributes(node)
    for name in sorted(written_inside & read_outside & floats):
        casts.append(_return_to_float(inside, name, names.fresh(f"{name}.half")))
    graph.node.extend(casts)
    return finish(model)


def _learnt_path(graph: onnx.GraphProto) -> list[bool]:
    """Per node of the spatial path, whether it is a learnt convolution or between two of them."""
    learnt = {node.output[0] for node in residual_convolutions(graph)}
    return [
        spatial and (node.output[0] in learnt or (before and after))
        for node, spatial, (before, after) in zip(
            graph.node, spatial_flags(graph), path_flags(graph), strict=True
        )
    ]


def _float_tensors(model: onnx.ModelProto) -> set[str]:
    """Names of all float32 tensors, constants included."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    found = {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    return found | {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT}


def _halved(tensor: TensorProto) -> NDArray[np.float16]:
    values = numpy_helper.to_array(tensor)
    if values.size and float(np.abs(values).max()) > _HALF_MAX:
        raise ValueError(
            f"constant {tensor.name} reaches {np.abs(values).max():.3g}, beyond float16's "
            f"{_HALF_MAX:.0f}; build without fp16"
        )
    return values.astype(np.float16)


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    name = target if kind == TensorProto.FLOAT16 else f"{target}.float"
    return helper.make_node("Cast", [source], [target], name, to=kind)


def _return_to_float(inside: list[onnx.NodeProto], name: str, half: str) -> onnx.NodeProto:
    """Rename a result of the half part; its old name now is the cast back to float32."""
    for node in inside:
        node.input[:] = [half if n == name else n for n in node.input]
        node.output[:] = [half if n == name else n for n in node.output]
    return _cast(half, name, TensorProto.FLOAT)


def _retype_attributes(node: onnx.NodeProto) -> None:
    """Make casts and constant makers of the half part produce float16."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16
        value: Any = attribute.t
        if attribute.name == "value" and value.data_type == TensorProto.FLOAT:
            halved = numpy_helper.to_array(value).astype(np.float16)
            attribute.t.CopyFrom(numpy_helper.from_array(halved))
