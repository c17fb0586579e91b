from __future__ import annotations

import numpy as np
import onnx
import pytest
from graph_support import float_graph
from onnx import helper

from export.graph import (
    add_constant,
    constants,
    consumers,
    encode,
    enlarging_head,
    finish,
    fresh_name,
    producers,
    residual_convolutions,
)


def graph_of(nodes: list[onnx.NodeProto], weights: dict[str, tuple[int, ...]]) -> onnx.ModelProto:
    """A graph lr -> sr of these nodes, with weights of ones."""
    return float_graph(nodes, {k: np.ones(shape, np.float32) for k, shape in weights.items()})


def conv(source: str, weight: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weight], [target], target)


def test_lone_convolution_beside_a_chain_is_the_base() -> None:
    nodes = [
        conv("lr", "w", "a"),
        conv("lr", "w", "base"),
        helper.make_node("Relu", ["a"], ["r"]),
        conv("r", "w", "b"),
        helper.make_node("Add", ["b", "base"], ["sr"]),
    ]
    model = graph_of(nodes, {"w": (1, 1, 1, 1)})
    assert [node.name for node in residual_convolutions(model.graph)] == ["a", "b"]


def test_only_convolution_of_a_graph_is_learnt() -> None:
    model = graph_of([conv("lr", "w", "sr")], {"w": (1, 1, 1, 1)})
    assert [node.name for node in residual_convolutions(model.graph)] == ["sr"]


def shuffle(source: str, target: str) -> onnx.NodeProto:
    return helper.make_node("DepthToSpace", [source], [target], target, blocksize=2)


def test_convolution_to_a_picture_that_all_others_read_is_no_learnt_one() -> None:
    nodes = [
        helper.make_node("Cast", ["lr"], ["grey"], "grey", to=1),
        conv("grey", "w4", "phases"),
        shuffle("phases", "picture"),
        conv("picture", "w", "a"),
        helper.make_node("Add", ["a", "picture"], ["sr"]),
    ]
    graph = graph_of(nodes, {"w": (1, 1, 1, 1), "w4": (4, 1, 1, 1)}).graph
    assert [node.op_type for node in enlarging_head(graph)] == ["Cast", "Conv", "DepthToSpace"]
    assert [node.name for node in residual_convolutions(graph)] == ["a"]


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Conv", ["lr", "w4", "bias"], ["p"]), shuffle("p", "u")],
        [conv("lr", "w", "a"), conv("a", "w4", "p"), shuffle("p", "u")],
        [conv("lr", "w4", "p"), helper.make_node("Relu", ["p"], ["q"]), shuffle("q", "u")],
        [conv("lr", "w4", "p"), shuffle("p", "u"), helper.make_node("Add", ["lr", "u"], ["v"])],
    ],
)
def test_other_beginnings_are_no_enlarging_head(nodes: list[onnx.NodeProto]) -> None:
    nodes = [*nodes, conv(nodes[-1].output[0], "w", "sr")]
    weights = {"w": (1, 1, 1, 1), "w4": (4, 1, 1, 1), "bias": (4,)}
    assert not enlarging_head(graph_of(nodes, weights).graph)


def test_sub_pixel_convolution_alone_is_no_enlarging_head() -> None:
    nodes = [conv("lr", "w4", "p"), shuffle("p", "sr")]
    assert not enlarging_head(graph_of(nodes, {"w4": (4, 1, 1, 1)}).graph)


def test_finish_sorts_and_drops_what_nothing_reads() -> None:
    nodes = [
        conv("a", "w", "sr"),
        helper.make_node("Relu", ["lr"], ["unread"]),
        helper.make_node("Relu", ["lr"], ["a"]),
    ]
    model = finish(graph_of(nodes, {"w": (1, 1, 1, 1), "unused": (3,)}))
    assert [node.output[0] for node in model.graph.node] == ["a", "sr"]
    assert set(constants(model.graph)) == {"w"}


def test_finish_removes_notes() -> None:
    model = graph_of([conv("lr", "w", "sr")], {"w": (1, 1, 1, 1)})
    model.graph.node[0].doc_string = "where it came from"
    model.graph.node[0].metadata_props.add(key="pkg", value="x")
    model.producer_name = "someone"
    finished = finish(model)
    assert not finished.graph.node[0].doc_string
    assert not finished.graph.node[0].metadata_props
    assert finished.producer_name == "edge-sr"


def test_finish_refuses_a_graph_that_breaks_the_standard() -> None:
    model = graph_of([helper.make_node("Conv", ["lr"], ["sr"])], {})
    with pytest.raises(onnx.checker.ValidationError):
        finish(model)


def test_scalar_constant_keeps_its_shape() -> None:
    model = graph_of([conv("lr", "w", "sr")], {"w": (1, 1, 1, 1)})
    name = add_constant(model.graph, "peak", np.array(255, np.float32))
    assert constants(model.graph)[name].shape == ()


def test_taken_name_gets_a_number() -> None:
    model = graph_of([conv("lr", "w", "sr")], {"w": (1, 1, 1, 1)})
    assert fresh_name(model.graph, "w") == "w.2"
    assert fresh_name(model.graph, "new") == "new"


def test_readers_and_writers_of_a_tensor_are_found() -> None:
    nodes = [conv("lr", "w", "a"), helper.make_node("Mul", ["a", "a"], ["sr"], "square")]
    graph = graph_of(nodes, {"w": (1, 1, 1, 1)}).graph
    assert producers(graph)["a"].op_type == "Conv"
    assert [node.name for node in consumers(graph)["a"]] == ["square"]


def test_same_graph_gives_the_same_bytes() -> None:
    first, second = (graph_of([conv("lr", "w", "sr")], {"w": (1, 1, 1, 1)}) for _ in range(2))
    assert encode(first) == encode(second)
