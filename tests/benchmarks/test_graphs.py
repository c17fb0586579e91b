from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from side_by_side.cases import SUB_PIXEL, TRANSPOSED
from side_by_side.chain import Array, Chain, read_chain
from side_by_side.graphs import graph_bytes, graph_path, transposed_graph
from side_by_side.reference import psnr_db, reference_frame

onnx = pytest.importorskip("onnx", reason="onnx comes with the export extra")


def run_graph(data: bytes, frame: Array) -> Array:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: frame.astype(np.float32)[None, None]}
    result: Array = session.run(None, feed)[0][0, 0]
    return result


def test_bf16_is_taken_from_the_float_graph(shipped: Path) -> None:
    assert graph_path(shipped, "bf16") == graph_path(shipped, "fp32")
    assert graph_path(shipped, "int8").name == "model.int8.f32.onnx"
    assert all(graph_path(shipped, p).is_file() for p in ("fp32", "bf16", "int8"))


# The tail alone leaves INT8, so the results may differ by its rounding.
@pytest.mark.parametrize(("precision", "least_db"), [("fp32", 110), ("int8", 45)])
def test_transposed_graph_equals_the_sub_pixel_one(
    shipped: Path, precision: str, least_db: float
) -> None:
    from runtime.bench import moving_texture

    frame, chain = moving_texture(40, 24), read_chain(shipped)
    ours = graph_bytes(shipped, precision, TRANSPOSED, chain)
    theirs = graph_bytes(shipped, precision, SUB_PIXEL, chain)
    assert theirs == graph_path(shipped, precision).read_bytes()
    kinds = [node.op_type for node in onnx.load_from_string(ours).graph.node]
    assert kinds.count("ConvTranspose") == 1
    assert kinds.count("Conv") == len(chain.layers)  # the body and the base
    assert psnr_db(run_graph(ours, frame), run_graph(theirs, frame)) > least_db


def test_a_graph_without_base_ends_in_the_transposed_convolution(
    tmp_path: Path, clipped_chain: Chain, noise: Array
) -> None:
    path = tmp_path / "plain.onnx"
    onnx.save(plain_graph(clipped_chain), path)
    expected = reference_frame(clipped_chain, noise)
    np.testing.assert_allclose(run_graph(path.read_bytes(), noise), expected, atol=1e-3)
    data = transposed_graph(path, clipped_chain)
    kinds = [node.op_type for node in onnx.load_from_string(data).graph.node]
    assert kinds == ["Conv", "Clip", "ConvTranspose"]
    np.testing.assert_allclose(run_graph(data, noise), expected, atol=1e-3)


def plain_graph(chain: Chain) -> onnx.ModelProto:
    """The two layers of the fixture in the sub-pixel form."""
    from onnx import TensorProto, helper, numpy_helper

    body, tail = chain.layers
    assert body.clip is not None
    constants = {
        "w0": body.weight,
        "b0": body.bias,
        "low": np.float32(body.clip[0]).reshape(()),
        "high": np.float32(body.clip[1]).reshape(()),
        "w1": tail.weight,
        "b1": tail.bias,
    }
    nodes = [
        helper.make_node("Conv", ["lr", "w0", "b0"], ["c0"], pads=[1] * 4),
        helper.make_node("Clip", ["c0", "low", "high"], ["a0"]),
        helper.make_node("Conv", ["a0", "w1", "b1"], ["c1"], pads=[1] * 4),
        helper.make_node("DepthToSpace", ["c1"], ["sr"], blocksize=chain.scale, mode="CRD"),
    ]
    graph = helper.make_graph(
        nodes,
        "plain",
        [helper.make_tensor_value_info("lr", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("sr", TensorProto.FLOAT, ["n", 1, "sh", "sw"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
