"""Small ONNX graphs written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def float_graph(
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, NDArray[Any]],
    *,
    channels: tuple[int, int] = (1, 1),
) -> onnx.ModelProto:
    """A float32 graph from lr to sr, dynamic but for the channels."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", count, f"{name}h", f"{name}w"])
        for name, count in zip(("lr", "sr"), channels, strict=True)
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "test", ends[:1], ends[1:], tensors)
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


def random_weight(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Normally distributed values."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def op_types(model: onnx.ModelProto) -> list[str]:
    """Operators in order."""
    return [node.op_type for node in model.graph.node]
