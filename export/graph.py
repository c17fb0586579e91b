"""Questions about an ONNX graph that several passes ask."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPSET = 20
IR_VERSION = 10
CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
_HEAD = frozenset({"Cast", "Mul", "Div", "Pad", "Conv", "DepthToSpace"})


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """A deep copy, so that passes leave their input alone."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Attribute values by name, as Python objects."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def constants(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    """Initializers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """The node that writes each tensor."""
    return {name: node for node in graph.node for name in node.output if name}


def consumers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """The nodes that read each tensor; graph outputs are not among them."""
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in dict.fromkeys(node.input):
            if name:
                readers[name].append(node)
    return readers


def tensor_names(graph: onnx.GraphProto) -> set[str]:
    """Every tensor name in use."""
    names = {name for node in graph.node for name in (*node.input, *node.output) if name}
    names |= {tensor.name for tensor in graph.initializer}
    return names | {value.name for value in (*graph.input, *graph.output)}


def fresh_name(graph: onnx.GraphProto, wish: str) -> str:
    """``wish``, or ``wish`` with a number if that name is taken."""
    taken = tensor_names(graph)
    name, count = wish, 1
    while name in taken:
        count += 1
        name = f"{wish}.{count}"
    return name


def add_constant(graph: onnx.GraphProto, wish: str, values: NDArray[Any]) -> str:
    """Append an initializer; returns the name it got."""
    name = fresh_name(graph, wish)
    graph.initializer.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
    return name


def replace_input(node: onnx.NodeProto, old: str, new: str) -> None:
    """Make ``node`` read ``new`` wherever it read ``old``."""
    for index, name in enumerate(node.input):
        if name == old:
            node.input[index] = new


def enlarging_head(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes from the picture to its fixed enlargement that all else reads, or none.

    A network that upsamples first, as VDSR does, begins with a convolution without bias to phases
    and depth-to-space; its last node writes what the learnt convolutions read.
    """
    readers, tensor = consumers(graph), graph.input[0].name
    nodes: list[onnx.NodeProto] = []
    while len(readers[tensor]) == 1 and readers[tensor][0].op_type in _HEAD:
        node = readers[tensor][0]
        kinds = [n.op_type for n in nodes]
        is_other = node.op_type == "Conv" and ("Conv" in kinds or any(node.input[2:]))
        if is_other or (node.op_type == "DepthToSpace" and "Conv" not in kinds):
            return []
        nodes.append(node)
        tensor = node.output[0]
        if node.op_type == "DepthToSpace":
            return nodes if readers[tensor] else []
    return []


def path_flags(graph: onnx.GraphProto) -> list[tuple[bool, bool]]:
    """Per node, whether a convolution lies strictly before it, strictly after it.

    The convolution of :func:`enlarging_head` does not count.
    """
    fixed = {name for node in enlarging_head(graph) for name in node.output}

    def counts(node: onnx.NodeProto) -> bool:
        return node.op_type in CONVOLUTIONS and fixed.isdisjoint(node.output)

    before: dict[str, bool] = {}
    flags_before: list[bool] = []
    for node in graph.node:
        seen = any(before.get(name, False) for name in node.input)
        flags_before.append(seen)
        for name in node.output:
            before[name] = seen or counts(node)
    after: dict[str, bool] = defaultdict(bool)
    flags_after: list[bool] = []
    for node in reversed(graph.node):
        seen = any(after[name] for name in node.output)
        flags_after.append(seen)
        for name in node.input:
            after[name] |= seen or counts(node)
    return list(zip(flags_before, reversed(flags_after), strict=True))


def residual_convolutions(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Convolutions of the learnt path, in order.

    A convolution with none before it and none after it is the fixed base of the residual form,
    unless every convolution is like that; nor is that of :func:`enlarging_head` learnt. The nodes
    must be in topological order.
    """
    fixed = {name for node in enlarging_head(graph) for name in node.output}
    flags = path_flags(graph)
    found = [
        (node, any(flag))
        for node, flag in zip(graph.node, flags, strict=True)
        if node.op_type in CONVOLUTIONS and fixed.isdisjoint(node.output)
    ]
    chained = [node for node, is_chained in found if is_chained]
    return chained or [node for node, _ in found]


def finish(model: onnx.ModelProto) -> onnx.ModelProto:
    """Sort nodes, drop what nothing reads and all notes, then check the graph; in place.

    Raises onnx.checker.ValidationError or onnx.shape_inference.InferenceError: a bug of a pass.
    """
    graph = model.graph
    nodes = _reachable(graph, _sorted_nodes(graph))
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    strip_notes(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def strip_notes(model: onnx.ModelProto) -> None:
    """Remove everything that does not change what the model computes; in place."""
    graph = model.graph
    del graph.value_info[:], model.metadata_props[:], graph.metadata_props[:]
    del graph.quantization_annotation[:]
    model.producer_name, model.producer_version = "edge-sr", ""
    model.domain, model.model_version = "", 0
    model.doc_string = graph.doc_string = ""
    graph.name = "edge_sr"
    for item in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del item.metadata_props[:]
        item.doc_string = ""


def encode(model: onnx.ModelProto) -> bytes:
    """The same bytes for the same model."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _sorted_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Topological order that keeps the given order wherever it can."""
    written = {name for node in graph.node for name in node.output if name}
    waiting, ready, ordered = list(graph.node), set[str](), list[onnx.NodeProto]()
    while waiting:
        late = []
        for node in waiting:
            if any(name in written and name not in ready for name in node.input):
                late.append(node)
                continue
            ordered.append(node)
            ready.update(node.output)
        assert len(late) < len(waiting), "the graph has a cycle"
        waiting = late
    return [_copied(node) for node in ordered]


def _copied(node: onnx.NodeProto) -> onnx.NodeProto:
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    return copied


def _reachable(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    wanted = {value.name for value in graph.output}
    kept = []
    for node in reversed(nodes):
        if wanted.isdisjoint(node.output):
            continue
        kept.append(node)
        wanted.update(node.input)
    return kept[::-1]
