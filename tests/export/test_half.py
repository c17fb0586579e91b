from __future__ import annotations

import numpy as np
import onnx
import pytest
from graph_support import float_graph, random_weight
from network_support import SecondOrderNetwork, small_vdsr, tiny_network, tiny_rgb_graph
from onnx import TensorProto, helper
from pictures_support import synthetic_rgb

from export.graph import constants, producers
from export.half import to_half
from export.heads import with_float_io
from export.onnx_export import export_onnx
from export.rewrite import rewrite_deconvolution
from export.session import GraphRunner, random_planes


@pytest.fixture(scope="module", params=["fsrcnn_residual", "fsrcnn", "vdsr"])
def twin(request: pytest.FixtureRequest) -> onnx.ModelProto:
    network = small_vdsr(2) if request.param == "vdsr" else tiny_network(request.param)
    return with_float_io(rewrite_deconvolution(export_onnx(network))[0])


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def test_learnt_path_is_half_and_the_rest_is_not(twin: onnx.ModelProto) -> None:
    half = to_half(twin)
    types, arrays = types_of(half), constants(half.graph)
    for node in half.graph.node:
        if node.op_type in ("Conv", "PRelu"):
            expected = np.float32 if node.name == "base" else np.float16
            assert arrays[node.input[1]].dtype == expected, node.name
        if node.op_type in ("Add", "DepthToSpace"):
            assert types[node.output[0]] == TensorProto.FLOAT


def test_two_casts_are_all_that_is_added(twin: onnx.ModelProto) -> None:
    half = to_half(twin)
    casts = [node for node in half.graph.node if node.op_type == "Cast"]
    assert len(half.graph.node) == len(twin.graph.node) + 2
    assert len(casts) == 2


def test_ends_stay_float32_and_the_result_is_near(twin: onnx.ModelProto) -> None:
    half = to_half(twin)
    assert half.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert half.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    for batch in random_planes():
        levels = np.rint(batch * 255).astype(np.float32)
        difference = np.abs(GraphRunner(half)(levels) - GraphRunner(twin)(levels))
        assert 0 <= difference.max() < 0.6


def test_input_graph_is_left_alone(twin: onnx.ModelProto) -> None:
    before = twin.SerializeToString(deterministic=True)
    to_half(twin)
    assert twin.SerializeToString(deterministic=True) == before


def test_weight_beyond_half_is_refused() -> None:
    nodes = [
        helper.make_node("Conv", ["lr", "w"], ["a"], "a"),
        helper.make_node("Conv", ["a", "big"], ["sr"], "b"),
    ]
    big = np.full((1, 1, 1, 1), 7e4, np.float32)
    model = float_graph(nodes, {"w": random_weight(1, 1, 1, 1), "big": big})
    with pytest.raises(ValueError, match=r"constant big reaches 7e\+04, beyond float16's 65504"):
        to_half(model)


def test_resize_inside_the_path_keeps_its_float32_factors() -> None:
    nodes = [
        helper.make_node("Conv", ["lr", "w"], ["a"], "a"),
        helper.make_node("Resize", ["a", "", "factors"], ["r"], "r", mode="nearest"),
        helper.make_node("Conv", ["r", "w"], ["sr"], "b"),
    ]
    factors = np.array([1, 1, 2, 2], np.float32)
    half = to_half(float_graph(nodes, {"w": random_weight(1, 1, 1, 1), "factors": factors}))
    assert constants(half.graph)["factors"].dtype == np.float32
    assert GraphRunner(half)(np.ones((1, 1, 3, 3), np.float32)).shape == (1, 1, 6, 6)


def test_result_that_is_read_inside_and_outside_is_cast_once() -> None:
    nodes = [
        helper.make_node("Conv", ["lr", "w"], ["a"], "a"),
        helper.make_node("Conv", ["a", "w"], ["b"], "b"),
        helper.make_node("Add", ["a", "b"], ["sr"], "sum"),
    ]
    half = to_half(float_graph(nodes, {"w": random_weight(1, 1, 1, 1)}))
    writers = producers(half.graph)
    assert writers["a"].op_type == "Cast"
    assert writers["b"].op_type == "Cast"
    assert types_of(half)["sr"] == TensorProto.FLOAT


def test_attention_stays_float32_between_half_convolutions() -> None:
    model = with_float_io(tiny_rgb_graph("rcan_s"))
    half = to_half(model)
    types, arrays = types_of(half), constants(half.graph)
    convolutions = [node for node in half.graph.node if node.op_type == "Conv"]
    floats = [n for n in convolutions if arrays[n.input[1]].dtype == np.float32]
    assert len(floats) == 2 * 3
    assert all(".weights." in node.name for node in floats)
    for node in half.graph.node:
        if node.op_type in ("ReduceMean", "Sigmoid"):
            assert types[node.output[0]] == TensorProto.FLOAT
    picture = synthetic_rgb(24, 20).astype(np.float32)
    difference = GraphRunner(half).picture(picture) - GraphRunner(model).picture(picture)
    assert 0 < np.abs(difference).max() < 1


def test_covariances_beyond_half_do_not_overflow() -> None:
    model = with_float_io(export_onnx(SecondOrderNetwork(gain=3e3)))
    half = to_half(model)
    types = types_of(half)
    products = [node for node in half.graph.node if node.op_type == "MatMul"]
    assert len(products) > 10
    assert {types[node.output[0]] for node in products} == {TensorProto.FLOAT}
    picture = synthetic_rgb(24, 20).astype(np.float32)
    expected = GraphRunner(model).picture(picture)
    found = GraphRunner(half).picture(picture)
    assert np.isfinite(found).all()
    assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()
