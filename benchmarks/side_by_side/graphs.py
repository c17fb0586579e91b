"""A bundle's float-in, float-out graph, with the tail in the sub-pixel or the transposed form."""

from __future__ import annotations

from pathlib import Path

from runtime.manifest import model_file
from side_by_side.cases import SUB_PIXEL
from side_by_side.chain import Chain, transposed_tail

_TWIN = {"fp32": "fp32", "bf16": "fp32", "int8": "int8"}


def graph_path(bundle: Path, precision: str) -> Path:
    """The grey-level graph of a precision: runtimes that do BF16 take it from the FP32 graph."""
    return bundle / model_file(_TWIN[precision], twin=True)


def graph_bytes(bundle: Path, precision: str, form: str, chain: Chain) -> bytes:
    """The graph as a file's content."""
    path = graph_path(bundle, precision)
    return path.read_bytes() if form == SUB_PIXEL else transposed_graph(path, chain)


def transposed_graph(path: Path, chain: Chain) -> bytes:
    """The graph with its sub-pixel tail replaced by one transposed convolution, in float.

    The base, if there is one, keeps its own depth-to-space and is added after it.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(path)
    graph = model.graph
    writers = {output: node for node in graph.node for output in node.output}
    shuffle = writers[graph.output[0].name]
    tail, base = writers[shuffle.input[0]], None
    if tail.op_type == "Add":
        # The tail is the one that continues the chain; the base reads padded input.
        sides = [writers[name] for name in tail.input]
        base = next(s for s in sides if writers[s.input[0]].op_type == "Pad")
        graph.node.remove(tail)
        tail = next(side for side in sides if side is not base)
    weight = writers.get(tail.input[1])
    is_int8 = weight is not None and weight.op_type == "DequantizeLinear"
    kernel, bias = transposed_tail(chain.in_float(-1, is_int8=is_int8), chain.scale)
    graph.initializer.extend(
        [
            numpy_helper.from_array(kernel, "transposed.weight"),
            numpy_helper.from_array(bias, "transposed.bias"),
        ]
    )
    result = graph.output[0].name
    learnt = "transposed" if base is not None else result
    nodes = [
        helper.make_node(
            "ConvTranspose",
            [tail.input[0], "transposed.weight", "transposed.bias"],
            [learnt],
            kernel_shape=kernel.shape[2:],
            strides=[chain.scale] * 2,
            pads=[kernel.shape[2] // 2] * 4,
            output_padding=[chain.scale - 1] * 2,
        )
    ]
    if base is not None:
        nodes.append(
            helper.make_node(
                "DepthToSpace", [base.output[0]], ["base.sr"], blocksize=chain.scale, mode="CRD"
            )
        )
        nodes.append(helper.make_node("Add", [learnt, "base.sr"], [result]))
    graph.node.remove(shuffle)
    graph.node.remove(tail)
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data
