from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from graph_support import float_graph, random_weight
from network_support import tiny_rgb_graph
from onnx import helper
from pictures_support import synthetic_luma, synthetic_rgb

from calibration.activations import collect_histograms
from calibration.observers import minmax
from edge_sr.models import build_model
from edge_sr.models.fsrcnn import start_from_bicubic
from export.graph import constants, producers
from export.heads import with_float_io, with_uint8_io
from export.onnx_export import export_onnx
from export.qdq import (
    int8_share,
    quantizable_convs,
    quantizable_tensors,
    quantizable_weights,
    quantize,
)
from export.rewrite import rewrite_deconvolution
from export.session import GraphRunner

FRAME = synthetic_luma(30, 34)


def twin_of(name: str, scale: int) -> onnx.ModelProto:
    """A small network's float32 graph of grey levels, with a tail that is not tiny."""
    torch.manual_seed(0)
    model = build_model(name, scale, d=8, s=4, m=1)
    start_from_bicubic(model)
    with torch.no_grad():
        model.tail.get_parameter("weight")[1:].mul_(10)
    return with_float_io(rewrite_deconvolution(export_onnx(model))[0])


@pytest.fixture(scope="module", params=[("fsrcnn_residual", 2), ("fsrcnn_residual", 3)])
def twin(request: pytest.FixtureRequest) -> onnx.ModelProto:
    return twin_of(*request.param)


def ranges_of(model: onnx.ModelProto) -> dict[str, float]:
    histograms = collect_histograms(model, quantizable_tensors(model), [FRAME])
    return {name: minmax(histogram) for name, histogram in histograms.items()}


def test_every_learnt_convolution_is_quantised_and_the_base_is_not(twin: onnx.ModelProto) -> None:
    quantized = quantize(twin, ranges_of(twin))
    share = int8_share(quantized)
    assert list(share) == quantizable_convs(twin)
    assert len(share) == 5
    assert all(share.values())
    base = [n for n in quantized.graph.node if n.op_type == "Conv" and n.name not in share]
    assert [n.input[0] in producers(quantized.graph) for n in base] == [True]
    assert producers(quantized.graph)[base[0].input[0]].op_type == "Pad"


def test_pairs_are_symmetric_int8_with_per_channel_weights(twin: onnx.ModelProto) -> None:
    quantized = quantize(twin, ranges_of(twin))
    arrays = constants(quantized.graph)
    nodes = [n for n in quantized.graph.node if n.op_type.endswith("tizeLinear")]
    for node in nodes:
        zero_point = arrays[node.input[2]]
        assert zero_point.dtype == np.int8
        assert not zero_point.any()
        is_weight = node.input[0] in arrays
        scales = arrays[node.input[1]]
        assert scales.shape == ((len(arrays[node.input[0]]),) if is_weight else ())
    weights = [n for n in nodes if n.input[0] in arrays]
    assert len(weights) == len(quantizable_weights(twin))
    assert {n.op_type for n in weights} == {"DequantizeLinear"}
    floats = constants(twin.graph)
    for node in weights:
        levels, scales = arrays[node.input[0]], arrays[node.input[1]]
        assert levels.dtype == np.int8
        assert np.abs(levels).max() == 127
        stem = node.input[0].removesuffix(".int8")
        if stem in floats:
            error = np.abs(levels * scales[:, None, None, None] - floats[stem])
            assert np.all(error <= scales[:, None, None, None] * 0.501)
    assert not any(name in arrays for name in quantizable_weights(twin))


def test_nothing_stands_between_convolution_and_prelu_nor_after_the_tail(
    twin: onnx.ModelProto,
) -> None:
    quantized = quantize(twin, ranges_of(twin))
    writers = producers(quantized.graph)
    for node in quantized.graph.node:
        if node.op_type == "PRelu":
            assert writers[node.input[0]].op_type == "Conv"
        if node.op_type in ("Add", "DepthToSpace"):
            assert {writers[name].op_type for name in node.input} <= {"Conv", "Add"}


def test_picture_is_shifted_padded_with_black_and_keeps_all_256_levels(
    twin: onnx.ModelProto,
) -> None:
    everything = frozenset(quantizable_tensors(twin)) | frozenset(quantizable_weights(twin))
    shifted = quantize(twin, {}, keep_float=everything)
    arrays, writers = constants(shifted.graph), producers(shifted.graph)
    (pair,) = (n for n in shifted.graph.node if n.op_type == "QuantizeLinear")
    assert float(arrays[pair.input[1]]) == pytest.approx(1 / 255)
    pad = writers[pair.input[0]]
    assert pad.op_type == "Pad"
    assert float(arrays[pad.input[2]]) == pytest.approx(-128 / 255)
    levels = np.arange(256, dtype=np.float32).reshape(16, 16)
    difference = GraphRunner(shifted).picture(levels) - GraphRunner(twin).picture(levels)
    assert np.abs(difference).max() < 1e-3


