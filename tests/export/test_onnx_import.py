from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from graph_support import float_graph, random_weight
from network_support import tiny_network, tiny_rgb_graph, tiny_rgb_network
from onnx import TensorProto, helper, numpy_helper

from export.graph import copy_of
from export.heads import with_float_io, with_uint8_io
from export.onnx_export import export_onnx
from export.onnx_import import import_onnx
from export.onnx_probe import receptive_field_radius
from export.session import GraphRunner, random_planes


def nearest(scale: int = 2, *, taps: int = 1) -> onnx.ModelProto:
    """Repeats each pixel scale times after a mean over taps x taps."""
    weight = np.full((scale * scale, 1, taps, taps), 1 / taps**2, np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["phases"], pads=[taps // 2] * 4),
        helper.make_node("DepthToSpace", ["phases"], ["up"], blocksize=scale, mode="CRD"),
    ]
    model = float_graph(nodes, {"w": weight})
    model.graph.input[0].name, model.graph.output[0].name = "image", "up"
    return model


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "mine.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_own_export_is_understood_without_its_sidecar(scale: int, tmp_path: Path) -> None:
    network = tiny_network("fsrcnn_residual", scale)
    imported = import_onnx(saved(export_onnx(network), tmp_path))
    assert imported.spec.name == "mine"
    assert imported.spec.scale == scale
    assert imported.spec.receptive_field_radius == network.spec.receptive_field_radius
    assert imported.spec.size_multiple == 1


def test_ends_get_the_names_of_a_bundle_and_free_sizes(tmp_path: Path) -> None:
    model = nearest()
    for value in (model.graph.input[0], model.graph.output[0]):
        for dim, size in zip(value.type.tensor_type.shape.dim, (1, 1, 64, 64), strict=True):
            dim.dim_value = size * (2 if value.name == "up" and size > 1 else 1)
    graph = import_onnx(saved(model, tmp_path)).model.graph
    assert (graph.input[0].name, graph.output[0].name) == ("lr", "sr")
    dims = graph.input[0].type.tensor_type.shape.dim
    assert [bool(d.dim_param) for d in dims] == [True, False, True, True]
    assert all(node.name for node in graph.node)


def test_older_opset_and_constant_nodes_are_brought_up_to_date(tmp_path: Path) -> None:
    model = nearest()
    tensor = model.graph.initializer[0]
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    model.graph.node.insert(0, constant)
    del model.graph.initializer[:]
    model.opset_import[0].version = 13
    model.ir_version = 7
    imported = import_onnx(saved(model, tmp_path)).model
    assert (imported.ir_version, imported.opset_import[0].version) == (10, 20)
    assert [node.op_type for node in imported.graph.node] == ["Conv", "DepthToSpace"]


def test_inner_tensor_that_is_called_like_an_end_is_renamed(tmp_path: Path) -> None:
    model = nearest()
    model.graph.node[0].output[0] = model.graph.node[1].input[0] = "sr"
    imported = import_onnx(saved(model, tmp_path))
    assert imported.spec.scale == 2


def with_channels(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(random_weight(4, 4, 1, 1), "w"))
    return model


def with_colour_in_and_grey_out(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(random_weight(4, 3, 1, 1), "w"))
    return model


def with_bytes(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    cast = helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT)
    model.graph.node.insert(0, cast)
    model.graph.node[1].input[0] = "floats"
    return model


def with_second_output(model: onnx.ModelProto) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("phases", TensorProto.FLOAT, ["n", 4, "h", "w"])
    model.graph.output.append(value)
    return model


def with_grey_levels(model: onnx.ModelProto) -> onnx.ModelProto:
    scaled = numpy_helper.to_array(model.graph.initializer[0]) * 255
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(scaled, "w"))
    return model


def with_one_fixed_size(model: onnx.ModelProto) -> onnx.ModelProto:
    shape = numpy_helper.from_array(np.array([1, 4, 16, 20], np.int64), "shape")
    model.graph.initializer.append(shape)
    model.graph.node.insert(1, helper.make_node("Reshape", ["phases", "shape"], ["fixed"]))
    model.graph.node[2].input[0] = "fixed"
    return model


def with_mean_of_the_picture(model: onnx.ModelProto) -> onnx.ModelProto:
    none = numpy_helper.from_array(np.array(0, np.float32), "none")
    model.graph.initializer.append(none)
    model.graph.node[0].input[0] = "shifted"
    for node in (
        helper.make_node("Add", ["image", "ignored"], ["shifted"]),
        helper.make_node("Mul", ["mean", "none"], ["ignored"]),
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
    ):
        model.graph.node.insert(0, node)
    return model


def with_mixed_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    axis = numpy_helper.from_array(np.array([0], np.int64), "axis")
    model.graph.initializer.append(axis)
    model.graph.node[0].input[0] = "blend"
    model.graph.node.insert(0, helper.make_node("Sub", ["doubled", "mean"], ["blend"]))
    model.graph.node.insert(0, helper.make_node("ReduceMean", ["image", "axis"], ["mean"]))
    model.graph.node.insert(0, helper.make_node("Add", ["image", "image"], ["doubled"]))
    return model


def same_size(model: onnx.ModelProto) -> onnx.ModelProto:
    del model.graph.node[1:]
    model.graph.node[0].output[0] = "up"
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(random_weight(1, 1, 1, 1), "w"))
    return model


