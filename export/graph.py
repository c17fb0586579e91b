"""Questions about an ONNX graph that several passes ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPSET = 20
IR_VERSION = 10
CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
_HEAD = frozenset({"Cast", "Mul", "Div", "Pad", "Conv", "DepthToSpace"})

# Beside all Reduce, Global and Arg operators. What a tensor's Shape says is no sample of it.
_GLOBAL = frozenset({"Attention", "Hardmax", "LogSoftmax", "Shape", "Size", "Softmax"})
# With weights they mix the channels of one position.
_PRODUCTS = frozenset({"Einsum", "Gemm", "MatMul"})


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


class Names:
    """The tensor names of a graph, read once, that give names which are not taken."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._taken = tensor_names(graph)

    def fresh(self, wish: str) -> str:
        """``wish``, or ``wish`` with a number if that name is taken; it is taken from now on."""
        name, count = wish, 1
        while name in self._taken:
            count += 1
            name = f"{wish}.{count}"
        self._taken.add(name)
        return name


def fresh_name(graph: onnx.GraphProto, wish: str) -> str:
    """``wish``, or ``wish`` with a number if that name is taken."""
    return Names(graph).fresh(wish)


def add_constant(
    graph: onnx.GraphProto, wish: str, values: NDArray[Any], names: Names | None = None
) -> str:
    """Append an initializer; returns the name it got. ``names`` saves reading the whole graph."""
    name = (names or Names(graph)).fresh(wish)
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


def spatial_flags(graph: onnx.GraphProto) -> list[bool]:
    """Per node, whether it lies on the spatial path.

    That is a way from the picture to the output on which each operator works pixel by pixel or on
    neighbourhoods. A branch that looks at the whole picture and only weighs or shifts the features
    is not on it: attention by pooled values or by products of positions.
    """
    stored = {tensor.name for tensor in graph.initializer}
    is_local = [not is_global(node, stored) for node in graph.node]
    reached = {value.name for value in graph.input} - stored
    is_reached = []
    for node, local in zip(graph.node, is_local, strict=True):
        is_reached.append(local and not reached.isdisjoint(node.input))
        if is_reached[-1]:
            reached.update(node.output)
    wanted = {value.name for value in graph.output}
    is_wanted = []
    for node, local in zip(reversed(graph.node), reversed(is_local), strict=True):
        is_wanted.append(local and not wanted.isdisjoint(node.output))
        if is_wanted[-1]:
            wanted.update(node.input)
    return [both == (True, True) for both in zip(is_reached, reversed(is_wanted), strict=True)]


def is_global(node: onnx.NodeProto, stored: Container[str]) -> bool:
    """Whether an operator may make one value out of samples from all over the picture.

    ``stored`` are the names of constants.
    """
    if node.op_type in _PRODUCTS:
        return not any(name in stored for name in node.input)
    return node.op_type in _GLOBAL or node.op_type.startswith(("Arg", "Global", "Reduce"))


def learnt_flags(graph: onnx.GraphProto) -> list[bool]:
    """Per node, whether it is a convolution of the spatial path.

    That of :func:`enlarging_head` is not among them. Without such a path all convolutions count.
    """
    fixed = {name for node in enlarging_head(graph) for name in node.output}
    is_other = [
        node.op_type in CONVOLUTIONS and fixed.isdisjoint(node.output) for node in graph.node
    ]
    found = [a and b for a, b in zip(is_other, spatial_flags(graph), strict=True)]
    return found if any(found) else is_other


def path_flags(graph: onnx.GraphProto) -> list[tuple[bool, bool]]:
    """Per node, whether one of :func:`learnt_flags` lies strictly before it, strictly after it."""
    is_learnt = learnt_flags(graph)
    before: dict[str, bool] = {}
    flags_before: list[bool] = []
    for node, learnt in zip(graph.node, is_learnt, strict=True):
        seen = any(before.get(name, False) for name in node.input)
        flags_before.append(seen)
        for name in node.output:
            before[name] = seen or learnt
    after: dict[str, bool] = defaultdict(bool)
    flags_after: list[bool] = []
    for node, learnt in zip(reversed(graph.node), reversed(is_learnt), strict=True):
        seen = any(after[name] for name in node.output)
        flags_after.append(seen)
        for name in node.input:
            after[name] |= seen or learnt
    return list(zip(flags_before, reversed(flags_after), strict=True))


def residual_convolutions(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Convolutions of the learnt path, in order.

    Those of :func:`learnt_flags`, but for one with none before it and none after it: the fixed base
    of the residual form, unless every one is like that. The nodes must be in topological order.
    """
    flags = zip(graph.node, learnt_flags(graph), path_flags(graph), strict=True)
    found = [(node, any(ends)) for node, learnt, ends in flags if learnt]
    chained = [node for node, is_chained in found if is_chained]
    return chained or [node for node, _ in found]


def samples_of(graph: onnx.GraphProto) -> int:
    """Channels of the picture a graph takes: 1 or 3."""
    return int(graph.input[0].type.tensor_type.shape.dim[1].dim_value)


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
    """Topological order that keeps the given order wherever it can.

    That of sweeps over the nodes which each take, in the given order, all that are ready.
    """
    nodes = list(graph.node)
    writer = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    needs = [{writer[name] for name in node.input if name in writer} for node in nodes]
    readers: dict[int, list[int]] = defaultdict(list)
    for index, needed in enumerate(needs):
        for source in needed:
            readers[source].append(index)
    sweep = [0] * len(nodes)
    ready = [index for index, needed in enumerate(needs) if not needed]
    missing = [len(needed) for needed in needs]
    for source in ready:
        for index in readers[source]:
            sweep[index] = max(sweep[index], sweep[source] + (source > index))
            missing[index] -= 1
            if not missing[index]:
                ready.append(index)
    assert len(ready) == len(nodes), "the graph has a cycle"
    return [_copied(nodes[i]) for i in sorted(ready, key=lambda i: (sweep[i], i))]


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