def fake_quantised(  # noqa: C901
    plane: np.ndarray, twin: onnx.ModelProto, ranges: dict[str, float]
) -> np.ndarray:
    """Numpy reference of the INT8 chain on the residual form, in float64."""
    arrays = constants(twin.graph)

    def codes(values: np.ndarray, scale: np.ndarray | float) -> np.ndarray:
        return np.clip(np.rint(values / scale), -128, 127) * scale

    def convolve(x: np.ndarray, weight: np.ndarray, pads: list[int], fill: float) -> np.ndarray:
        top, left, bottom, right = pads
        x = np.pad(x, ((0, 0), (top, bottom), (left, right)), constant_values=fill)
        windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], (1, 2))
        return np.einsum("cyxij,ocij->oyx", windows, weight)

    tensors = {"lr": plane[None].astype(np.float64)}
    for node in twin.graph.node:
        source = tensors.get(node.input[0])
        if node.op_type == "Conv" and node.name in quantizable_convs(twin):
            options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            pads = options.get("pads", [0, 0, 0, 0])
            weight = arrays[node.input[1]].astype(np.float64)
            bias = arrays[node.input[2]].astype(np.float64) if len(node.input) > 2 else np.zeros(1)
            fill = 0.0
            if node.input[0] == "lr":
                weight, fill = weight * 255, -128 / 255
                bias = bias + 128 / 255 * weight.sum((1, 2, 3))
                source = (source - 128) / 255
            else:
                source = codes(source, ranges[node.input[0]] / 127)
            scales = np.abs(weight).max((1, 2, 3), keepdims=True) / 127
            tensors[node.output[0]] = (
                convolve(source, codes(weight, scales), pads, fill) + bias[:, None, None]
            )
        elif node.op_type == "Conv":
            tensors[node.output[0]] = convolve(source, arrays[node.input[1]], [0, 0, 0, 0], 0.0)
        elif node.op_type == "PRelu":
            slope = arrays[node.input[1]].reshape(-1, 1, 1)
            tensors[node.output[0]] = np.where(source > 0, source, slope * source)
        elif node.op_type == "Pad":
            tensors[node.output[0]] = np.pad(source, ((0, 0), (2, 2), (2, 2)), mode="edge")
        elif node.op_type == "Add":
            tensors[node.output[0]] = source + tensors[node.input[1]]
        elif node.op_type == "DepthToSpace":
            scale = int(np.sqrt(len(source)))
            height, width = source.shape[1:]
            blocks = source.reshape(scale, scale, height, width).transpose(2, 0, 3, 1)
            tensors[node.output[0]] = blocks.reshape(height * scale, width * scale)
    return tensors["sr"]


def test_graph_computes_the_numpy_reference(twin: onnx.ModelProto) -> None:
    ranges = ranges_of(twin)
    got = GraphRunner(quantize(twin, ranges)).picture(FRAME.astype(np.float32))
    expected = fake_quantised(FRAME, twin, ranges)
    # Rounding of an activation that lies on the edge of two codes may differ in float32.
    assert np.abs(got - expected).mean() < 0.02
    assert np.percentile(np.abs(got - expected), 99) < 0.2


@pytest.mark.parametrize("name", ["fsrcnn", "fsrcnn_residual"])
def test_bytes_and_twin_agree_and_int8_is_near_fp32(name: str) -> None:
    model = twin_of(name, 2)
    quantized = quantize(model, ranges_of(model))
    levels = GraphRunner(with_uint8_io(quantized)).picture(FRAME)
    floats = GraphRunner(quantized).picture(FRAME.astype(np.float32))
    np.testing.assert_array_equal(levels, np.clip(np.rint(floats), 0, 255).astype(np.uint8))
    reference = GraphRunner(model).picture(FRAME.astype(np.float32))
    assert 0 < np.abs(floats - reference).mean() < 4


def test_quantising_the_byte_graph_is_the_same(twin: onnx.ModelProto) -> None:
    ranges = ranges_of(twin)
    first = GraphRunner(quantize(with_uint8_io(twin), ranges)).picture(FRAME)
    second = GraphRunner(with_uint8_io(quantize(twin, ranges))).picture(FRAME)
    np.testing.assert_array_equal(first, second)


