"""INT8 as QuantizeLinear/DequantizeLinear pairs on the inputs of the learnt convolutions.

Activations are symmetric per tensor; weights are symmetric per output channel and stored in INT8
behind a DequantizeLinear alone; zero points are 0, biases float32. Nothing stands between a
convolution and its activation and nothing on the tail's output, so an engine can fuse convolution,
activation and the next quantisation. Additions and concatenations keep float32, so that a residual
stream is not rounded from block to block; so do the fixed base, attention, clip and round.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from export.graph import (
    Names,
    add_constant,
    attributes,
    copy_of,
    enlarging_head,
    finish,
    path_flags,
    producers,
    residual_convolutions,
)

LEVELS = 127
PEAK = 255.0
_MIDDLE = 128.0


def quantizable_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The learnt convolutions that INT8 may take, in order.

    One that no learnt convolution comes before reads the picture. Where it reads the very grey
    levels, 256 of them are kept; where a mean was subtracted from them, INT8 would round the
    picture itself to half as many, and the convolution stays float.
    """
    has_before = {
        node.output[0]: before
        for node, (before, _) in zip(graph.node, path_flags(graph), strict=True)
    }
    first = _picture_readers(graph)
    return [
        node
        for node in residual_convolutions(graph)
        if has_before[node.output[0]] or node.output[0] in first
    ]


def quantizable_convs(model: onnx.ModelProto) -> list[str]:
    """Names of the convolutions that INT8 may take, in order."""
    return [node.name for node in quantizable_nodes(model.graph)]


def quantizable_tensors(model: onnx.ModelProto) -> list[str]:
    """Activations that need a range: the input of each such convolution but the first.

    The first reads the picture, whose 256 levels are kept exactly at a fixed scale; where it is
    enlarged first, the enlargement is rounded to those levels.
    """
    graph = model.graph
    first = _picture_readers(graph)
    names = [n.input[0] for n in quantizable_nodes(graph) if n.output[0] not in first]
    return list(dict.fromkeys(names))


def quantizable_weights(model: onnx.ModelProto) -> list[str]:
    """Weights of such convolutions, by name, in order."""
    return list(dict.fromkeys(n.input[1] for n in quantizable_nodes(model.graph)))


def quantize(
    model: onnx.ModelProto, ranges: dict[str, float], *, keep_float: frozenset[str] = frozenset()
) -> onnx.ModelProto:
    """Insert the pairs into a graph of grey levels (bytes or their float twin).

    ``ranges`` holds the symmetric range of each of :func:`quantizable_tensors`; tensors named in
    ``keep_float`` (activations or weights) stay float32. Raises ValueError if a range is missing
    or not positive, or if the picture reaches a convolution in a way that is not understood.
    """
    model = copy_of(model)
    graph = model.graph
    first, nodes = _picture_readers(graph), quantizable_nodes(graph)
    for node in nodes:
        name = node.input[0]
        is_calibrated = node.output[0] in first or name in keep_float or ranges.get(name, 0.0) > 0
        if not is_calibrated:
            raise ValueError(f"tensor {name} has no positive range; calibrate it or keep it float")
        if node.op_type != "Conv":
            raise ValueError(f"{node.op_type} {node.name} cannot be quantised; rewrite it first")
    inserter = _Inserter(graph, keep_float)
    for node in nodes:
        if node.output[0] in first:
            inserter.shift_picture(node, first[node.output[0]])
        else:
            inserter.quantize_input(node, ranges)
        inserter.quantize_weight(node)
    return finish(model)


def _picture_readers(graph: onnx.GraphProto) -> dict[str, float]:
    """Learnt convolutions that read the picture or its fixed enlargement, by output.

    The value is the factor on the grey levels.
    """
    writers, tensors = producers(graph), {tensor.name: tensor for tensor in graph.initializer}
    head = enlarging_head(graph)
    picture = head[-1].output[0] if head else graph.input[0].name
    found = {}
    for node in residual_convolutions(graph):
        factor, tensor = 1.0, node.input[0]
        while tensor in writers and tensor != picture:
            writer = writers[tensor]
            if writer.op_type == "Cast":
                tensor = writer.input[0]
                continue
            value = _scalar(tensors, writer.input[1]) if writer.op_type in ("Mul", "Div") else None
            if value is None:
                break
            factor = factor * value if writer.op_type == "Mul" else factor / value
            tensor = writer.input[0]
        if tensor == picture:
            found[node.output[0]] = factor
    return found


def _scalar(tensors: dict[str, onnx.TensorProto], name: str) -> float | None:
    if name not in tensors or np.prod(tensors[name].dims, dtype=int) != 1:
        return None
    return float(numpy_helper.to_array(tensors[name]).reshape(-1)[0])


def _grey_levels(graph: onnx.GraphProto, tensor: str) -> str:
    """The float32 tensor of grey levels behind the picture's optional scaling."""
    writers = producers(graph)
    while tensor in writers and writers[tensor].op_type in ("Mul", "Div"):
        tensor = writers[tensor].input[0]
    return tensor