def with_foreign_operator(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.node[0].op_type, model.graph.node[0].domain = "FusedConv", "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_channels, "input image has 4 channels"),
        (with_colour_in_and_grey_out, "does not return as many channels as it takes"),
        (with_bytes, "turns uint8 into float"),
        (with_second_output, "1 inputs and 2 outputs"),
        (with_grey_levels, "does not return its input upscaled"),
        (with_one_fixed_size, "does not run on a 17x23 picture"),
        (with_mixed_batch, "mixes the pictures of a batch"),
        (same_size, r"\[1, 1, s\*16, s\*20\] with s in \(2, 3, 4\) is needed"),
        (with_foreign_operator, "operators of com.microsoft"),
    ],
)
def test_network_of_another_kind_is_refused_with_the_reason(
    change: Callable[[onnx.ModelProto], onnx.ModelProto], reason: str, tmp_path: Path
) -> None:
    path = saved(change(nearest()), tmp_path)
    with pytest.raises(ValueError, match=reason):
        import_onnx(path)


def test_file_that_is_no_onnx_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "noise.onnx"
    path.write_bytes(b"\x0a\xff\xff not a graph")
    with pytest.raises(ValueError, match="is not a valid ONNX file") as caught:
        import_onnx(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", None])
def test_missing_or_empty_file_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((OSError, ValueError), match=r"does not exist|has 0 bytes"):
        import_onnx(path)


@pytest.mark.parametrize("taps", [1, 3, 33, 67])
def test_radius_is_that_of_the_kernel(taps: int, tmp_path: Path) -> None:
    model = nearest(taps=taps)
    model.graph.input[0].name = model.graph.node[0].input[0] = "lr"
    assert receptive_field_radius(GraphRunner(model), 2) == taps // 2


def test_weight_too_small_to_show_still_counts_for_the_radius() -> None:
    model = nearest(taps=5)
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[:, :, 0] = 1e-30
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
    assert receptive_field_radius(GraphRunner(model), 2) == 2


@pytest.mark.parametrize("has_fixed_channels", [True, False])
def test_rgb_network_is_understood(has_fixed_channels: bool, tmp_path: Path) -> None:
    network = tiny_rgb_network()
    model = copy_of(tiny_rgb_graph())
    if not has_fixed_channels:
        for end in (model.graph.input[0], model.graph.output[0]):
            end.type.tensor_type.shape.dim[1].dim_param = "channels"
    imported = import_onnx(saved(model, tmp_path))
    spec = imported.spec
    assert (spec.scale, spec.channels, spec.tileable) == (2, "rgb", True)
    assert spec.receptive_field_radius == network.spec.receptive_field_radius
    ends = [*imported.model.graph.input, *imported.model.graph.output]
    assert [end.type.tensor_type.shape.dim[1].dim_value for end in ends] == [3, 3]


@pytest.mark.parametrize("channels", [1, 3])
def test_graph_of_bytes_is_read_without_its_rounding(channels: int, tmp_path: Path) -> None:
    network = tiny_network() if channels == 1 else tiny_rgb_network()
    exported = export_onnx(network) if channels == 1 else tiny_rgb_graph()
    imported = import_onnx(saved(with_uint8_io(with_float_io(exported)), tmp_path))
    assert imported.spec.receptive_field_radius == network.spec.receptive_field_radius
    assert imported.spec.channels == network.spec.channels
    batch = random_planes(channels)[0]
    expected = GraphRunner(exported)(batch)
    np.testing.assert_allclose(GraphRunner(imported.model)(batch), expected, atol=1e-5)


def test_bytes_that_are_read_without_a_cast_are_refused(tmp_path: Path) -> None:
    model = with_uint8_io(with_float_io(nearest_of_ends()))
    model.graph.node[0].attribute[0].i = TensorProto.FLOAT16
    model.graph.node.insert(
        1, helper.make_node("Cast", ["halves"], ["lr.grey"], "single", to=TensorProto.FLOAT)
    )
    model.graph.node[0].output[0] = "halves"
    with pytest.raises(ValueError, match="Cast levels reads bytes; a Cast to float must come"):
        import_onnx(saved(model, tmp_path))


def nearest_of_ends() -> onnx.ModelProto:
    """The same with the names of a bundle's ends."""
    model = nearest()
    model.graph.input[0].name = model.graph.node[0].input[0] = "lr"
    model.graph.output[0].name = model.graph.node[1].output[0] = "sr"
    return model


def test_network_that_looks_at_the_whole_picture_is_not_tileable(tmp_path: Path) -> None:
    spec = import_onnx(saved(with_mean_of_the_picture(nearest()), tmp_path)).spec
    assert (spec.tileable, spec.receptive_field_radius) == (False, 0)
    spec = import_onnx(saved(tiny_rgb_graph("rcan_s"), tmp_path)).spec
    assert (spec.channels, spec.tileable) == ("rgb", False)


def test_mean_over_channels_leaves_a_network_tileable(tmp_path: Path) -> None:
    model = nearest(taps=3)
    axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
    model.graph.initializer.append(axes)
    nodes = [
        helper.make_node("ReduceMean", ["phases", "axes"], ["mean"]),
        helper.make_node("Sub", ["phases", "mean"], ["centred"]),
        helper.make_node("Add", ["centred", "mean"], ["same"]),
    ]
    model.graph.node[1].input[0] = "same"
    for node in reversed(nodes):
        model.graph.node.insert(1, node)
    spec = import_onnx(saved(model, tmp_path)).spec
    assert (spec.tileable, spec.receptive_field_radius) == (True, 1)
