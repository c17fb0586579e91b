"""Exact rewrite of a transposed convolution into a convolution with depth-to-space.

A transposed convolution of stride s whose output is exactly s times as large computes, for phase
(py, px) of each s x s output block, a correlation of the input with every s-th kernel tap. Those
s*s correlations are one convolution with s*s output channels, shuffled into place. TensorRT, DLA
and most INT8 kernels handle that form well and the transposed one badly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from export.graph import add_constant, attributes, constants, consumers, copy_of, finish, fresh_name


def rewrite_deconvolution(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """Apply both rules wherever they are exact; says for each candidate what was done or why not.

    First ConvTranspose -> Conv + DepthToSpace, then Add(DepthToSpace(a), DepthToSpace(b)) ->
    DepthToSpace(Add(a, b)).
    """
    model = copy_of(model)
    notes = [
        _rewrite_one(model.graph, node)
        for node in list(model.graph.node)
        if node.op_type == "ConvTranspose"
    ]
    model = finish(model)
    notes += [
        _merge_one(model, node)
        for node in list(model.graph.node)
        if node.op_type == "Add" and _shuffles_before(model.graph, node)
    ]
    return finish(model), notes or ["no transposed convolution in this graph"]


def subpixel_kernel(
    weight: NDArray[Any], scale: int, pads: tuple[int, int], *, groups: int = 1
) -> tuple[NDArray[Any], tuple[int, int, int, int]]:
    """Convolution kernel [Cout*s*s, Cin/g, th, tw] and its pads (top, left, bottom, right).

    ``weight`` is a transposed convolution's [Cin, Cout/g, kh, kw], ``pads`` its (top, left). Output
    channel ``c*s*s + py*s + px`` is phase (py, px) of channel c, as DepthToSpace in CRD mode reads.
    """
    in_channels, out_per_group = weight.shape[:2]
    rows = _taps(weight.shape[2], scale, pads[0])
    columns = _taps(weight.shape[3], scale, pads[1])
    (low_y, tap_y), (low_x, tap_x) = rows, columns
    padded = np.pad(weight, ((0, 0), (0, 0), (0, 1), (0, 1)))  # tap -1 reads this zero
    phases = padded[:, :, tap_y[:, None, :, None], tap_x[None, :, None, :]]
    # [g, Cin/g, Cout/g, s, s, th, tw] to [g, Cout/g, s, s, Cin/g, th, tw]
    grouped = phases.reshape(groups, in_channels // groups, out_per_group, *phases.shape[2:])
    moved = np.moveaxis(grouped, 1, 4)
    kernel = moved.reshape(-1, in_channels // groups, tap_y.shape[1], tap_x.shape[1])
    high_y, high_x = low_y + tap_y.shape[1] - 1, low_x + tap_x.shape[1] - 1
    return np.ascontiguousarray(kernel), (-low_y, -low_x, high_y, high_x)


def _taps(kernel_size: int, scale: int, pad: int) -> tuple[int, NDArray[np.intp]]:
    """First LR offset, and per phase and offset the kernel tap (-1 = outside the kernel).

    Output row scale*y + p takes tap p + pad - scale*d from LR row y + d.
    """
    low = -((kernel_size - 1 - pad) // scale)
    high = (scale - 1 + pad) // scale
    offsets = np.arange(low, high + 1)
    taps = np.arange(scale)[:, None] + pad - scale * offsets[None, :]
    return low, np.where((taps >= 0) & (taps < kernel_size), taps, -1).astype(np.intp)


def _rewrite_one(graph: onnx.GraphProto, node: onnx.NodeProto) -> str:
    options = attributes(node)
    arrays = constants(graph)
    reason = _why_not(node, options, arrays)
    if reason:
        return f"{node.name}: transposed convolution left as it is: {reason}"
    weight = arrays[node.input[1]]
    scale, groups = int(options["strides"][0]), int(options.get("group", 1))
    top_left = _pads(options)[:2]
    kernel, pads = subpixel_kernel(weight, scale, (top_left[0], top_left[1]), groups=groups)
    inputs = [node.input[0], add_constant(graph, f"{node.name}.subpixel.weight", kernel)]
    if len(node.input) > 2 and node.input[2]:
        bias = np.repeat(arrays[node.input[2]], scale * scale)
        inputs.append(add_constant(graph, f"{node.name}.subpixel.bias", bias))
    phases = fresh_name(graph, f"{node.name}.phases")
    conv = helper.make_node(
        "Conv",
        inputs,
        [phases],
        node.name,
        kernel_shape=list(kernel.shape[2:]),
        pads=list(pads),
        group=groups,
    )
    shuffle = helper.make_node(
        "DepthToSpace",
        [phases],
        list(node.output),
        f"{node.name}.shuffle",
        blocksize=scale,
        mode="CRD",
    )
    position = list(graph.node).index(node)
    graph.node.remove(node)
    graph.node.insert(position, shuffle)
    graph.node.insert(position, conv)
    size = "x".join(map(str, weight.shape[2:]))
    taps = "x".join(map(str, kernel.shape[2:]))
    return (
        f"{node.name}: transposed convolution {size} stride {scale} rewritten as "
        f"convolution {taps} to {kernel.shape[0]} channels with depth-to-space"
    )


def _pads(options: dict[str, Any]) -> tuple[int, ...]:
    return tuple(options.get("pads", (0, 0, 0, 0)))


def _why_not(
    node: onnx.NodeProto, options: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> str | None:
    """Why the rule would not be exact for this node, or None."""
    if any(name and name not in arrays for name in node.input[1:]):
        return "its weights are computed, not constant"
    weight = arrays[node.input[1]]
    if weight.ndim != 4:
        return f"it has {weight.ndim - 2} spatial axes, not 2"
    if options.get("auto_pad", b"NOTSET") != b"NOTSET" or "output_shape" in options:
        return "its padding depends on the input size (auto_pad or output_shape)"
    if list(options.get("dilations", (1, 1))) != [1, 1]:
        return f"its dilation is {list(options['dilations'])}, not 1"
    strides = list(options.get("strides", (1, 1)))
    if strides[0] != strides[1] or strides[0] < 2:
        return f"its strides are {strides}; equal strides of 2 or more are needed"
    pads, extra = _pads(options), options.get("output_padding", (0, 0))
    if min(pads) < 0:
        return f"its padding {list(pads)} is negative"
    for axis in range(2):
        size = weight.shape[2 + axis] - pads[axis] - pads[axis + 2] + extra[axis]
        if size != strides[0]:
            return (
                f"its output is {strides[0]}*n{size - strides[0]:+d} samples long, "
                f"not {strides[0]}*n"
            )
        low = -((weight.shape[2 + axis] - 1 - pads[axis]) // strides[0])
        if low > 0:
            return f"its padding {pads[axis]} is larger than its kernel"
    return None


def _shuffles_before(graph: onnx.GraphProto, add: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The DepthToSpace nodes among the producers of an Add's inputs."""
    inputs = set(add.input)
    return [
        node
        for node in graph.node
        if node.op_type == "DepthToSpace" and not inputs.isdisjoint(node.output)
    ]


