from __future__ import annotations

import onnx
import pytest
import torch
from network_support import tiny_network

from edge_sr.models import build_model
from export.graph import encode
from export.onnx_export import export_onnx
from export.session import GraphRunner, largest_difference, random_planes


@pytest.fixture(scope="module")
def exported() -> onnx.ModelProto:
    return export_onnx(tiny_network())


def test_exported_graph_computes_what_pytorch_computes(exported: onnx.ModelProto) -> None:
    network, run = tiny_network(), GraphRunner(exported)
    for batch in random_planes():
        with torch.inference_mode():
            expected = network(torch.from_numpy(batch)).numpy()
        assert largest_difference(expected, run(batch)) < 1e-5


def test_graph_is_of_the_promised_versions_with_free_sizes(exported: onnx.ModelProto) -> None:
    assert exported.ir_version == 10
    assert [(o.domain, o.version) for o in exported.opset_import] == [("", 20)]
    ends = [exported.graph.input[0], exported.graph.output[0]]
    assert [end.name for end in ends] == ["lr", "sr"]
    dims = exported.graph.input[0].type.tensor_type.shape.dim
    assert [bool(d.dim_param) for d in dims] == [True, False, True, True]


def test_nothing_of_the_exporter_stays_in_the_graph(exported: onnx.ModelProto) -> None:
    graph = exported.graph
    items = [exported, graph, *graph.node, *graph.initializer, *graph.input, *graph.output]
    assert not any(item.metadata_props for item in items)
    assert not any(item.doc_string for item in items)
    assert not graph.value_info
    assert not any(tensor.external_data for tensor in graph.initializer)


def test_nodes_are_named_after_the_layers(exported: onnx.ModelProto) -> None:
    names = [node.name for node in exported.graph.node if "Conv" in node.op_type]
    assert names == ["extract.0", "shrink.0", "map.0.0", "expand.0", "tail", "base"]


def test_same_weights_give_the_same_bytes(exported: onnx.ModelProto) -> None:
    assert encode(export_onnx(tiny_network())) == encode(exported)


def test_export_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    export_onnx(tiny_network("fsrcnn", 3))
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_equal_layers_keep_names_of_their_own() -> None:
    network = build_model("fsrcnn", 2, d=4, s=2, m=2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.5)
    names = [node.name for node in export_onnx(network).graph.node]
    assert len(set(names)) == len(names)
