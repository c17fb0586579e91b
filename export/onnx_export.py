"""From a PyTorch network to a clean ONNX graph."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import TYPE_CHECKING, Any

import onnx

from export.graph import IR_VERSION, OPSET, copy_of, finish
from export.heads import INPUT, OUTPUT

if TYPE_CHECKING:
    from edge_sr.models.network import Network

# What the first constant input of an operator is called.
_ROLES = {"PRelu": "slope", "Pad": "pads"}


def export_onnx(network: Network) -> onnx.ModelProto:
    """The network for [N, C, H, W] in [0, 1], weights inside, all axes but the channels free.

    Nodes and tensors are named after the layers; the same weights give the same bytes.
    """
    import torch

    example = torch.zeros(2, network.spec.samples, 19, 23)
    with _quiet():
        program = torch.onnx.export(
            network.eval(),
            (example,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: "batch", 2: "height", 3: "width"},),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = copy_of(program.model_proto)
    model.ir_version = IR_VERSION
    return finish(named_after_layers(finish(model)))


@contextlib.contextmanager
def _quiet() -> Any:
    """The exporter reports its progress on stdout, its missing extras as warnings."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def named_after_layers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Name nodes after the layer their weights belong to, tensors after the node that writes them.

    Other nodes get the name of what they read plus their kind, so names follow from the network
    alone and not from an exporter's counters.
    """
    model = copy_of(model)
    graph = model.graph
    parameters = {tensor.name for tensor in graph.initializer}
    kept = {value.name for value in (*graph.input, *graph.output)}
    renamed: dict[str, str] = {}
    taken: set[str] = set()
    for node in graph.node:
        node.name = _unique(_layer_name(node, parameters, renamed), taken)
        for index, name in enumerate(node.output):
            wish = node.name if index == 0 else f"{node.name}.{index}"
            renamed[name] = name if name in kept else wish
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in parameters and "." not in name and name not in renamed:
                role = _ROLES.get(node.op_type, f"constant{index}")
                renamed[name] = _unique(f"{node.name}.{role}", taken)
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    return model


def _layer_name(node: onnx.NodeProto, parameters: set[str], renamed: dict[str, str]) -> str:
    for name in node.input:
        if name in parameters and name.endswith(".weight"):
            return str(name).removesuffix(".weight")
    source = next((renamed[name] for name in node.input if name in renamed), INPUT)
    return f"{source}.{node.op_type.lower()}"


def _unique(wish: str, taken: set[str]) -> str:
    name, count = wish, 1
    while name in taken:
        count += 1
        name = f"{wish}.{count}"
    taken.add(name)
    return name