def _merge_one(model: onnx.ModelProto, add: onnx.NodeProto) -> str:
    graph = model.graph
    shuffles = _shuffles_before(graph, add)
    reason = _why_no_merge(model, add, shuffles)
    if reason:
        return f"{add.name}: addition left after depth-to-space: {reason}"
    first, second = shuffles
    merged = fresh_name(graph, f"{add.name}.phases")
    sum_node = helper.make_node("Add", [first.input[0], second.input[0]], [merged], add.name)
    shuffle = helper.make_node(
        "DepthToSpace", [merged], list(add.output), f"{add.name}.shuffle", **attributes(first)
    )
    position = list(graph.node).index(add)
    graph.node.remove(add)
    graph.node.insert(position, shuffle)
    graph.node.insert(position, sum_node)
    return f"{add.name}: addition moved before depth-to-space"


def _why_no_merge(
    model: onnx.ModelProto, add: onnx.NodeProto, shuffles: list[onnx.NodeProto]
) -> str | None:
    if len(shuffles) != 2:
        return "only one of its inputs is a depth-to-space"
    if _shuffle_key(shuffles[0]) != _shuffle_key(shuffles[1]):
        return "the two depth-to-space nodes differ in block size or mode"
    readers = consumers(model.graph)
    outputs = {value.name for value in model.graph.output}
    for shuffle in shuffles:
        if len(readers[shuffle.output[0]]) != 1 or shuffle.output[0] in outputs:
            return f"{shuffle.name} is read elsewhere too"
    channels = [_channels(model, shuffle.input[0]) for shuffle in shuffles]
    if channels[0] is None or channels[0] != channels[1]:
        return f"its inputs have {channels[0]} and {channels[1]} channels before the shuffle"
    return None


def _shuffle_key(shuffle: onnx.NodeProto) -> tuple[int, bytes]:
    options = attributes(shuffle)
    return int(options["blocksize"]), bytes(options.get("mode", b"DCR"))


def _channels(model: onnx.ModelProto, tensor: str) -> int | None:
    """Static channel count of a tensor, if shape inference finds one."""
    inferred = onnx.shape_inference.infer_shapes(model)
    for value in inferred.graph.value_info:
        dims = value.type.tensor_type.shape.dim
        if value.name == tensor and len(dims) == 4 and dims[1].HasField("dim_value"):
            return int(dims[1].dim_value)
    return None