def test_kept_tensors_stay_float(twin: onnx.ModelProto) -> None:
    kept = frozenset({"extract.0.prelu", "tail.subpixel.weight"})
    share = int8_share(quantize(twin, ranges_of(twin), keep_float=kept))
    assert [name for name, quantized in share.items() if not quantized] == ["shrink.0", "tail"]


def test_missing_or_zero_range_is_refused(twin: onnx.ModelProto) -> None:
    ranges = ranges_of(twin)
    for bad in ({}, {**ranges, "shrink.0.prelu": 0.0}):
        with pytest.raises(ValueError, match="has no positive range"):
            quantize(twin, bad)


def test_transposed_convolution_must_be_rewritten_first() -> None:
    model = with_float_io(export_onnx(build_model("fsrcnn", 2, d=8, s=4, m=1)))
    ranges = dict.fromkeys(quantizable_tensors(model), 1.0)
    with pytest.raises(ValueError, match="rewrite it first"):
        quantize(model, ranges)


RGB_FRAME = synthetic_rgb(30, 34)


def rgb_twin(name: str) -> onnx.ModelProto:
    return with_float_io(tiny_rgb_graph(name))


def rgb_ranges(model: onnx.ModelProto) -> dict[str, float]:
    histograms = collect_histograms(model, quantizable_tensors(model), [RGB_FRAME])
    return {name: minmax(histogram) for name, histogram in histograms.items()}


def test_convolution_behind_the_mean_shift_stays_float() -> None:
    model = rgb_twin("edsr_s")
    share = int8_share(quantize(model, rgb_ranges(model)))
    assert [name for name, is_int8 in share.items() if not is_int8] == ["head"]
    assert "head" not in quantizable_convs(model)


def test_attention_stays_float_and_the_spatial_path_does_not() -> None:
    model = rgb_twin("rcan_s")
    quantized = quantize(model, rgb_ranges(model))
    share = int8_share(quantized)
    assert [name for name, is_int8 in share.items() if not is_int8] == ["head"]
    pooled = [n for n in quantized.graph.node if n.op_type == "Conv" and n.name not in share]
    assert len(pooled) == 2 * 3
    writers = producers(quantized.graph)
    assert not any(
        writers[name].op_type == "DequantizeLinear"
        for node in pooled
        for name in node.input
        if name in writers
    )


def test_residual_stream_is_added_in_float() -> None:
    model = rgb_twin("edsr_s")
    quantized = quantize(model, rgb_ranges(model))
    writers = producers(quantized.graph)
    added = [
        writers[n].op_type
        for node in quantized.graph.node
        if node.op_type == "Add"
        for n in node.input
        if n in writers
    ]
    assert set(added) == {"Conv", "Add"}
    floats = GraphRunner(model).picture(RGB_FRAME.astype(np.float32))
    levels = GraphRunner(quantized).picture(RGB_FRAME.astype(np.float32))
    assert 0 < np.abs(levels - floats).mean() < 1.5


def test_concatenation_is_quantised_once_for_all_that_read_it() -> None:
    nodes = [
        helper.make_node("Conv", ["lr", "w"], ["a"], "a"),
        helper.make_node("Relu", ["a"], ["r"], "r"),
        helper.make_node("Concat", ["a", "r"], ["both"], "both", axis=1),
        helper.make_node("Conv", ["both", "v"], ["b"], "b"),
        helper.make_node("Conv", ["both", "v"], ["c"], "c"),
        helper.make_node("Add", ["b", "c"], ["sr"], "sum"),
    ]
    weights = {"w": random_weight(2, 3, 1, 1), "v": random_weight(3, 4, 1, 1)}
    model = float_graph(nodes, weights, channels=(3, 3))
    assert quantizable_tensors(model) == ["both"]
    quantized = quantize(model, {"both": 2.0})
    pairs = [n.input[0] for n in quantized.graph.node if n.op_type == "QuantizeLinear"]
    assert pairs == ["lr.shifted.unit", "both"]


def test_rgb_picture_keeps_all_256_levels_of_each_channel() -> None:
    nodes = [
        helper.make_node("Conv", ["lr", "w"], ["a"], "a", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"], "r"),
        helper.make_node("Conv", ["r", "v"], ["sr"], "b"),
    ]
    weights = {"w": random_weight(4, 3, 3, 3), "v": random_weight(3, 4, 1, 1)}
    model = float_graph(nodes, weights, channels=(3, 3))
    shifted = quantize(model, {}, keep_float=frozenset({"r", "w", "v"}))
    levels = np.random.default_rng(0).permutation(np.arange(768) // 3).reshape(16, 16, 3)
    floats = levels.astype(np.float32)
    difference = GraphRunner(shifted).picture(floats) - GraphRunner(model).picture(floats)
    assert np.abs(difference).max() < 2e-3
