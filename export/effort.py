"""How much measuring an INT8 build does, so that large networks are built in minutes too.

A build runs the network hundreds of times: to calibrate, to compare observers, to find what must
stay float. What it may spend follows from the multiplications of the network, never from a clock,
so the same network and pictures give the same bundle on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any

import onnx
from numpy.typing import NDArray

from export.graph import copy_of, samples_of
from export.qdq import quantizable_tensors
from export.scores import HeldOut

# Multiplications of one pass over the calibration frames, of one comparison on the held-out
# pictures, and of all comparisons that look for what INT8 costs each layer.
CALIBRATION_MACS, COMPARISON_MACS, SEARCH_MACS = 2.5e11, 1e11, 2e12
# Bytes of the observed tensors of one frame, which lie in memory together.
CALIBRATION_BYTES = 1e9
# Below this side a picture is mostly border; with fewer comparisons a search finds nothing.
LEAST_SIDE, LEAST_COMPARISONS = 48, 24
_SIDE_STEP, _PROBE_SIDE = 8, 64


@dataclass(frozen=True)
class Effort:
    """``macs`` are those of one LR pixel; sides are in LR pixels, None is the whole picture."""

    macs: float
    frame_side: int | None
    pair_side: int | None
    comparisons: int

    @property
    def is_full(self) -> bool:
        """Whether nothing is cut."""
        return self.frame_side is None and self.pair_side is None

    @property
    def text(self) -> str:
        """For people."""
        cuts = [
            f"{what} cut to {side}x{side}"
            for what, side in (("frames", self.frame_side), ("held-out pictures", self.pair_side))
            if side is not None
        ]
        return (
            f"{self.macs / 1e6:.3g}M multiplications an LR pixel: "
            f"{', '.join(cuts) or 'whole pictures'}, {self.comparisons} comparisons to find layers"
        )

    def frames(self, frames: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """The calibration frames, or their centres."""
        return [centre_of(frame, self.frame_side) for frame in frames]

    def pairs(self, pairs: Sequence[HeldOut]) -> tuple[HeldOut, ...]:
        """The held-out pictures, or their centres."""
        side = self.pair_side
        return tuple(pairs) if side is None else tuple(pair.centre(side) for pair in pairs)


def effort_for(
    twin: onnx.ModelProto, frames: Sequence[NDArray[Any]], pairs: Sequence[HeldOut]
) -> Effort:
    """What to spend on a float grey-level graph with these frames and held-out pictures."""
    sizes = _tensor_sizes(twin)
    macs = macs_per_pixel(twin)
    observed = sum(sizes.get(name, 0.0) for name in quantizable_tensors(twin))
    frame_sizes = [prod(frame.shape[:2]) for frame in frames]
    pair_sizes = [prod(pair.lr.shape[:2]) for pair in pairs]
    frame_side = _side(
        frame_sizes,
        CALIBRATION_MACS / (macs * len(frame_sizes)),
        CALIBRATION_BYTES / (4 * max(observed, 1)),
    )
    pair_side = _side(pair_sizes, COMPARISON_MACS / (macs * len(pair_sizes)))
    pixels = sum(pair_sizes) if pair_side is None else len(pair_sizes) * pair_side**2
    comparisons = max(LEAST_COMPARISONS, int(SEARCH_MACS / (macs * pixels)))
    return Effort(macs, frame_side, pair_side, comparisons)


def centre_of(picture: NDArray[Any], side: int | None) -> NDArray[Any]:
    """The centre of a picture, at most ``side`` pixels wide and high; all of it for None."""
    if side is None:
        return picture
    top, left = (max(0, length - side) // 2 for length in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def macs_per_pixel(model: onnx.ModelProto) -> float:
    """Multiplications of all convolutions for one LR pixel, as SPEC counts them: weights alone."""
    sizes = _tensor_sizes(model)
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    total = 0.0
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose") or node.input[1] not in weights:
            continue
        # Each output of a convolution sums over a kernel; each input of a transposed one spreads.
        tensor = node.output[0] if node.op_type == "Conv" else node.input[0]
        total += sizes.get(tensor, 1.0) * prod(weights[node.input[1]][1:])
    return max(total, 1.0)


def _tensor_sizes(model: onnx.ModelProto) -> dict[str, float]:
    """Samples of each tensor for one LR pixel, where shape inference finds them."""
    fixed = copy_of(model)
    shape = (1, samples_of(model.graph), _PROBE_SIDE, _PROBE_SIDE)
    for dim, size in zip(fixed.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = size
    for dim in fixed.graph.output[0].type.tensor_type.shape.dim:
        dim.Clear()
    del fixed.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    sizes = {}
    for value in (*inferred.value_info, *inferred.output, *inferred.input):
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if dims and all(dims):
            sizes[value.name] = prod(dims) / _PROBE_SIDE**2
    return sizes


def _side(sizes: Sequence[int], mean: float, largest: float = inf) -> int | None:
    """Side of the squares that keep pictures within so many pixels; None if no cut is needed."""
    if sum(sizes) <= mean * len(sizes) and max(sizes) <= largest:
        return None
    return max(LEAST_SIDE, int(min(mean, largest) ** 0.5) // _SIDE_STEP * _SIDE_STEP)
