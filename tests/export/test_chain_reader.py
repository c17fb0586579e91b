from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from graph_support import float_graph, random_weight
from numpy.typing import NDArray
from onnx import helper

from edge_sr.data.resample import bicubic_phases
from export.chain_reader import read_chain
from export.plain_chain import NotAPlainChainError

Weights = dict[str, NDArray[Any]]


def conv(source: str, target: str, weight: str, **options: Any) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weight], [target], target, **options)


def shuffle(source: str, **options: Any) -> onnx.NodeProto:
    options = {"blocksize": 2, "mode": "CRD", **options}
    return helper.make_node("DepthToSpace", [source], ["sr"], "shuffle", **options)


def weights(**others: NDArray[Any]) -> Weights:
    """Weights of ``first`` (3x3, 1 to 6) and ``tail`` (1x1, 6 to 4)."""
    return {"first": random_weight(6, 1, 3, 3), "tail": random_weight(4, 6, 1, 1), **others}


def first(**options: Any) -> onnx.NodeProto:
    return conv("lr", "a", "first", **{"pads": [1, 1, 1, 1], **options})


def activation(kind: str, *constants: str) -> onnx.NodeProto:
    return helper.make_node(kind, ["a", *constants], ["b"], kind.lower())


def tail(source: str = "b") -> list[onnx.NodeProto]:
    return [conv(source, "phases", "tail"), shuffle("phases")]


def base(pad_mode: str = "edge") -> list[onnx.NodeProto]:
    """The bicubic base added to ``learnt``."""
    return [
        helper.make_node("Pad", ["lr", "amounts"], ["padded"], "pad", mode=pad_mode),
        conv("padded", "base", "bicubic"),
        helper.make_node("Add", ["learnt", "base"], ["sum"], "sum"),
        shuffle("sum"),
    ]


def base_weights(change: float = 0.0) -> Weights:
    phases = bicubic_phases(2).astype(np.float32)[:, None]
    amounts = np.array([0, 0, 2, 2, 0, 0, 2, 2], np.int64)
    return {"bicubic": phases + np.float32(change), "amounts": amounts}


def reason(nodes: list[onnx.NodeProto], constants: Weights, scale: int = 2) -> str:
    with pytest.raises(NotAPlainChainError) as caught:
        read_chain(float_graph(nodes, constants), scale)
    return str(caught.value)


def test_relu_is_a_prelu_of_slope_zero() -> None:
    chain = read_chain(float_graph([first(), activation("Relu"), *tail()], weights()), 2)
    slope = chain.layers[0].activation.slope
    assert slope is not None
    assert slope.tolist() == [0.0] * 6
    assert not chain.has_base


def test_clip_keeps_its_limits() -> None:
    limits = {"low": np.float32(0), "high": np.float32(6)}
    nodes = [first(), activation("Clip", "low", "high"), *tail()]
    chain = read_chain(float_graph(nodes, weights(**limits)), 2)
    assert chain.layers[0].activation.clip == (0.0, 6.0)


def test_no_activation_and_no_bias_are_read() -> None:
    chain = read_chain(float_graph([first(), *tail("a")], weights()), 2)
    assert chain.layers[0].activation.slope is None
    assert chain.layers[0].bias.tolist() == [0.0] * 6


@pytest.mark.parametrize("shape", [(1,), (1, 1, 1), (6, 1, 1), (1, 6, 1, 1)])
def test_slope_is_shared_or_per_channel(shape: tuple[int, ...]) -> None:
    slope = random_weight(*shape)
    nodes = [first(), activation("PRelu", "slope"), *tail()]
    found = read_chain(float_graph(nodes, weights(slope=slope)), 2).layers[0].activation.slope
    assert found is not None
    np.testing.assert_array_equal(found, np.broadcast_to(slope.reshape(-1), 6))


def test_either_order_of_depth_to_space_is_read() -> None:
    nodes = [first(), conv("a", "phases", "tail"), shuffle("phases", mode="DCR")]
    assert len(read_chain(float_graph(nodes, weights()), 2).layers) == 2


def test_pad_node_of_zeros_counts_as_padding() -> None:
    amounts = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    pad = helper.make_node("Pad", ["lr", "amounts"], ["padded"], "pad")
    nodes = [pad, conv("padded", "a", "first"), *tail("a")]
    chain = read_chain(float_graph(nodes, weights(amounts=amounts)), 2)
    assert chain.layers[0].pads == (1, 1, 1, 1)


@pytest.mark.parametrize("swapped", [False, True])
def test_bicubic_base_is_recognised(swapped: bool) -> None:
    nodes = [first(), conv("a", "learnt", "tail"), *base()]
    if swapped:
        nodes[-2].input[:] = list(reversed(nodes[-2].input))
    chain = read_chain(float_graph(nodes, weights(**base_weights())), 2)
    assert chain.has_base
    assert [layer.name for layer in chain.layers] == ["a", "learnt"]


