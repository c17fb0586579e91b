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
    spatial_flags,
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


def attention(kind: str) -> onnx.ModelProto:
    """conv a -> x; x times what conv w makes of all of x's positions -> conv b."""
    pooled = {
        "pooling": [helper.make_node("GlobalAveragePool", ["x"], ["p"], "pool")],
        "products": [
            helper.make_node("Transpose", ["x"], ["t"], "turn", perm=[0, 1, 3, 2]),
            helper.make_node("MatMul", ["x", "t"], ["p"], "product"),
        ],
    }[kind]
    nodes = [
        conv("lr", "w", "x"),
        *pooled,
        conv("p", "w", "weigh"),
        helper.make_node("Sigmoid", ["weigh"], ["s"], "s"),
        helper.make_node("Mul", ["x", "s"], ["y"], "y"),
        conv("y", "w", "sr"),
    ]
    return graph_of(nodes, {"w": (1, 1, 1, 1)})


@pytest.mark.parametrize("kind", ["pooling", "products"])
def test_attention_is_not_on_the_spatial_path(kind: str) -> None:
    graph = attention(kind).graph
    spatial = [n.name for n, on in zip(graph.node, spatial_flags(graph), strict=True) if on]
    assert spatial == ["x", "y", "sr"]
    assert [node.name for node in residual_convolutions(graph)] == ["x", "sr"]


def test_products_with_weights_are_on_the_spatial_path() -> None:
    nodes = [
        conv("lr", "w", "x"),
        helper.make_node("MatMul", ["x", "m"], ["y"], "mix"),
        conv("y", "w", "sr"),
    ]
    model = graph_of(nodes, {"w": (1, 1, 1, 1), "m": (4, 4)})
    assert spatial_flags(model.graph) == [True, True, True]


def test_the_size_of_a_tensor_carries_no_sample_of_it() -> None:
    nodes = [
        conv("lr", "w", "x"),
        conv("x", "w", "branch"),
        helper.make_node("Shape", ["branch"], ["size"], "size"),
        helper.make_node("Expand", ["x", "size"], ["y"], "expand"),
        conv("y", "w", "sr"),
    ]
    graph = graph_of(nodes, {"w": (1, 1, 1, 1)}).graph
    assert [node.name for node in residual_convolutions(graph)] == ["x", "sr"]


def test_nodes_are_sorted_as_repeated_sweeps_would() -> None:
    rng = np.random.default_rng(0)
    count = 40
    nodes = [
        helper.make_node("Sum", ["lr", *(f"t{i}" for i in rng.choice(n, min(n, 2)))], [f"t{n}"])
        for n in range(count)
    ]
    nodes.append(helper.make_node("Sum", [f"t{n}" for n in range(count)], ["sr"]))
    shuffled = [nodes[index] for index in rng.permutation(len(nodes))]
    expected, ready, waiting = [], {"lr"}, list(shuffled)
    while waiting:
        late = []
        for node in waiting:
            if set(node.input) <= ready:
                expected.append(node.output[0])
                ready.update(node.output)
            else:
                late.append(node)
        waiting = late
    found = [node.output[0] for node in finish(graph_of(shuffled, {})).graph.node]
    assert found == expected
