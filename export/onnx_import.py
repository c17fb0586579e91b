"""A user's own ONNX network, accepted only if it upscales luminance or RGB pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.inliner import inline_local_functions

from edge_sr.models.spec import ModelSpec
from export.graph import (
    IR_VERSION,
    OPSET,
    add_constant,
    attributes,
    constants,
    consumers,
    finish,
    is_global,
    producers,
    replace_input,
    tensor_names,
)
from export.heads import INPUT, OUTPUT, PEAK
from export.onnx_probe import (
    CONTRACT,
    check_batches,
    check_range,
    measured_scale,
    receptive_field_radius,
)
from export.session import GraphRunner, one_line

LARGEST_FILE = 256 << 20
_CHANNELS = {1: "y", 3: "rgb"}
# Beside those that leave the spatial path: they mix the whole picture and keep its positions.
_GLOBAL_NORMS = frozenset(
    {"InstanceNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization"}
    | {"MeanVarianceNormalization", "LpNormalization"}
)


@dataclass(frozen=True)
class ImportedModel:
    """A checked graph with the names of a bundle, and what was measured about it."""

    model: onnx.ModelProto
    spec: ModelSpec


def import_onnx(path: Path) -> ImportedModel:
    """Read, normalise and examine a file; ValueError with the reason if it cannot be used.

    Fixed dimensions are freed; whether the graph really works at other sizes is found by running
    it, as are its scale and its receptive field. A network that sees further than LARGEST_RADIUS,
    or the whole picture, is not tileable.
    """
    model = _normalised(_parsed(path), path.name)
    run = GraphRunner(model)
    scale = measured_scale(run, path.name)
    check_batches(run, path.name)
    check_range(run, scale, path.name)
    radius = receptive_field_radius(run, scale, may_be_global=_may_be_global(model.graph))
    spec = ModelSpec(
        path.stem[:100],
        scale,
        _CHANNELS[run.samples],
        receptive_field_radius=radius or 0,
        tileable=radius is not None,
    )
    return ImportedModel(model, spec)


def _may_be_global(graph: onnx.GraphProto) -> bool:
    """Whether the graph holds an operator that may look at the whole picture."""
    stored = {tensor.name for tensor in graph.initializer}
    of_sizes = ("Shape", "Size")
    return any(
        node.op_type in _GLOBAL_NORMS or (is_global(node, stored) and node.op_type not in of_sizes)
        for node in graph.node
    )


def _parsed(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise FileNotFoundError(f"ONNX file {path} does not exist")
    size = path.stat().st_size
    if not 0 < size <= LARGEST_FILE:
        raise ValueError(f"{path} has {size} bytes; 1 to {LARGEST_FILE} are accepted")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # protobuf, onnx and numpy each raise classes of their own
        raise ValueError(f"{path} is not a valid ONNX file: {one_line(error)}") from error
    return model


def _normalised(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Opset 20, constants as initializers, ends called lr and sr with free sizes."""
    if model.functions:
        model = inline_local_functions(model)
    domains = {opset.domain for opset in model.opset_import} - {"", "ai.onnx"}
    foreign = sorted({node.domain for node in model.graph.node} & domains)
    if foreign:
        raise ValueError(f"{name} uses operators of {', '.join(foreign)}; only ONNX's own are read")
    if any(a.HasField("g") or a.graphs for node in model.graph.node for a in node.attribute):
        raise ValueError(f"{name} holds control flow (If, Loop or Scan), which is not supported")
    _check_ends(model.graph, name)
    model = _at_our_opset(model, name)
    _constants_to_initializers(model.graph)
    _from_bytes(model.graph, name)
    _rename_ends(model.graph)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type.lower()}{index}"
    try:
        return finish(model)
    except onnx.shape_inference.InferenceError as error:
        raise ValueError(
            f"{name} does not return as many channels as it takes: {one_line(error)}; {CONTRACT}"
        ) from error