OTHER_BASE = "sum adds something else than MATLAB bicubic"


@pytest.mark.parametrize(("mode", "change"), [("reflect", 0.0), ("constant", 0.0), ("edge", 1e-6)])
def test_other_base_is_refused(mode: str, change: float) -> None:
    nodes = [first(), conv("a", "learnt", "tail"), *base(mode)]
    assert reason(nodes, weights(**base_weights(change))) == OTHER_BASE


def test_skip_connection_is_refused() -> None:
    add = helper.make_node("Add", ["a", "b"], ["c"], "skip")
    nodes = [first(), activation("Relu"), add, *tail("c")]
    assert reason(nodes, weights()) == "Add skip is not a plain convolution"


def test_tensor_read_twice_is_refused() -> None:
    nodes = [first(), activation("PRelu", "first"), *tail()]
    nodes[1] = helper.make_node("PRelu", ["a", "a"], ["b"], "odd")
    assert reason(nodes, weights()) == "odd has no constant slope per channel"
    second = conv("lr", "other", "first", pads=[1, 1, 1, 1])
    mixed = helper.make_node("Conv", ["a", "other"], ["b"], "dynamic", pads=[1, 1, 1, 1])
    assert "dynamic has no constant 2-D kernel" in reason(
        [first(), second, mixed, *tail()], weights()
    )


def test_transposed_tail_is_refused() -> None:
    up = helper.make_node("ConvTranspose", ["a", "up"], ["sr"], "up", strides=[2, 2])
    found = reason([first(), up], weights(up=random_weight(6, 1, 2, 2)))
    assert found == "it ends in ConvTranspose up, not in a sub-pixel convolution"


def test_other_scale_is_refused() -> None:
    assert reason([first(), *tail("a")], weights(), 3) == "depth-to-space by 2, not 3"


def test_single_convolution_is_refused() -> None:
    constants = {"tail": random_weight(4, 1, 1, 1)}
    found = reason([conv("lr", "phases", "tail"), shuffle("phases")], constants)
    assert found == "it has no convolution before its tail"


def test_activation_on_the_tail_is_refused() -> None:
    relu = helper.make_node("Relu", ["phases"], ["r"], "relu")
    nodes = [first(), conv("a", "phases", "tail"), relu, shuffle("r")]
    assert reason(nodes, weights()) == "its last layer phases has an activation"


def test_several_output_channels_are_refused() -> None:
    constants = weights(tail=random_weight(12, 6, 1, 1))
    found = reason([first(), *tail("a")], constants)
    assert found == "its last layer phases has 12 outputs; one channel at x2 has 4"


UNPLAIN = "convolution a of 3x3 is not dense, of stride 1 and padded to the same size"


@pytest.mark.parametrize(
    "options",
    [
        {"strides": [2, 2]},
        {"dilations": [2, 2], "pads": [2, 2, 2, 2]},
        {"pads": [0, 0, 0, 0]},
        {"pads": [2, 1, 1, 1]},
    ],
)
def test_convolution_that_changes_the_size_is_refused(options: dict[str, Any]) -> None:
    assert reason([first(**options), *tail("a")], weights()) == UNPLAIN


def test_grouped_convolution_is_refused() -> None:
    grouped = conv("a", "b", "grouped", group=2)
    constants = weights(grouped=random_weight(6, 3, 1, 1))
    found = reason([first(), grouped, *tail()], constants)
    assert found.startswith("convolution b of 1x1 is not dense")


def test_auto_pad_is_refused() -> None:
    nodes = [conv("lr", "a", "first", auto_pad="SAME_UPPER"), *tail("a")]
    assert reason(nodes, weights()) == "convolution a pads by auto_pad"


def test_reflecting_pad_is_refused() -> None:
    amounts = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    pad = helper.make_node("Pad", ["lr", "amounts"], ["padded"], "pad", mode="reflect")
    nodes = [pad, conv("padded", "a", "first"), *tail("a")]
    assert reason(nodes, weights(amounts=amounts)) == "pad pads with something else than zeros"


def test_pad_of_channels_is_refused() -> None:
    amounts = np.array([0, 1, 1, 1, 0, 1, 1, 1], np.int64)
    pad = helper.make_node("Pad", ["lr", "amounts"], ["padded"], "pad")
    nodes = [pad, conv("padded", "a", "first"), *tail("a")]
    assert reason(nodes, weights(amounts=amounts)) == "pad adds channels"


def test_large_kernel_is_refused() -> None:
    constants = weights(first=random_weight(6, 1, 17, 17))
    found = reason([first(pads=[8] * 4), *tail("a")], constants)
    assert found == "convolution a of 17x17 is larger than 15x15"


def test_many_channels_are_refused() -> None:
    constants = weights(first=random_weight(300, 1, 3, 3), tail=random_weight(4, 300, 1, 1))
    assert (
        reason([first(), *tail("a")], constants) == "convolution phases has more than 256 channels"
    )


