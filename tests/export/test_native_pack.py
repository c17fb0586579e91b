from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch
from graph_support import random_weight
from native_reference import read_native, run_float, run_int8, to_bytes
from network_support import small_vdsr, tiny_network, tiny_rgb_graph

from calibration.activations import collect_histograms
from calibration.frames import load_calibration_frames
from calibration.observers import OBSERVERS
from edge_sr.models import build_model
from edge_sr.models.fsrcnn import Fsrcnn, start_from_bicubic
from edge_sr.models.network import Network
from export.graph import copy_of
from export.heads import with_float_io, with_uint8_io
from export.native_pack import NativeModel, pack_native, pack_or_reason
from export.onnx_export import export_onnx
from export.plain_chain import NotAPlainChainError, to_odd_square
from export.qdq import quantizable_convs, quantizable_tensors, quantize
from export.rewrite import rewrite_deconvolution
from export.session import GraphRunner, largest_difference
from export.verify import NATIVE_SHARE

FORMS = [(name, scale) for name in ("fsrcnn_residual", "fsrcnn") for scale in (2, 3, 4)]
# Crops of the built-in calibration frames, with one odd side.
CROPS = [frame[40:104, 30:83] for _, frame in load_calibration_frames(None, scale=2).calibrate[:6]]


def twin_of(network: Network) -> onnx.ModelProto:
    return with_float_io(rewrite_deconvolution(export_onnx(network.eval()))[0])


