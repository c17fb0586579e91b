from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from graph_support import float_graph, random_weight
from network_support import tiny_network
from onnx import helper

from calibration.activations import collect_channel_ranges
from edge_sr.models.fsrcnn import Fsrcnn
from edge_sr.models.quantized import QuantizedFsrcnn, equalize_channels, observed_ranges
from export.equalize import equalized, joints
from export.heads import with_float_io
from export.onnx_export import export_onnx
from export.rewrite import rewrite_deconvolution
from export.session import GraphRunner

LUMA = (np.random.default_rng(3).random((40, 36)) * 255).astype(np.float32)


def uneven_network() -> Fsrcnn:
    """Channels of very different ranges, undone by the layer after them."""
    network = tiny_network()
    with torch.no_grad():
        factors = torch.logspace(-1.5, 0, network.options["d"])
        network.extract[0].weight.mul_(factors[:, None, None, None])
        network.extract[0].bias.mul_(factors)
        network.shrink[0].weight.div_(factors[None, :, None, None])
    return network


def twin_of(network: Fsrcnn) -> onnx.ModelProto:
    return with_float_io(rewrite_deconvolution(export_onnx(network))[0])


def spread(ranges: np.ndarray) -> float:
    return float(ranges.max() / ranges.min())


def test_channels_get_like_ranges_and_the_picture_stays() -> None:
    twin = twin_of(uneven_network())
    tensors = [joint.activation for joint in joints(twin)]
    assert tensors[0] == "extract.0.prelu"
    assert tensors[-1] == "expand.0.prelu"
    before = collect_channel_ranges(twin, tensors, [LUMA])
    result = equalized(twin, before)
    after = collect_channel_ranges(result, tensors, [LUMA])
    first = tensors[0]
    assert spread(before[first]) > 20
    assert spread(after[first]) == pytest.approx(spread(before[first]) ** 0.25, rel=0.02)
    assert after[first].max() == pytest.approx(before[first].max(), rel=1e-3)
    expected = GraphRunner(twin).picture(LUMA)
    np.testing.assert_allclose(GraphRunner(result).picture(LUMA), expected, atol=0.01)
    np.testing.assert_array_equal(GraphRunner(twin).picture(LUMA), expected)  # left alone


def test_networks_and_graphs_are_equalised_alike() -> None:
    network, lr = uneven_network(), torch.from_numpy(LUMA / 255)[None, None]
    twin = twin_of(network)
    tensors = [joint.activation for joint in joints(twin)]
    expected = equalized(twin, collect_channel_ranges(twin, tensors, [LUMA]))
    equalize_channels(network, lr)
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in expected.graph.initializer}
    name = joints(expected)[0].before.input[1]
    ours = network.extract[0].weight.detach().numpy()
    np.testing.assert_allclose(weights[name] * 255, ours, rtol=0.02)


def test_int8_loses_less_after_it() -> None:
    network, lr = uneven_network(), torch.from_numpy(LUMA / 255).round(decimals=2)[None, None]
    with torch.no_grad():
        picture = network(lr)
        losses = []
        for _ in range(2):
            quantized = QuantizedFsrcnn(network, observed_ranges(network, lr))
            losses.append(float((quantized(lr) - picture).square().mean()))
            equalize_channels(network, lr)
    assert losses[1] < 0.7 * losses[0]


def chain(activation: list[onnx.NodeProto], *more: onnx.NodeProto) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["lr", "w0"], ["a"], pads=[1, 1, 1, 1]),
        *activation,
        helper.make_node("Conv", ["b", "w1"], ["c"], pads=[1, 1, 1, 1]),
        *more,
    ]
    weights = {"w0": random_weight(3, 1, 3, 3), "w1": random_weight(1, 3, 3, 3, seed=1)}
    weights |= {"slope": np.full((3, 1, 1), 0.3, np.float32), "six": np.float32(6)}
    return float_graph(nodes, weights)


def end() -> onnx.NodeProto:
    return helper.make_node("Identity", ["c"], ["sr"])


@pytest.mark.parametrize(
    ("activation", "count"),
    [
        (helper.make_node("Relu", ["a"], ["b"]), 1),
        (helper.make_node("LeakyRelu", ["a"], ["b"], alpha=0.1), 1),
        (helper.make_node("PRelu", ["a", "slope"], ["b"]), 1),
        (helper.make_node("Sigmoid", ["a"], ["b"]), 0),
        (helper.make_node("Clip", ["a", "", "six"], ["b"]), 0),
    ],
)
def test_only_activations_that_commute_with_factors_are_joints(
    activation: onnx.NodeProto, count: int
) -> None:
    assert len(joints(chain([activation], end()))) == count


def test_an_activation_that_something_else_reads_is_left_alone() -> None:
    graph = chain(
        [helper.make_node("Relu", ["a"], ["b"])],
        helper.make_node("ReduceMax", ["b"], ["m"], keepdims=1),
        helper.make_node("Add", ["c", "m"], ["sr"]),
    )
    assert joints(graph) == []


def test_dead_channels_keep_their_weights() -> None:
    graph = chain([helper.make_node("Relu", ["a"], ["b"])], end())
    result = equalized(graph, {"b": np.array([0.0, 1.0, 1e-9])})
    before, after = (
        {t.name: onnx.numpy_helper.to_array(t) for t in m.graph.initializer}
        for m in (graph, result)
    )
    ratio = after["w0"] / before["w0"]
    np.testing.assert_allclose(ratio[:, 0, 0, 0], [1, 1, 64], rtol=1e-6)
    np.testing.assert_allclose((after["w1"] / before["w1"])[0, :, 0, 0], [1, 1, 1 / 64], rtol=1e-6)
