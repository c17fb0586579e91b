"""Cross-layer equalisation of an ONNX graph, so that one INT8 scale serves all channels.

A PReLU, leaky ReLU or ReLU commutes with positive factors, so a channel between two convolutions
may be scaled up in the first one's weights and down in the second's without changing the picture
(Nagel et al., *Data-Free Quantization Through Weight Equalization and Bias Correction*, ICCV 2019,
section 4.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edge_sr.models.quantized import equalizing_factors
from export.graph import attributes, consumers, copy_of, producers, residual_convolutions

HOMOGENEOUS = frozenset({"Relu", "LeakyRelu", "PRelu"})
Channels = NDArray[np.float64]


@dataclass(frozen=True)
class Joint:
    """An activation that can be scaled: who makes it, and the only convolution that reads it."""

    activation: str
    before: onnx.NodeProto
    after: onnx.NodeProto


def joints(model: onnx.ModelProto) -> list[Joint]:
    """Activations between two convolutions of the learnt path that nothing else reads."""
    graph = model.graph
    makers, readers = producers(graph), consumers(graph)
    outputs = {value.name for value in graph.output}
    stored = {tensor.name for tensor in graph.initializer}
    found = []
    for after in residual_convolutions(graph):
        activation = makers.get(after.input[0])
        if activation is None or activation.op_type not in HOMOGENEOUS:
            continue
        before = makers.get(activation.input[0])
        if before is None or not _are_plain(before, after):
            continue
        between = (before.output[0], activation.output[0])
        constants = [*before.input[1:], after.input[1]]
        if (
            all(len(readers[name]) == 1 and name not in outputs for name in between)
            and all(name in stored and len(readers[name]) == 1 for name in constants)
            and set(activation.input[1:]) <= stored
        ):
            found.append(Joint(activation.output[0], before, after))
    return found


def equalized(
    model: onnx.ModelProto, ranges: Mapping[str, Channels], exponent: float = 0.75
) -> onnx.ModelProto:
    """The same function of the picture with scaled channels at each of :func:`joints`.

    ``ranges`` holds the range of each channel of each joint's activation, ``exponent`` how far they
    are made alike (:func:`edge_sr.models.quantized.equalizing_factors`).
    """
    result = copy_of(model)
    tensors = {tensor.name: tensor for tensor in result.graph.initializer}

    def scale(name: str, factors: Channels, *, axis: int) -> None:
        values = numpy_helper.to_array(tensors[name])
        shape = [-1 if i == axis else 1 for i in range(values.ndim)]
        scaled = (values * factors.reshape(shape)).astype(values.dtype)
        tensors[name].CopyFrom(numpy_helper.from_array(scaled, name))

    for joint in joints(result):
        factors = equalizing_factors(ranges[joint.activation], exponent)
        for name in joint.before.input[1:]:
            scale(name, factors, axis=0)
        scale(joint.after.input[1], 1 / factors, axis=1)
    return result


def _are_plain(before: onnx.NodeProto, after: onnx.NodeProto) -> bool:
    """Convolutions whose channels are not grouped."""
    return all(
        node.op_type == "Conv" and attributes(node).get("group", 1) == 1 for node in (before, after)
    )