def test_many_layers_are_refused() -> None:
    middle = [conv(f"m{i}", f"m{i + 1}", "middle") for i in range(64)]
    middle[0].input[0] = "a"
    constants = weights(middle=random_weight(6, 6, 1, 1))
    assert reason([first(), *middle, *tail("m64")], constants) == "it has more than 64 layers"


def test_far_sight_is_refused() -> None:
    middle = [conv(f"m{i}", f"m{i + 1}", "middle", pads=[7] * 4) for i in range(37)]
    middle[0].input[0] = "a"
    constants = weights(middle=random_weight(6, 6, 15, 15))
    found = reason([first(), *middle, *tail("m37")], constants)
    assert found == "it sees 260 pixels far, more than 256"


def test_weights_that_are_not_finite_are_refused() -> None:
    broken = random_weight(6, 1, 3, 3)
    broken[2, 0, 1, 1] = np.nan
    found = reason([first(), *tail("a")], weights(first=broken))
    assert found == "convolution a has weights that are not finite"


def test_slope_along_the_width_is_refused() -> None:
    nodes = [first(), activation("PRelu", "slope"), *tail()]
    found = reason(nodes, weights(slope=random_weight(6)))
    assert found == "prelu has no constant slope per channel"


def test_slope_that_is_not_finite_is_refused() -> None:
    nodes = [first(), activation("PRelu", "slope"), *tail()]
    found = reason(nodes, weights(slope=np.full((6, 1, 1), np.inf, np.float32)))
    assert found == "prelu has slopes that are not finite"


def test_one_sided_clip_is_refused() -> None:
    nodes = [first(), activation("Clip", "low"), *tail()]
    found = reason(nodes, weights(low=np.float32(0)))
    assert found == "clip has no constant, finite limits"


def test_empty_clip_is_refused() -> None:
    nodes = [first(), activation("Clip", "low", "high"), *tail()]
    found = reason(nodes, weights(low=np.float32(6), high=np.float32(0)))
    assert found == "clip clips to 6..0"


def test_other_activation_is_refused() -> None:
    nodes = [first(), activation("Sigmoid"), *tail()]
    assert reason(nodes, weights()) == "Sigmoid sigmoid is not a plain convolution"


def test_graph_that_passes_the_picture_through_is_refused() -> None:
    assert reason([shuffle("lr")], {}) == "depth-to-space comes from no node"


def enlarged(learnt: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """``learnt`` reads the picture ``u`` that is enlarged first."""
    return [
        helper.make_node("Pad", ["lr", "amounts"], ["padded"], "pad", mode="edge"),
        conv("padded", "phases", "bicubic"),
        helper.make_node("DepthToSpace", ["phases"], ["u"], "up", blocksize=2, mode="CRD"),
        *learnt,
    ]


def on_enlarged(**others: NDArray[Any]) -> Weights:
    return {
        "first": random_weight(6, 1, 3, 3),
        "tail": random_weight(1, 6, 1, 1),
        **base_weights(),
        **others,
    }


LEARNT = [conv("u", "a", "first", pads=[1, 1, 1, 1]), conv("a", "b", "tail")]


@pytest.mark.parametrize("inputs", [["u", "b"], ["b", "u"]])
def test_chain_on_the_enlarged_picture_is_recognised(inputs: list[str]) -> None:
    add = helper.make_node("Add", inputs, ["sr"], "sum")
    chain = read_chain(float_graph(enlarged([*LEARNT, add]), on_enlarged()), 2)
    assert (chain.upsamples_first, chain.has_base) == (True, True)
    assert [layer.name for layer in chain.layers] == ["a", "b"]


def test_enlarged_picture_need_not_be_added() -> None:
    nodes = enlarged([LEARNT[0], conv("a", "sr", "tail")])
    chain = read_chain(float_graph(nodes, on_enlarged()), 2)
    assert (chain.upsamples_first, chain.has_base) == (True, False)


def test_what_else_is_enlarged_first_is_refused() -> None:
    add = helper.make_node("Add", ["u", "b"], ["sr"], "sum")
    nodes = enlarged([*LEARNT, add])
    other = on_enlarged(**base_weights(1e-6))
    assert reason(nodes, other) == ("up enlarges the picture by something else than MATLAB bicubic")
    assert reason(nodes, on_enlarged(), 3) == "depth-to-space by 2, not 3"
    twice = enlarged([*LEARNT, helper.make_node("Add", ["b", "b"], ["sr"], "sum")])
    assert reason(twice, on_enlarged()) == "sum adds something else than the enlarged picture"
    wide = enlarged([LEARNT[0], conv("a", "sr", "wide")])
    assert "has 2 outputs; one channel behind an enlargement has 1" in reason(
        wide, on_enlarged(wide=random_weight(2, 6, 1, 1))
    )
