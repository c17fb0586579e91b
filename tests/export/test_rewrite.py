from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import pytest
from graph_support import float_graph, op_types, random_weight
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from export.rewrite import rewrite_deconvolution, subpixel_kernel
from export.session import GraphRunner


def deconvolution(
    weight: np.ndarray[Any, Any], *, bias: bool = True, node_options: dict[str, Any]
) -> onnx.ModelProto:
    """A graph of one transposed convolution."""
    groups = int(node_options.get("group", 1))
    channels_in, channels_out = weight.shape[0], weight.shape[1] * groups
    names = ["lr", "weight"] + (["bias"] if bias else [])
    node = helper.make_node("ConvTranspose", names, ["sr"], "tail", **node_options)
    weights = {"weight": weight}
    if bias:
        weights["bias"] = np.linspace(-1, 1, channels_out, dtype=np.float32)
    return float_graph([node], weights, channels=(channels_in, channels_out))


def assert_same_result(first: onnx.ModelProto, second: onnx.ModelProto, channels: int) -> None:
    for height, width in ((9, 7), (1, 1), (2, 5)):
        lr = np.random.default_rng(1).normal(size=(2, channels, height, width)).astype(np.float32)
        expected, found = GraphRunner(first)(lr), GraphRunner(second)(lr)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("scale", "taps"), [(2, 5), (3, 4), (4, 3)])
def test_tail_of_fsrcnn_becomes_a_small_convolution(scale: int, taps: int) -> None:
    options = {
        "strides": [scale] * 2,
        "pads": [4] * 4,
        "output_padding": [scale - 1] * 2,
    }
    model = deconvolution(random_weight(6, 1, 9, 9), node_options=options)
    rewritten, notes = rewrite_deconvolution(model)
    assert op_types(rewritten) == ["Conv", "DepthToSpace"]
    assert f"convolution {taps}x{taps} to {scale * scale} channels" in notes[0]
    assert_same_result(model, rewritten, 6)


@settings(max_examples=40, deadline=None)
@given(
    scale=st.integers(2, 4),
    kernel=st.tuples(st.integers(1, 11), st.integers(1, 11)),
    data=st.data(),
)
def test_rewrite_is_exact_wherever_it_fires(
    scale: int, kernel: tuple[int, int], data: st.DataObject
) -> None:
    pads, extra = [], []
    for size in kernel:
        padding = data.draw(st.integers(max(scale - size, 0), scale - 1))
        before = data.draw(st.integers(0, max(size - scale, 0)))
        # What makes the output exactly scale times as long.
        pads.append((before, size - before + padding - scale))
        extra.append(padding)
    options = {
        "strides": [scale] * 2,
        "pads": [pads[0][0], pads[1][0], pads[0][1], pads[1][1]],
        "output_padding": extra,
    }
    model = deconvolution(random_weight(3, 2, *kernel), node_options=options)
    rewritten, notes = rewrite_deconvolution(model)
    assert "ConvTranspose" not in op_types(rewritten), notes
    assert_same_result(model, rewritten, 3)


def test_grouped_transposed_convolution_is_exact_too() -> None:
    options = {"strides": [2, 2], "pads": [1, 1, 1, 1], "group": 3}
    model = deconvolution(random_weight(6, 2, 4, 4), bias=False, node_options=options)
    rewritten, _ = rewrite_deconvolution(model)
    assert op_types(rewritten) == ["Conv", "DepthToSpace"]
    assert_same_result(model, rewritten, 6)


@pytest.mark.parametrize(
    ("options", "kernel", "reason"),
    [
        ({"strides": [2, 3], "pads": [4] * 4}, 9, r"strides are \[2, 3\]"),
        ({"strides": [1, 1], "pads": [4] * 4}, 9, r"strides are \[1, 1\]"),
        ({"strides": [2, 2], "pads": [4] * 4}, 9, r"output is 2\*n-1 samples long"),
        ({"strides": [2, 2], "dilations": [2, 2], "pads": [1] * 4}, 3, r"dilation is \[2, 2\]"),
        ({"strides": [2, 2], "auto_pad": "SAME_UPPER"}, 4, "depends on the input size"),
    ],
)
def test_rule_that_would_not_be_exact_does_not_fire_and_says_why(
    options: dict[str, Any], kernel: int, reason: str
) -> None:
    model = deconvolution(random_weight(2, 1, kernel, kernel), node_options=options)
    rewritten, notes = rewrite_deconvolution(model)
    assert op_types(rewritten) == ["ConvTranspose"]
    assert len(notes) == 1
    assert re.search(reason, notes[0]), notes


