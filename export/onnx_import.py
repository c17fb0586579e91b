"""A user's own ONNX network, accepted only if it is a luminance upscaler that can be tiled."""

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
from export.graph import IR_VERSION, OPSET, finish, replace_input, tensor_names
from export.heads import INPUT, OUTPUT
from export.session import GraphRunner, largest_difference, one_line

LARGEST_FILE = 256 << 20
LARGEST_RADIUS = 256
SCALES = (2, 3, 4)
_CONTRACT = "a network for [N, 1, H, W] luminance in [0, 1] is needed"


@dataclass(frozen=True)
class ImportedModel:
    """A checked graph with the names of a bundle, and what was measured about it."""

    model: onnx.ModelProto
    spec: ModelSpec


def import_onnx(path: Path) -> ImportedModel:
    """Read, normalise and examine a file; ValueError with the reason if it cannot be used.

    Fixed dimensions are freed; whether the graph really works at other sizes is found by running
    it, as are its scale and its receptive field.
    """
    model = _normalised(_parsed(path), path.name)
    run = GraphRunner(model)
    scale = _measured_scale(run, path.name)
    _check_batches(run, path.name)
    _check_range(run, scale, path.name)
    spec = ModelSpec(path.stem[:100], scale, "y", receptive_field_radius(run, scale, path.name))
    return ImportedModel(model, spec)


def receptive_field_radius(run: GraphRunner, scale: int, name: str = "the network") -> int:
    """Largest distance in LR pixels at which changing one input pixel changes the output.

    Grows the picture until the change stays inside it. ValueError beyond LARGEST_RADIUS, as for a
    network with a global operation.
    """
    for centre in (16, 32, 64, 128, LARGEST_RADIUS + 1):
        reach = max(_reach(run, scale, centre, seed) for seed in range(2))
        if reach < centre:
            return reach
    raise ValueError(
        f"{name} sees further than {LARGEST_RADIUS} pixels, as with a global operation "
        "(pooling over the picture, attention); such a network cannot be tiled"
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
    _rename_ends(model.graph)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type.lower()}{index}"
    return finish(model)


def _check_ends(graph: onnx.GraphProto, name: str) -> None:
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if (len(inputs), len(graph.output)) != (1, 1):
        raise ValueError(
            f"{name} has {len(inputs)} inputs and {len(graph.output)} outputs, not one each"
        )
    for kind, value in (("input", inputs[0]), ("output", graph.output[0])):
        tensor = value.type.tensor_type
        if tensor.elem_type != TensorProto.FLOAT:
            type_name = TensorProto.DataType.Name(tensor.elem_type).lower()
            raise ValueError(f"{name}: {kind} {value.name} is {type_name}, not float; {_CONTRACT}")
        dims = tensor.shape.dim
        if kind == "input" and len(dims) != 4:
            raise ValueError(f"{name}: input {value.name} has {len(dims)} axes, not 4; {_CONTRACT}")
        if len(dims) == 4 and dims[1].HasField("dim_value") and dims[1].dim_value != 1:
            raise ValueError(
                f"{name}: {kind} {value.name} has {dims[1].dim_value} channels; {_CONTRACT}"
            )
    del graph.input[:]
    graph.input.extend(inputs)


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
    sizes_in: list[str | int | None] = ["batch", 1, "height", "width"]
    sizes_out: list[str | int | None] = ["batch", 1, "sr_height", "sr_width"]
    graph.input[0].CopyFrom(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, sizes_in))
    graph.output[0].CopyFrom(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, sizes_out))
    del graph.value_info[:]


def _measured_scale(run: GraphRunner, name: str) -> int:
    found = set()
    for height, width in ((16, 20), (23, 17)):
        try:
            shape = run(_test_picture(height, width)).shape
        except ValueError as error:
            raise ValueError(
                f"{name} does not run on a {width}x{height} picture, so its sizes are not free: "
                f"{error}"
            ) from error
        scale = shape[-1] // width
        if scale not in SCALES or shape != (1, 1, scale * height, scale * width):
            raise ValueError(
                f"{name} turns [1, 1, {height}, {width}] into {list(shape)}; "
                f"[1, 1, s*{height}, s*{width}] with s in {SCALES} is needed"
            )
        found.add(scale)
    if len(found) > 1:
        raise ValueError(f"{name} upscales by {found} depending on the size; one scale is needed")
    return int(found.pop())


def _check_batches(run: GraphRunner, name: str) -> None:
    first, second = _test_picture(18, 21), _test_picture(18, 21)[:, :, ::-1].copy()
    try:
        both = run(np.concatenate([first, second]))
    except ValueError as error:
        raise ValueError(f"{name} does not run on a batch of two: {error}") from error
    alone = np.concatenate([run(first), run(second)])
    if largest_difference(both, alone) > 1e-4:
        raise ValueError(f"{name} mixes the pictures of a batch")


def _check_range(run: GraphRunner, scale: int, name: str) -> None:
    lr = _test_picture(48, 56)
    sr = run(lr)
    blocks = sr.reshape(48, scale, 56, scale).mean(axis=(1, 3))
    error = float(np.abs(blocks - lr[0, 0]).mean())
    if not np.isfinite(error) or error > 0.1 or sr.min() < -0.5 or sr.max() > 1.5:
        raise ValueError(
            f"{name} does not return its input upscaled: on a test picture in [0, 1] the result "
            f"spans {sr.min():.3g} to {sr.max():.3g} and differs by {error:.3g} on average; "
            f"{_CONTRACT}, and the result in [0, 1]"
        )


def _test_picture(height: int, width: int) -> NDArray[np.float32]:
    """A shaded wave with an edge, [1, 1, H, W] in [0, 1]."""
    y, x = np.mgrid[0:height, 0:width]
    plane = 0.5 + 0.25 * np.sin(x / 4.0 + y / 6.0) + 0.2 * (x > width // 2)
    return np.asarray(plane[None, None], np.float32)


def _reach(run: GraphRunner, scale: int, centre: int, seed: int) -> int:
    """How far the change of the centre pixel is seen, at most ``centre``.

    NaN shows every path through sums and products, also those with tiny weights; the finite
    changes show paths through operators that drop NaN.
    """
    rng = np.random.default_rng(seed)
    picture = rng.random((1, 1, 2 * centre + 1, 2 * centre + 1), dtype=np.float32)
    before = run(picture)
    changed = np.zeros(before.shape[2:], dtype=bool)
    for value in (np.nan, 2.0, -1.0, 1e3, -1e3):
        other: NDArray[Any] = picture.copy()
        other[0, 0, centre, centre] = value
        changed |= run(other)[0, 0] != before[0, 0]
    if not changed.any():
        return 0
    rows, columns = np.nonzero(changed)
    return int(max(np.abs(rows // scale - centre).max(), np.abs(columns // scale - centre).max()))