class _Inserter:
    """Adds pairs to a graph in place, but for tensors that stay float."""

    def __init__(self, graph: onnx.GraphProto, keep_float: frozenset[str]) -> None:
        self.graph, self.keep_float = graph, keep_float
        self._names = Names(graph)
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._pairs: dict[str, str] = {}

    def shift_picture(self, node: onnx.NodeProto, factor: float) -> None:
        """Feed (x - 128) / 255 at scale 1/255, which keeps all 256 levels, padded with -128/255.

        The weights take in ``factor`` and the bias what the shift removes, so the float function is
        unchanged. -128/255 in the shifted picture is the zero that the network pads with.
        """
        grey = _grey_levels(self.graph, node.input[0])
        if grey in self.keep_float:
            return
        weight = self._array(node.input[1]).astype(np.float64) * (factor * PEAK)
        bias = self._array(node.input[2]) if len(node.input) > 2 and node.input[2] else 0.0
        bias = bias + (_MIDDLE / PEAK) * weight.sum(axis=(1, 2, 3))
        stem = node.input[1]
        node.input[1] = self._constant(f"{stem}.unit", weight.astype(np.float32))
        del node.input[2:]
        node.input.append(self._constant(f"{stem}.shifted_bias", bias.astype(np.float32)))
        tensor = self._binary("Sub", grey, _MIDDLE, "shifted")
        tensor = self._binary("Mul", tensor, 1 / PEAK, "unit")
        tensor = self._pad(node, tensor)
        node.input[0] = self._pair(tensor, np.float32(1 / PEAK))

    def quantize_input(self, node: onnx.NodeProto, ranges: dict[str, float]) -> None:
        """A pair on the activation, one for all convolutions that read it."""
        name = node.input[0]
        if name in self.keep_float:
            return
        if name not in self._pairs:
            self._pairs[name] = self._pair(name, np.float32(ranges[name] / LEVELS))
        node.input[0] = self._pairs[name]

    def quantize_weight(self, node: onnx.NodeProto) -> None:
        """Store the weight in INT8, one scale per output channel, behind a DequantizeLinear."""
        name = node.input[1]
        if name.removesuffix(".unit") in self.keep_float or name in self.keep_float:
            return
        weight = self._array(name)
        largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
        scales = (np.maximum(largest, np.finfo(np.float32).tiny * 1e4) / LEVELS).astype(np.float32)
        levels = np.rint(weight / scales.reshape(-1, 1, 1, 1)).clip(-LEVELS, LEVELS).astype(np.int8)
        stored = self._constant(f"{name}.int8", levels)
        node.input[1] = self._dequantized(stored, name, self._scale_of(name, scales), axis=0)

    def _pad(self, node: onnx.NodeProto, tensor: str) -> str:
        """Move the convolution's padding into a Pad with the value of black; returns its output."""
        options = attributes(node)
        if options.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise ValueError(f"convolution {node.name} pads by auto_pad; explicit pads are needed")
        pads = list(options.get("pads", [0, 0, 0, 0]))
        if not any(pads):
            return tensor
        kept = [a for a in node.attribute if a.name != "pads"]
        del node.attribute[:]
        node.attribute.extend(kept)
        top, left, bottom, right = pads
        amounts = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        black = np.asarray(-_MIDDLE / PEAK, np.float32)
        names = self._constant(f"{tensor}.pads", amounts), self._constant(f"{tensor}.black", black)
        padded = self._names.fresh(f"{tensor}.padded")
        self.graph.node.append(helper.make_node("Pad", [tensor, *names], [padded], padded))
        return padded

    def _binary(self, kind: str, tensor: str, value: float, suffix: str) -> str:
        constant = self._constant(f"{tensor}.{suffix}_by", np.asarray(value, np.float32))
        result = self._names.fresh(f"{tensor}.{suffix}")
        self.graph.node.append(helper.make_node(kind, [tensor, constant], [result], result))
        return result

    def _pair(self, tensor: str, scale: np.float32) -> str:
        """Quantise and dequantise ``tensor`` with one scale; returns the dequantised tensor."""
        scale_and_zero = self._scale_of(tensor, scale)
        quantized = self._names.fresh(f"{tensor}.int8")
        self.graph.node.append(
            helper.make_node("QuantizeLinear", [tensor, *scale_and_zero], [quantized], quantized)
        )
        return self._dequantized(quantized, tensor, scale_and_zero)

    def _scale_of(self, tensor: str, scale: Any) -> tuple[str, str]:
        """Names of new constants: the scale, and a zero point 0 of its shape."""
        scales = np.asarray(scale, np.float32)
        return (
            self._constant(f"{tensor}.scale", scales),
            self._constant(f"{tensor}.zero_point", np.zeros(scales.shape, np.int8)),
        )

    def _dequantized(
        self,
        quantized: str,
        tensor: str,
        scale_and_zero: tuple[str, str],
        *,
        axis: int | None = None,
    ) -> str:
        result = self._names.fresh(f"{tensor}.dequantized")
        options: dict[str, Any] = {} if axis is None else {"axis": axis}
        self.graph.node.append(
            helper.make_node(
                "DequantizeLinear", [quantized, *scale_and_zero], [result], result, **options
            )
        )
        return result

    def _array(self, name: str) -> NDArray[Any]:
        values: NDArray[Any] = numpy_helper.to_array(self._tensors[name])
        return values

    def _constant(self, wish: str, values: NDArray[Any]) -> str:
        name = add_constant(self.graph, wish, values, self._names)
        self._tensors[name] = self.graph.initializer[-1]
        return name


def int8_share(model: onnx.ModelProto) -> dict[str, bool]:
    """Learnt convolutions by name, and whether both activation and weight are quantised."""
    writers = producers(model.graph)
    quantized = {}
    for node in residual_convolutions(model.graph):
        sources = [writers.get(name) for name in node.input[:2]]
        quantized[node.name] = all(
            source is not None and source.op_type == "DequantizeLinear" for source in sources
        )
    return quantized
