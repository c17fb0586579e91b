"""A user's own ONNX network, accepted only if it upscales luminance or RGB pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
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
from export.session import GraphRunner, largest_difference, one_line

LARGEST_FILE = 256 << 20
LARGEST_RADIUS = 256
SCALES = (2, 3, 4)
# Where a change has come this far and operators may look at the whole picture, they do.
GLOBAL_REACH = 64
_CONTRACT = (
    "a network for [N, 1, H, W] luminance or [N, 3, H, W] RGB is needed, float in [0, 1] or uint8 "
    "at both ends"
)
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
    scale = _measured_scale(run, path.name)
    _check_batches(run, path.name)
    _check_range(run, scale, path.name)
    radius = receptive_field_radius(run, scale, may_be_global=_may_be_global(model.graph))
    spec = ModelSpec(
        path.stem[:100],
        scale,
        _CHANNELS[run.samples],
        receptive_field_radius=radius or 0,
        tileable=radius is not None,
    )
    return ImportedModel(model, spec)


def receptive_field_radius(
    run: GraphRunner, scale: int, *, may_be_global: bool = False
) -> int | None:
    """Largest distance in LR pixels at which changing one input pixel changes the output.

    Grows the picture until the change stays inside it. None beyond LARGEST_RADIUS;
    ``may_be_global`` gives up at GLOBAL_REACH already, before attention needs gigabytes.
    """
    for centre in (16, 32, GLOBAL_REACH, 128, LARGEST_RADIUS + 1):
        reach = max(_reach(run, scale, centre, seed) for seed in range(2))
        if reach < centre:
            return reach
        if may_be_global and centre >= GLOBAL_REACH:
            break
    return None


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
            f"{name} does not return as many channels as it takes: {one_line(error)}; {_CONTRACT}"
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
            raise ValueError(f"{name}: {kind} {value.name} is {_type_name(value)}; {_CONTRACT}")
        dims = tensor.shape.dim
        if kind == "input" and len(dims) != 4:
            raise ValueError(f"{name}: input {value.name} has {len(dims)} axes, not 4; {_CONTRACT}")
        if len(dims) == 4 and dims[1].HasField("dim_value") and dims[1].dim_value not in _CHANNELS:
            raise ValueError(
                f"{name}: {kind} {value.name} has {dims[1].dim_value} channels; {_CONTRACT}"
            )
    types = [_type_name(value) for _, value in ends]
    if types[0] != types[1]:
        raise ValueError(f"{name} turns {types[0]} into {types[1]}; {_CONTRACT}")
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


def _measured_scale(run: GraphRunner, name: str) -> int:
    found = set()
    for height, width in ((16, 20), (23, 17)):
        try:
            shape = run(_test_picture(run, height, width)).shape
        except ValueError as error:
            raise ValueError(
                f"{name} does not run on a {width}x{height} picture, so its sizes are not free: "
                f"{error}"
            ) from error
        scale = shape[-1] // width
        if scale not in SCALES or shape != (1, run.samples, scale * height, scale * width):
            samples = run.samples
            raise ValueError(
                f"{name} turns [1, {samples}, {height}, {width}] into {list(shape)}; "
                f"[1, {samples}, s*{height}, s*{width}] with s in {SCALES} is needed"
            )
        found.add(scale)
    if len(found) > 1:
        raise ValueError(f"{name} upscales by {found} depending on the size; one scale is needed")
    return int(found.pop())


def _check_batches(run: GraphRunner, name: str) -> None:
    first = _test_picture(run, 18, 21)
    second = first[:, :, ::-1].copy()
    try:
        both = run(np.concatenate([first, second]))
    except ValueError as error:
        raise ValueError(f"{name} does not run on a batch of two: {error}") from error
    alone = np.concatenate([run(first), run(second)])
    if largest_difference(both, alone) > 1e-4:
        raise ValueError(f"{name} mixes the pictures of a batch")


def _check_range(run: GraphRunner, scale: int, name: str) -> None:
    lr = _test_picture(run, 48, 56)
    sr = run(lr)
    blocks = sr[0].reshape(-1, 48, scale, 56, scale).mean(axis=(2, 4))
    error = float(np.abs(blocks - lr[0]).mean())
    if not np.isfinite(error) or error > 0.1 or sr.min() < -0.5 or sr.max() > 1.5:
        raise ValueError(
            f"{name} does not return its input upscaled: on a test picture in [0, 1] the result "
            f"spans {sr.min():.3g} to {sr.max():.3g} and differs by {error:.3g} on average; "
            f"{_CONTRACT}, and the result in [0, 1]"
        )


def _test_picture(run: GraphRunner, height: int, width: int) -> NDArray[np.float32]:
    """A shaded wave with an edge, [1, C, H, W] in [0, 1], in colour for three channels."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [0.25 * np.sin(x / (4.0 + channel) + y / 6.0) for channel in range(run.samples)]
    picture = 0.5 + np.stack(waves) + 0.2 * (x > width // 2)
    return np.asarray(picture[None], np.float32)


def _reach(run: GraphRunner, scale: int, centre: int, seed: int) -> int:
    """How far the change of the centre pixel is seen, at most ``centre``.

    NaN shows every path through sums and products, also those with tiny weights; the finite
    changes show paths through operators that drop NaN.
    """
    rng = np.random.default_rng(seed)
    picture = rng.random((1, run.samples, 2 * centre + 1, 2 * centre + 1), dtype=np.float32)
    before = run(picture)
    changed = np.zeros(before.shape[2:], dtype=bool)
    for value in (np.nan, 2.0, -1.0, 1e3, -1e3):
        other: NDArray[Any] = picture.copy()
        other[0, :, centre, centre] = value
        changed |= (run(other)[0] != before[0]).any(axis=0)
    if not changed.any():
        return 0
    rows, columns = np.nonzero(changed)
    return int(max(np.abs(rows // scale - centre).max(), np.abs(columns // scale - centre).max()))