def _check_ends(graph: onnx.GraphProto, name: str) -> None:
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if (len(inputs), len(graph.output)) != (1, 1):
        raise ValueError(
            f"{name} has {len(inputs)} inputs and {len(graph.output)} outputs, not one each"
        )
    ends = (("input", inputs[0]), ("output", graph.output[0]))
    for kind, value in ends:
        tensor = value.type.tensor_type
        if tensor.elem_type not in (TensorProto.FLOAT, TensorProto.UINT8):
            raise ValueError(f"{name}: {kind} {value.name} is {_type_name(value)}; {CONTRACT}")
        dims = tensor.shape.dim
        if kind == "input" and len(dims) != 4:
            raise ValueError(f"{name}: input {value.name} has {len(dims)} axes, not 4; {CONTRACT}")
        if len(dims) == 4 and dims[1].HasField("dim_value") and dims[1].dim_value not in _CHANNELS:
            raise ValueError(
                f"{name}: {kind} {value.name} has {dims[1].dim_value} channels; {CONTRACT}"
            )
    types = [_type_name(value) for _, value in ends]
    if types[0] != types[1]:
        raise ValueError(f"{name} turns {types[0]} into {types[1]}; {CONTRACT}")
    del graph.input[:]
    graph.input.extend(inputs)


def _type_name(value: onnx.ValueInfoProto) -> str:
    return str(TensorProto.DataType.Name(value.type.tensor_type.elem_type)).lower()


def _from_bytes(graph: onnx.GraphProto, name: str) -> None:
    """Make the ends of a graph of bytes floats in [0, 1]; clamping and rounding at its end go."""
    source, target = graph.input[0], graph.output[0]
    if source.type.tensor_type.elem_type != TensorProto.UINT8:
        return
    peak = add_constant(graph, "bytes.peak", np.array(PEAK, np.float32))
    for node in consumers(graph)[source.name]:
        if node.op_type != "Cast" or attributes(node)["to"] != TensorProto.FLOAT:
            raise ValueError(
                f"{name}: {node.op_type} {node.name} reads bytes; a Cast to float must come first"
            )
        node.CopyFrom(helper.make_node("Mul", [source.name, peak], list(node.output), node.name))
    writers, readers = producers(graph), consumers(graph)
    last = writers.get(target.name)
    if last is None or last.op_type != "Cast":
        raise ValueError(f"{name}: output {target.name} comes from no Cast of grey levels to bytes")
    levels = last.input[0]
    while levels in writers and _is_rounding(graph, writers[levels]) and len(readers[levels]) == 1:
        levels = writers[levels].input[0]
    last.CopyFrom(helper.make_node("Div", [levels, peak], [target.name], last.name))
    for value in (source, target):
        value.type.tensor_type.elem_type = TensorProto.FLOAT


def _is_rounding(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """Rounding, or clamping to 0..255."""
    arrays = constants(graph)
    limits = [float(arrays[n].reshape(-1)[0]) for n in node.input[1:] if n in arrays]
    return node.op_type == "Round" or (node.op_type == "Clip" and limits == [0.0, PEAK])


def _samples(graph: onnx.GraphProto) -> int:
    """Channels of the picture: what the input says, or what the first convolution reads."""
    dims = graph.input[0].type.tensor_type.shape.dim
    if dims[1].HasField("dim_value"):
        return int(dims[1].dim_value)
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in weights:
            groups = int(attributes(node).get("group", 1))
            samples = int(weights[node.input[1]][1]) * groups
            return samples if samples in _CHANNELS else 1
    return 1


def _at_our_opset(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    version = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if version != OPSET:
        try:
            model = onnx.version_converter.convert_version(model, OPSET)
        except Exception as error:  # the converter raises bare RuntimeError and its own classes
            raise ValueError(
                f"{name} has opset {version}, which does not convert to {OPSET}: {one_line(error)}"
            ) from error
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", OPSET))
    model.ir_version = IR_VERSION
    return model


def _constants_to_initializers(graph: onnx.GraphProto) -> None:
    for node in list(graph.node):
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            graph.node.remove(node)


def _rename_ends(graph: onnx.GraphProto) -> None:
    """Call the ends lr and sr, and free all sizes but the channel."""
    taken = tensor_names(graph)
    old_in, old_out = graph.input[0].name, graph.output[0].name
    new_names = {old_in: INPUT, old_out: OUTPUT}
    for name in (INPUT, OUTPUT):
        if name in taken and name not in new_names:
            new_names[name] = f"{name}.inner"
    for node in graph.node:
        for old, new in ((n, new_names[n]) for n in set(node.input) & set(new_names)):
            replace_input(node, old, new)
        node.output[:] = [new_names.get(name, name) for name in node.output]
    for tensor in graph.initializer:
        tensor.name = new_names.get(tensor.name, tensor.name)
    samples = _samples(graph)
    sizes_in: list[str | int | None] = ["batch", samples, "height", "width"]
    sizes_out: list[str | int | None] = ["batch", samples, "sr_height", "sr_width"]
    graph.input[0].CopyFrom(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, sizes_in))
    graph.output[0].CopyFrom(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, sizes_out))
    del graph.value_info[:]
