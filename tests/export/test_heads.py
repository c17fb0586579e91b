from __future__ import annotations

import numpy as np
import onnx
import pytest
from graph_support import float_graph, op_types, random_weight
from network_support import small_vdsr, tiny_network, tiny_rgb_graph
from onnx import TensorProto, helper

from export.graph import constants
from export.heads import with_float_io, with_uint8_io
from export.onnx_export import export_onnx
from export.rewrite import rewrite_deconvolution
from export.session import GraphRunner, random_planes

LEVELS = [np.rint(batch * 255).astype(np.float32) for batch in random_planes()]


def assert_grey_levels(unit: onnx.ModelProto, twin: onnx.ModelProto) -> None:
    for levels in LEVELS:
        expected = GraphRunner(unit)(levels / np.float32(255)) * 255
        np.testing.assert_allclose(GraphRunner(twin)(levels), expected, atol=2e-3)


@pytest.fixture(scope="module")
def rewritten() -> onnx.ModelProto:
    return rewrite_deconvolution(export_onnx(tiny_network()))[0]


def test_factors_go_into_the_weights_of_a_residual_network(rewritten: onnx.ModelProto) -> None:
    twin = with_float_io(rewritten)
    assert op_types(twin) == op_types(rewritten)
    assert_grey_levels(rewritten, twin)


def test_fixed_base_keeps_its_weights_bit_for_bit(rewritten: onnx.ModelProto) -> None:
    before, after = constants(rewritten.graph), constants(with_float_io(rewritten).graph)
    np.testing.assert_array_equal(after["base.weight"], before["base.weight"])


@pytest.mark.parametrize("is_residual", [True, False])
def test_enlarging_head_keeps_its_weights_and_grey_levels(is_residual: bool) -> None:
    unit = export_onnx(small_vdsr(3, is_residual=is_residual))
    twin = with_float_io(unit)
    assert op_types(twin) == op_types(unit)
    before, after = constants(unit.graph), constants(twin.graph)
    np.testing.assert_array_equal(after["base.weight"], before["base.weight"])
    assert_grey_levels(unit, twin)


def test_transposed_tail_takes_the_factor_too() -> None:
    unit = export_onnx(tiny_network("fsrcnn"))
    twin = with_float_io(unit)
    assert op_types(twin) == op_types(unit)
    assert_grey_levels(unit, twin)


def test_shared_weights_are_scaled_where_they_are_used_alone() -> None:
    nodes = [
        helper.make_node("Conv", ["lr", "w"], ["a"], "a"),
        helper.make_node("Relu", ["a"], ["r"], "r"),
        helper.make_node("Conv", ["r", "w"], ["b"], "b"),
        helper.make_node("Tanh", ["b"], ["t"], "t"),
        helper.make_node("Conv", ["t", "w"], ["sr"], "c"),
    ]
    unit = float_graph(nodes, {"w": random_weight(1, 1, 1, 1)})
    twin = with_float_io(unit)
    assert op_types(twin) == op_types(unit)
    assert_grey_levels(unit, twin)


@pytest.mark.parametrize(
    ("nodes", "added"),
    [
        (
            [
                helper.make_node("Sqrt", ["lr"], ["root"], "root"),
                helper.make_node("Conv", ["root", "w"], ["sr"], "c"),
            ],
            1,
        ),
        (
            [
                helper.make_node("Conv", ["lr", "w"], ["c"], "c"),
                helper.make_node("Sigmoid", ["c"], ["sr"], "s"),
            ],
            1,
        ),
        (
            [
                helper.make_node("Conv", ["lr", "w"], ["c"], "c"),
                helper.make_node("Add", ["c", "lr"], ["sr"], "s"),
            ],
            2,
        ),
    ],
)
def test_factor_that_does_not_fold_becomes_a_multiplication(
    nodes: list[onnx.NodeProto], added: int
) -> None:
    unit = float_graph(nodes, {"w": random_weight(1, 1, 3, 3)})
    unit.graph.node[[n.op_type for n in nodes].index("Conv")].attribute.append(
        helper.make_attribute("pads", [1, 1, 1, 1])
    )
    twin = with_float_io(unit)
    assert op_types(twin).count("Mul") == added
    assert_grey_levels(unit, twin)


def test_padding_with_a_grey_value_is_not_folded_through() -> None:
    nodes = [
        helper.make_node("Pad", ["lr", "pads", "value"], ["p"], "p"),
        helper.make_node("Conv", ["p", "w"], ["sr"], "c"),
    ]
    weights = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        "value": np.array(0.5, np.float32),
        "w": random_weight(1, 1, 3, 3),
    }
    unit = float_graph(nodes, weights)
    twin = with_float_io(unit)
    assert op_types(twin)[0] == "Mul"
    assert_grey_levels(unit, twin)


def test_byte_graph_starts_and_ends_as_every_bundle_does(rewritten: onnx.ModelProto) -> None:
    model = with_uint8_io(with_float_io(rewritten))
    types = op_types(model)
    assert types[0] == "Cast"
    assert types[-3:] == ["Clip", "Round", "Cast"]
    ends = (model.graph.input[0], model.graph.output[0])
    assert [end.type.tensor_type.elem_type for end in ends] == [TensorProto.UINT8] * 2
    onnx.checker.check_model(model, full_check=True)


def test_byte_graph_rounds_half_to_even_and_clamps() -> None:
    nodes = [helper.make_node("Mul", ["lr", "half"], ["sr"], "m")]
    model = with_uint8_io(float_graph(nodes, {"half": np.array(2.5, np.float32)}))
    lr = np.array([[[[1, 3, 0, 255]]]], np.uint8)
    np.testing.assert_array_equal(GraphRunner(model)(lr), [[[[2, 8, 0, 255]]]])


def test_byte_graph_equals_the_rounded_twin(rewritten: onnx.ModelProto) -> None:
    twin = with_float_io(rewritten)
    run, run_twin = GraphRunner(with_uint8_io(twin)), GraphRunner(twin)
    for levels in LEVELS:
        expected = np.rint(np.clip(run_twin(levels), 0, 255))
        np.testing.assert_array_equal(run(levels.astype(np.uint8)), expected)


def test_channels_of_rgb_are_clamped_and_rounded_alone() -> None:
    nodes = [helper.make_node("Mul", ["lr", "gain"], ["sr"], "m")]
    gain = np.array([0.5, 3.0, -1.0], np.float32).reshape(1, 3, 1, 1)
    model = with_uint8_io(float_graph(nodes, {"gain": gain}, channels=(3, 3)))
    for end in (model.graph.input[0], model.graph.output[0]):
        tensor = end.type.tensor_type
        assert tensor.elem_type == TensorProto.UINT8
        assert tensor.shape.dim[1].dim_value == 3
    picture = np.array([[[5, 80, 7], [255, 90, 0]]], np.uint8)
    found = GraphRunner(model).picture(picture)
    assert found.tolist() == [[[2, 240, 0], [128, 255, 0]]]


@pytest.mark.parametrize("name", ["edsr_s", "rcan_s"])
def test_network_with_a_mean_shift_takes_grey_levels(name: str) -> None:
    unit = tiny_rgb_graph(name)
    levels = np.rint(255 * random_planes(3)[0])
    expected = GraphRunner(unit)(levels / np.float32(255)) * 255
    np.testing.assert_allclose(GraphRunner(with_float_io(unit))(levels), expected, atol=5e-3)