def test_computed_weights_are_left_alone() -> None:
    model = deconvolution(random_weight(2, 1, 4, 4), bias=False, node_options={"strides": [2, 2]})
    model.graph.node[0].input[1] = "computed"
    model.graph.node.insert(0, helper.make_node("Relu", ["weight"], ["computed"]))
    rewritten, notes = rewrite_deconvolution(model)
    assert "ConvTranspose" in op_types(rewritten)
    assert "computed, not constant" in notes[0]


def shuffled_sum(second: dict[str, Any], *, second_read_twice: bool = False) -> onnx.ModelProto:
    """Add(DepthToSpace(conv a), DepthToSpace(conv b))."""
    nodes = [
        helper.make_node("Conv", ["lr", "wa"], ["a"], "a"),
        helper.make_node("Conv", ["lr", "wb"], ["b"], "b"),
        helper.make_node("DepthToSpace", ["a"], ["sa"], "sa", blocksize=2, mode="CRD"),
        helper.make_node("DepthToSpace", ["b"], ["sb"], "sb", **second),
        helper.make_node("Add", ["sa", "sb"], ["sum"], "add"),
        helper.make_node("Add", ["sum", "sb" if second_read_twice else "sum"], ["sr"], "last"),
    ]
    return float_graph(
        nodes, {"wa": random_weight(4, 1, 1, 1), "wb": random_weight(4, 1, 1, 1, seed=1)}
    )


def test_sum_of_two_shuffles_becomes_the_shuffle_of_a_sum() -> None:
    model = shuffled_sum({"blocksize": 2, "mode": "CRD"})
    rewritten, notes = rewrite_deconvolution(model)
    assert op_types(rewritten).count("DepthToSpace") == 1
    assert "add: addition moved before depth-to-space" in notes
    assert_same_result(model, rewritten, 1)


def test_shuffles_of_another_order_are_not_merged() -> None:
    model = shuffled_sum({"blocksize": 2, "mode": "DCR"})
    rewritten, notes = rewrite_deconvolution(model)
    assert op_types(rewritten).count("DepthToSpace") == 2
    assert "differ in block size or mode" in notes[0]


def test_shuffle_that_is_read_elsewhere_is_not_merged() -> None:
    model = shuffled_sum({"blocksize": 2, "mode": "CRD"}, second_read_twice=True)
    rewritten, notes = rewrite_deconvolution(model)
    assert op_types(rewritten).count("DepthToSpace") == 2
    assert "read elsewhere" in " ".join(notes)


def test_graph_without_a_transposed_convolution_is_reported_as_such() -> None:
    model = shuffled_sum({"blocksize": 2, "mode": "CRD"})
    del model.graph.node[2:]
    model.graph.node[1].output[0] = "sr"
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4
    _, notes = rewrite_deconvolution(model)
    assert notes == ["no transposed convolution in this graph"]


def test_each_tap_of_the_kernel_is_used_once() -> None:
    weight = np.arange(1, 82, dtype=np.float32).reshape(1, 1, 9, 9)
    kernel, pads = subpixel_kernel(weight, 3, (4, 4))
    assert kernel.shape == (9, 1, 4, 4)
    assert pads == (1, 1, 2, 2)
    assert sorted(kernel[kernel > 0]) == list(range(1, 82))


@pytest.mark.parametrize(("scale", "channels"), [(2, 1), (3, 3), (4, 3)])
def test_tail_of_idn_becomes_a_convolution_of_all_its_channels(scale: int, channels: int) -> None:
    options = {"strides": [scale] * 2, "pads": [8] * 4, "output_padding": [scale - 1] * 2}
    model = deconvolution(random_weight(4, channels, 17, 17), node_options=options)
    rewritten, notes = rewrite_deconvolution(model)
    assert op_types(rewritten) == ["Conv", "DepthToSpace"]
    assert f"17x17 stride {scale}" in notes[0]
    assert f"to {channels * scale**2} channels" in notes[0]
    assert_same_result(model, rewritten, 4)
