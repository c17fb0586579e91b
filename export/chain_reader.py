"""Reads a graph as a plain chain, or says why it is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_sr.data.resample import bicubic_phases
from export.graph import attributes, constants, consumers, enlarging_head, producers
from export.plain_chain import (
    LARGEST_CHANNELS,
    LARGEST_KERNEL,
    LARGEST_LAYERS,
    ChainActivation,
    ChainLayer,
    NotAPlainChainError,
    Pads,
    PlainChain,
    check_chain,
    to_odd_square,
)

BASE_PADDING = 2


def read_chain(twin: onnx.ModelProto, scale: int) -> PlainChain:
    """The chain of a float grey-level graph.

    Raises NotAPlainChainError if anything but convolutions, PReLU, ReLU, Clip, the bicubic base
    and depth-to-space is in it. The base may also stand at the front, as in VDSR.
    """
    return _Reader(twin.graph, scale).read()


class _Reader:
    """Walks from the output back to the picture."""

    def __init__(self, graph: onnx.GraphProto, scale: int) -> None:
        self.graph, self.scale = graph, scale
        self.arrays, self.writers = constants(graph), producers(graph)
        self.readers = consumers(graph)
        self.picture = graph.input[0].name

    def read(self) -> PlainChain:
        head = enlarging_head(self.graph)
        if head:
            self._check_head(head)
            self.picture = head[-1].output[0]
            tensor, has_base = self._without_picture(self.graph.output[0].name)
        else:
            shuffle = self._writer(self.graph.output[0].name, "the output")
            self._check_shuffle(shuffle)
            tensor, has_base = self._without_base(shuffle.input[0])
        layers: list[ChainLayer] = []
        while tensor != self.picture:
            layer, tensor = self._layer_before(tensor)
            layers.append(layer)
            if len(layers) > LARGEST_LAYERS:
                raise NotAPlainChainError(f"it has more than {LARGEST_LAYERS} layers")
        chain = PlainChain(self.scale, has_base, tuple(reversed(layers)), bool(head))
        check_chain(chain)
        return chain

    def _writer(self, tensor: str, what: str) -> onnx.NodeProto:
        if tensor not in self.writers:
            raise NotAPlainChainError(f"{what} comes from no node")
        return self.writers[tensor]

    def _check_shuffle(self, node: onnx.NodeProto) -> None:
        if node.op_type != "DepthToSpace":
            raise NotAPlainChainError(
                f"it ends in {node.op_type} {node.name}, not in a sub-pixel convolution"
            )
        options = attributes(node)
        # With one output channel both orders of DepthToSpace are the same.
        if int(options["blocksize"]) != self.scale:
            raise NotAPlainChainError(f"depth-to-space by {options['blocksize']}, not {self.scale}")

    def _check_head(self, head: list[onnx.NodeProto]) -> None:
        shuffle = head[-1]
        self._check_shuffle(shuffle)
        if not self._is_bicubic_base(shuffle.input[0]):
            raise NotAPlainChainError(
                f"{shuffle.name} enlarges the picture by something else than MATLAB bicubic"
            )

    def _without_picture(self, tensor: str) -> tuple[str, bool]:
        """The learnt branch of an addition of the enlarged picture, or ``tensor`` without one."""
        node = self._writer(tensor, "the output")
        if node.op_type != "Add":
            return tensor, False
        if list(node.input).count(self.picture) != 1:
            raise NotAPlainChainError(f"{node.name} adds something else than the enlarged picture")
        return next(str(name) for name in node.input if name != self.picture), True

    def _without_base(self, tensor: str) -> tuple[str, bool]:
        """The learnt branch of an addition of the bicubic base, or ``tensor`` without one."""
        node = self._writer(tensor, "depth-to-space")
        if node.op_type != "Add":
            return tensor, False
        for base, learnt in (node.input, reversed(node.input)):
            if self._is_bicubic_base(base):
                return str(learnt), True
        raise NotAPlainChainError(f"{node.name} adds something else than MATLAB bicubic")

    def _is_bicubic_base(self, tensor: str) -> bool:
        conv = self.writers.get(tensor)
        if conv is None or conv.op_type != "Conv" or conv.input[1] not in self.arrays:
            return False
        pad = self.writers.get(conv.input[0])
        if pad is None or pad.op_type != "Pad" or pad.input[0] != self.picture:
            return False
        mode, amounts = attributes(pad).get("mode"), self.arrays.get(pad.input[1])
        expected = bicubic_phases(self.scale).astype(np.float32)[:, None]
        weight = self.arrays[conv.input[1]]
        return (
            mode == b"edge"
            and amounts is not None
            and amounts.tolist() == [0, 0, BASE_PADDING, BASE_PADDING] * 2
            and weight.shape == expected.shape
            and np.array_equal(weight, expected)
            and not self._has_bias(conv)
            and not any(attributes(conv).get("pads", []))
        )

    def _has_bias(self, conv: onnx.NodeProto) -> bool:
        return len(conv.input) > 2 and bool(np.any(self.arrays.get(conv.input[2], 1)))

    def _layer_before(self, tensor: str) -> tuple[ChainLayer, str]:
        node = self._writer(tensor, "a layer")
        self._check_single_reader(tensor)
        activation = None
        if node.op_type in ("PRelu", "Relu", "Clip"):
            activation, tensor = node, node.input[0]
            node = self._writer(tensor, node.name)
            self._check_single_reader(tensor)
        if node.op_type != "Conv":
            raise NotAPlainChainError(f"{node.op_type} {node.name} is not a plain convolution")
        return self._layer_of(node, activation)

    def _layer_of(
        self, conv: onnx.NodeProto, activation: onnx.NodeProto | None
    ) -> tuple[ChainLayer, str]:
        source, pads = self._source_of(conv)
        weight = self._weight_of(conv, pads)
        bias, channels = self._bias_of(conv, len(weight)), len(weight)
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise NotAPlainChainError(f"convolution {conv.name} has weights that are not finite")
        layer = ChainLayer(
            conv.name,
            conv.output[0],
            pads,
            to_odd_square(weight, pads),
            bias,
            self._activation_of(activation, channels),
        )
        return layer, source

    def _check_single_reader(self, tensor: str) -> None:
        if len(self.readers[tensor]) > 1:
            raise NotAPlainChainError(f"{tensor} is read more than once")

    def _source_of(self, conv: onnx.NodeProto) -> tuple[str, Pads]:
        """What a convolution reads, and its padding with that of a Pad node before it."""
        options, tensor = attributes(conv), conv.input[0]
        pads = np.array(options.get("pads", [0] * 4))
        if options.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise NotAPlainChainError(f"convolution {conv.name} pads by auto_pad")
        pad = self.writers.get(tensor)
        if pad is not None and pad.op_type == "Pad":
            self._check_single_reader(tensor)
            pads, tensor = pads + self._zero_padding(pad), pad.input[0]
        top, left, bottom, right = (int(amount) for amount in pads)
        return tensor, (top, left, bottom, right)

    def _zero_padding(self, pad: onnx.NodeProto) -> NDArray[np.int64]:
        amounts = self.arrays.get(pad.input[1])
        value = self.arrays.get(pad.input[2], 1) if len(pad.input) > 2 and pad.input[2] else 0
        is_constant = attributes(pad).get("mode", b"constant") == b"constant"
        if not is_constant or np.any(value) or amounts is None or amounts.size != 2 * 4:
            raise NotAPlainChainError(f"{pad.name} pads with something else than zeros")
        if np.any(amounts[[0, 1, 4, 5]]):
            raise NotAPlainChainError(f"{pad.name} adds channels")
        return np.asarray(amounts[[2, 3, 6, 7]], np.int64)

    def _weight_of(self, node: onnx.NodeProto, pads: Pads) -> NDArray[np.float32]:
        weight = self.arrays.get(node.input[1])
        if weight is None or weight.ndim != 4:
            raise NotAPlainChainError(f"convolution {node.name} has no constant 2-D kernel")
        options, (height, width) = attributes(node), weight.shape[2:]
        top, left, bottom, right = pads
        is_same = (top + bottom, left + right) == (height - 1, width - 1) and min(pads) >= 0
        is_dense = options.get("group", 1) == 1
        is_plain = all(set(options.get(key, [1])) == {1} for key in ("strides", "dilations"))
        if not (is_same and is_dense and is_plain):
            raise NotAPlainChainError(
                f"convolution {node.name} of {height}x{width} is not dense, of stride 1 and "
                "padded to the same size"
            )
        if 2 * max(pads) + 1 > LARGEST_KERNEL:
            raise NotAPlainChainError(
                f"convolution {node.name} of {height}x{width} is larger than "
                f"{LARGEST_KERNEL}x{LARGEST_KERNEL}"
            )
        if max(weight.shape[:2]) > LARGEST_CHANNELS:
            raise NotAPlainChainError(
                f"convolution {node.name} has more than {LARGEST_CHANNELS} channels"
            )
        return weight.astype(np.float32)

    def _bias_of(self, node: onnx.NodeProto, channels: int) -> NDArray[np.float32]:
        if len(node.input) < 3 or not node.input[2]:
            return np.zeros(channels, np.float32)
        bias = self.arrays.get(node.input[2])
        if bias is None:
            raise NotAPlainChainError(f"convolution {node.name} has no constant bias")
        return bias.astype(np.float32)

    def _activation_of(self, node: onnx.NodeProto | None, channels: int) -> ChainActivation:
        if node is None:
            return ChainActivation()
        if node.op_type == "Relu":
            return ChainActivation(slope=np.zeros(channels, np.float32))
        if node.op_type == "Clip":
            low, high = self._limit(node, 1), self._limit(node, 2)
            if not low <= high:
                raise NotAPlainChainError(f"{node.name} clips to {low:g}..{high:g}")
            return ChainActivation(clip=(low, high))
        slope = self.arrays.get(node.input[1])
        # A slope of [C] alone would go along the picture's width.
        is_per_channel = slope is not None and slope.shape[-3:] == (channels, 1, 1)
        if slope is None or not (slope.size == 1 or (is_per_channel and slope.size == channels)):
            raise NotAPlainChainError(f"{node.name} has no constant slope per channel")
        if not np.isfinite(slope).all():
            raise NotAPlainChainError(f"{node.name} has slopes that are not finite")
        values = np.broadcast_to(slope.reshape(-1), channels).astype(np.float32)
        return ChainActivation(slope=np.ascontiguousarray(values))

    def _limit(self, node: onnx.NodeProto, index: int) -> float:
        value: Any = self.arrays.get(node.input[index]) if len(node.input) > index else None
        if value is None or not np.isfinite(value).all():
            raise NotAPlainChainError(f"{node.name} has no constant, finite limits")
        return float(value)