def random_network(name: str, scale: int) -> Fsrcnn:
    """The shipped size, with weights large enough that every layer moves the picture by levels."""
    torch.manual_seed(scale)
    network = build_model(name, scale)
    start_from_bicubic(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return network


def int8_of(twin: onnx.ModelProto, *, keep_float: frozenset[str] = frozenset()) -> onnx.ModelProto:
    histograms = collect_histograms(twin, quantizable_tensors(twin), CROPS)
    ranges = {name: OBSERVERS["percentile"](found) for name, found in histograms.items()}
    return quantize(twin, ranges, keep_float=keep_float)


def share_beyond_a_level(native: NativeModel, int8_twin: onnx.ModelProto) -> float:
    file, run = read_native(native.data), GraphRunner(with_uint8_io(int8_twin), threads=1)
    levels = [np.abs(to_bytes(run_int8(file, lr)) - run.picture(lr).astype(int)) for lr in CROPS]
    return float(np.mean([difference > 1 for difference in levels]))


@pytest.fixture(scope="module")
def residual() -> onnx.ModelProto:
    return twin_of(tiny_network())


@pytest.mark.parametrize(("name", "scale"), FORMS)
def test_packed_chain_computes_what_both_graphs_do(name: str, scale: int) -> None:
    twin = twin_of(random_network(name, scale))
    int8_twin = int8_of(twin)
    native = pack_native(twin, scale, int8_twin=int8_twin)
    assert (native.layers, native.int8_layers) == (8, 8)
    file, run = read_native(native.data), GraphRunner(twin, threads=1)
    assert file.has_base == (name == "fsrcnn_residual")
    for lr in CROPS:
        assert largest_difference(run_float(file, lr), run.picture(lr.astype(np.float32))) < 1e-3
    assert share_beyond_a_level(native, int8_twin) <= 1e-3


@pytest.mark.parametrize(("scale", "is_residual"), [(2, True), (3, False), (4, True)])
def test_chain_on_the_enlarged_picture_computes_what_both_graphs_do(
    scale: int, is_residual: bool
) -> None:
    twin = twin_of(small_vdsr(scale, is_residual=is_residual))
    int8_twin = int8_of(twin)
    native = pack_native(twin, scale, int8_twin=int8_twin)
    assert (native.layers, native.int8_layers) == (5, 5)
    file, run = read_native(native.data), GraphRunner(twin, threads=1)
    assert (file.upsamples_first, file.has_base) == (True, is_residual)
    for lr in CROPS:
        assert largest_difference(run_float(file, lr), run.picture(lr.astype(np.float32))) < 1e-3
    assert share_beyond_a_level(native, int8_twin) <= 1e-3


def test_enlarged_picture_kept_float_is_read_in_grey_levels() -> None:
    twin = twin_of(small_vdsr(2))
    first = next(node for node in twin.graph.node if node.name == quantizable_convs(twin)[0])
    int8_twin = int8_of(twin, keep_float=frozenset(first.input[:2]))
    native = pack_native(twin, 2, int8_twin=int8_twin)
    layers = read_native(native.data).layers
    assert [layer["int8"] for layer in layers] == [False, *[True] * 4]
    assert share_beyond_a_level(native, int8_twin) <= 1e-3


WIDE = [(name, scale) for name in ("vdsr", "fsrcnn_l") for scale in (2, 3, 4)]


@pytest.fixture(scope="module", params=WIDE)
def wide(request: pytest.FixtureRequest) -> tuple[int, onnx.ModelProto, onnx.ModelProto]:
    """Scale, float and INT8 graph."""
    name, scale = request.param
    twin = twin_of(small_vdsr(scale) if name == "vdsr" else random_network(name, scale))
    return scale, twin, int8_of(twin)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_engine_runs_the_wide_networks_as_onnx_runtime_does(
    wide: tuple[int, onnx.ModelProto, onnx.ModelProto], precision: str
) -> None:
    core = pytest.importorskip("runtime._core")
    scale, twin, int8_twin = wide
    engine = core.Upscaler(pack_native(twin, scale, int8_twin=int8_twin).data, precision, 2, 0)
    run = GraphRunner(with_uint8_io(int8_twin if precision == "int8" else twin), threads=1)
    differences = []
    for lr in CROPS:
        sr = np.empty((lr.shape[0] * scale, lr.shape[1] * scale), np.uint8)
        engine.upscale(np.ascontiguousarray(lr), sr)
        differences.append(np.abs(sr.astype(int) - run.picture(lr)).reshape(-1))
    levels = np.concatenate(differences)
    if precision == "fp32":
        assert levels.max() <= 1
        assert (levels > 0).mean() <= 1e-4
    elif precision == "int8":
        assert (levels > 1).mean() <= NATIVE_SHARE["int8"]
    else:
        assert levels.mean() < 1


def test_layers_kept_float_stay_float_between_int8_ones(residual: onnx.ModelProto) -> None:
    convs = {node.name: node for node in residual.graph.node if node.op_type == "Conv"}
    kept = [convs[name] for name in quantizable_convs(residual)[1::2]]
    keep_float = frozenset(tensor for node in kept for tensor in node.input[:2])
    int8_twin = int8_of(residual, keep_float=keep_float)
    native = pack_native(residual, 2, int8_twin=int8_twin)
    layers = read_native(native.data).layers
    assert [layer["int8"] for layer in layers] == [True, False, True, False, True]
    assert native.int8_layers == 3
    assert share_beyond_a_level(native, int8_twin) <= 1e-3


def test_first_layer_kept_float_reads_grey_levels(residual: onnx.ModelProto) -> None:
    int8_twin = int8_of(residual, keep_float=frozenset({"lr", "extract.0.weight"}))
    native = pack_native(residual, 2, int8_twin=int8_twin)
    assert [layer["int8"] for layer in read_native(native.data).layers] == [False, *[True] * 4]
    assert share_beyond_a_level(native, int8_twin) <= 1e-3


def test_slope_per_channel_and_other_kernels_are_packed() -> None:
    network = tiny_network("fsrcnn", noise=0.05)
    network.extract[0] = torch.nn.Conv2d(1, 8, 7, padding=3)
    twin = twin_of(network)
    native = pack_native(twin, 2)
    file = read_native(native.data)
    assert [layer["kernel"] for layer in file.layers] == [7, 1, 3, 1, 5]
    assert len(set(file.layers[0]["slope"].tolist())) == 8
    run = GraphRunner(twin, threads=1)
    lr = CROPS[0]
    assert largest_difference(run_float(file, lr), run.picture(lr.astype(np.float32))) < 1e-3


def test_file_is_read_by_the_safetensors_library(residual: onnx.ModelProto) -> None:
    data = pack_native(residual, 2, int8_twin=int8_of(residual)).data
    tensors = safetensors.numpy.load(data)
    assert {name.split(".", 1)[1] for name in tensors} == {
        "weight",
        "bias",
        "slope",
        "int8.weight",
        "int8.weight_scale",
        "int8.bias",
        "int8.input_scale",
    }
    assert tensors["4.int8.weight"].dtype == np.int8
    assert "4.slope" not in tensors


def test_description_follows_the_graph(residual: onnx.ModelProto) -> None:
    data = pack_native(residual, 2, int8_twin=int8_of(residual)).data
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = header["__metadata__"]
    assert (metadata["format"], metadata["version"]) == ("edge-sr-native", "1")
    network = json.loads(metadata["network"])
    assert (network["scale"], network["base"]) == (2, "bicubic")
    assert network["layers"][0] == {
        "name": "extract.0",
        "kernel": 5,
        "in": 1,
        "out": 8,
        "activation": "prelu",
        "int8": True,
        "border": -128,
    }
    assert [layer["border"] for layer in network["layers"]] == [-128, 0, 0, 0, 0]


def test_only_a_chain_on_the_enlarged_picture_needs_the_newer_format() -> None:
    data = pack_native(twin_of(small_vdsr(3)), 3).data
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    assert metadata["version"] == "2"
    network = json.loads(metadata["network"])
    assert (network["scale"], network["head"], network["base"]) == (3, "bicubic", "bicubic")
    assert network["layers"][-1]["out"] == 1


def test_every_tensor_starts_where_its_type_may(residual: onnx.ModelProto) -> None:
    data = pack_native(residual, 2, int8_twin=int8_of(residual)).data
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert length % 8 == 0
    floats = [v for v in header.values() if v.get("dtype") == "F32"]
    assert all(entry["data_offsets"][0] % 4 == 0 for entry in floats)


def test_same_graph_gives_the_same_bytes(residual: onnx.ModelProto) -> None:
    int8_twin = int8_of(residual)
    first, second = (pack_native(residual, 2, int8_twin=int8_twin).data for _ in range(2))
    assert first == second


def renamed(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """A copy in which every node has this name."""
    copied = copy_of(model)
    for node in copied.graph.node:
        node.name = name
    return copied


def test_names_that_occur_twice_do_not_mix_up_int8_weights(residual: onnx.ModelProto) -> None:
    int8_twin = int8_of(residual)
    expected = pack_native(residual, 2, int8_twin=int8_twin)
    found = pack_native(renamed(residual, "n"), 2, int8_twin=renamed(int8_twin, "n"))
    for layer, other in zip(
        read_native(expected.data).layers, read_native(found.data).layers, strict=True
    ):
        np.testing.assert_array_equal(other["int8.weight"], layer["int8.weight"])


def test_long_or_foreign_names_are_shortened_to_ascii(residual: onnx.ModelProto) -> None:
    native = pack_native(renamed(residual, "é" * 200), 2)
    names = {layer["name"] for layer in read_native(native.data).layers}
    assert names == {"?" * 100}


@pytest.mark.parametrize(
    ("size", "pads", "side"),
    [((4, 4), (1, 1, 2, 2), 5), ((3, 1), (1, 0, 1, 0), 3), ((2, 3), (1, 2, 0, 0), 5)],
)
def test_any_kernel_that_keeps_the_size_becomes_an_odd_square(
    size: tuple[int, int], pads: tuple[int, int, int, int], side: int
) -> None:
    weight = random_weight(3, 2, *size)
    square = to_odd_square(weight, pads)
    assert square.shape == (3, 2, side, side)
    picture = torch.from_numpy(random_weight(1, 2, 9, 8, seed=1))
    top, left, bottom, right = pads
    padded = torch.nn.functional.pad(picture, (left, right, top, bottom))
    expected = torch.nn.functional.conv2d(padded, torch.from_numpy(weight))
    found = torch.nn.functional.conv2d(picture, torch.from_numpy(square), padding=side // 2)
    torch.testing.assert_close(found, expected)


def test_first_layer_with_other_int8_inputs_is_refused(residual: onnx.ModelProto) -> None:
    int8_twin = int8_of(residual)
    for tensor in int8_twin.graph.initializer:
        if tensor.name.startswith("lr.") and tensor.name.endswith("padded.scale"):
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.float32(0.5), tensor.name))
    with pytest.raises(NotAPlainChainError, match=r"extract\.0 is not the picture's 256 levels"):
        pack_native(residual, 2, int8_twin=int8_twin)


def test_reason_comes_back_instead_of_an_error(residual: onnx.ModelProto) -> None:
    packed, refused = pack_or_reason(residual, 2), pack_or_reason(residual, 3)
    assert packed.text == "packed, 5 layers, 0 in int8"
    assert refused.text == "not packed: depth-to-space by 2, not 3"


def test_weights_that_were_fine_tuned_for_int8_share_the_slopes_or_are_refused() -> None:
    network = random_network("fsrcnn_residual", 2)
    twin = twin_of(network)
    with torch.no_grad():
        network.shrink[0].get_parameter("weight").add_(0.01)
    fine_tuned = int8_of(twin_of(network))
    native = pack_native(twin, 2, int8_twin=fine_tuned)
    assert share_beyond_a_level(native, fine_tuned) < 1e-3
    tensors = safetensors.numpy.load(native.data)
    difference = tensors["1.int8.weight"] * tensors["1.int8.weight_scale"][:, None, None, None]
    assert np.abs(difference - tensors["1.weight"]).max() > 0.005
    with torch.no_grad():
        network.shrink[1].get_parameter("weight").add_(0.01)
    refused = pack_or_reason(twin, 2, int8_twin=int8_of(twin_of(network)))
    assert "shrink.0 has another slope in INT8" in refused.text


def test_rgb_network_is_refused_by_name() -> None:
    model = with_float_io(tiny_rgb_graph())
    assert pack_or_reason(model, 2).text == (
        "not packed: it takes RGB, and the native engine runs luminance alone"
    )
