"""Measurements and gates: that every step computes what the one before computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.errors import ParityError
from export.graph import constants, producers, residual_convolutions
from export.heads import with_uint8_io
from export.qdq import int8_share
from export.scores import HeldOut, Picture
from export.session import GraphRunner, largest_difference, random_planes

if TYPE_CHECKING:
    from edge_sr.models.network import Network

# Float32 sums in another order: a few units in the last place per layer, of values up to 1.
PARITY_TOLERANCE = 1e-4
RESPONSE_LIMIT = 50.0
# The law of tiling on vendor float engines.
TILED_LEVELS, TILED_SHARE = 1, 1e-4
# What a window adds beyond its halos, in LR pixels.
TILE_CORE = 24
# INT8 rounds again and again: a sum that lies on the border of two levels may fall to either side.
# In INT8 another order of additions may round an activation to the next level; where few levels
# carry the picture, as in the paper's form, one more is more than a grey level.
NATIVE_SHARE = {"fp32": 1e-3, "int8": 1e-2}


@dataclass(frozen=True)
class TiledCheck:
    """How tiled output differs from whole-frame output."""

    tile_size: int
    levels: int
    share: float


def check_drop(precision: str, drop_db: float, allowed: float, advice: str) -> None:
    """ParityError if a precision loses more than its budget."""
    if not drop_db <= allowed:
        raise ParityError(
            f"{precision} loses {drop_db:.3f} dB against fp32 on held-out pictures, "
            f"more than the {allowed:g} allowed; {advice}"
        )


def check_response(model: onnx.ModelProto) -> float:
    """How far a network in [0, 1] leaves the range on noise and on a one-pixel checkerboard.

    In ranges: 1 is as far beyond black or white as these are apart. ParityError above 50: such a
    network has seen photographs alone, and draws blots where it meets text or dither.
    """
    run, rng = GraphRunner(model, threads=1), np.random.default_rng(0)
    y, x = np.mgrid[0:48, 0:48]
    noise = rng.random((run.samples, 48, 48))
    pictures = [noise, noise > 0.5, (y + x) % 2, y // 4 % 2 ^ x // 4 % 2]
    answers = [
        run(np.broadcast_to(picture, noise.shape).astype(np.float32)[None]) for picture in pictures
    ]
    worst = max(max(-float(answer.min()), float(answer.max()) - 1) for answer in answers)
    if not worst <= RESPONSE_LIMIT:
        raise ParityError(
            f"on noise and checkerboards the network leaves the range of pictures by {worst:.0f} "
            f"times that range, more than the {RESPONSE_LIMIT:.0f} allowed; train it on such "
            "pictures, too (--pattern-share)"
        )
    return max(worst, 0.0)


def check_torch_parity(network: Network, model: onnx.ModelProto) -> float:
    """Largest difference of the exported graph from PyTorch in [0, 1]; ParityError above 1e-4."""
    import torch

    run, worst = GraphRunner(model, threads=1), 0.0
    for batch in random_planes(run.samples):
        with torch.inference_mode():
            expected = network(torch.from_numpy(batch)).numpy()
        worst = max(worst, largest_difference(expected, run(batch)))
    return _within(worst, PARITY_TOLERANCE, "the exported graph", "PyTorch")


def check_same(before: onnx.ModelProto, after: onnx.ModelProto, step: str) -> float:
    """Largest difference of two graphs in [0, 1]; ParityError above 1e-4."""
    first, second = GraphRunner(before, threads=1), GraphRunner(after, threads=1)
    worst = max(largest_difference(first(x), second(x)) for x in random_planes(first.samples))
    return _within(worst, PARITY_TOLERANCE, step, "the graph before")


def check_grey_levels(before: onnx.ModelProto, twin: onnx.ModelProto) -> float:
    """Largest difference, in [0, 1], of a grey-level graph from the graph it came from."""
    first, second, worst = GraphRunner(before, threads=1), GraphRunner(twin, threads=1), 0.0
    for batch in random_planes(first.samples):
        levels = np.rint(batch * np.float32(255))
        expected = first(levels / np.float32(255))
        worst = max(worst, largest_difference(expected, second(levels) / np.float32(255)))
    return _within(worst, PARITY_TOLERANCE, "the grey-level graph", "the graph before")


def _within(measured: float, allowed: float, what: str, reference: str) -> float:
    if not measured <= allowed:
        raise ParityError(
            f"{what} differs from {reference} by {measured:.3g}, more than {allowed:g} allowed"
        )
    return measured


def check_tiled(
    bundle: Path, precision: str, pairs: Sequence[HeldOut], *, threads: int = 0
) -> TiledCheck:
    """Tiled against whole frame through the runtime; ParityError beyond the law of tiling.

    Where the receptive field is too large for the largest LR picture to be cut, the picture goes on
    mirrored, just so far that there are two tiles on each axis.
    """
    from runtime.manifest import read_manifest
    from runtime.upscaler import Upscaler

    radius = read_manifest(bundle).receptive_field_radius
    tile_size = 2 * radius + TILE_CORE
    lr = max((pair.lr for pair in pairs), key=lambda picture: picture.size)
    if min(lr.shape[:2]) <= tile_size:
        lr = _mirrored(lr, tile_size + TILE_CORE)
    results: list[NDArray[Any]] = []
    for size in (0, tile_size):
        with Upscaler.open(
            bundle,
            backend="onnxruntime",
            precision=precision,
            threads=threads,
            tile_size=size,
            device="cpu",
        ) as upscaler:
            results.append(upscaler.upscale(lr).astype(np.int16))
    difference = np.abs(results[0] - results[1])
    levels, share = int(difference.max()), float((difference > 0).mean())
    if levels > TILED_LEVELS or share > TILED_SHARE:
        raise ParityError(
            f"{precision} in tiles of {tile_size} differs from the whole frame by {levels} levels "
            f"on {share:.2%} of samples; at most {TILED_LEVELS} on {TILED_SHARE:.2%} is allowed"
        )
    return TiledCheck(tile_size, levels, share)


def _mirrored(picture: Picture, side: int) -> Picture:
    """A square of ``side`` pixels that begins with the picture."""
    more = [(0, max(0, side - length)) for length in picture.shape[:2]]
    whole = np.pad(picture, [*more, (0, 0)][: picture.ndim], mode="symmetric")
    return np.ascontiguousarray(whole[:side, :side])


def check_native(
    bundle: Path, precision: str, pairs: Sequence[HeldOut], *, threads: int = 0
) -> float:
    """Share of samples in which the native engine is more than a level from ONNX Runtime.

    Raises ParityError above NATIVE_SHARE, UnsupportedError if this installation cannot run the
    native engine.
    """
    from runtime.upscaler import Upscaler

    beyond = total = 0
    with (
        Upscaler.open(bundle, backend="native", precision=precision, threads=threads) as native,
        Upscaler.open(
            bundle, backend="onnxruntime", precision=precision, threads=threads, device="cpu"
        ) as reference,
    ):
        for pair in pairs:
            expected = reference.upscale_luma(pair.lr).astype(np.int16)
            levels = np.abs(native.upscale_luma(pair.lr) - expected)
            beyond += int((levels > 1).sum())
            total += levels.size
    allowed = NATIVE_SHARE[precision]
    if beyond > allowed * total:
        raise ParityError(
            f"{precision} of the native engine differs from ONNX Runtime by more than a level on "
            f"{beyond / total:.2%} of samples; at most {allowed:.2%} is allowed"
        )
    return beyond / total


def check_bytes(twin: onnx.ModelProto, pairs: Sequence[HeldOut], *, threads: int = 0) -> int:
    """Largest difference in levels of the byte graph from its rounded twin; ParityError above 1."""
    as_bytes = GraphRunner(with_uint8_io(twin), threads=threads)
    as_floats, worst = GraphRunner(twin, threads=threads), 0.0
    for pair in pairs:
        grey = as_floats.picture(pair.lr.astype(np.float32))
        expected = np.rint(np.clip(grey, 0, 255))
        worst = max(worst, largest_difference(as_bytes.picture(pair.lr), expected))
    return int(_within(worst, TILED_LEVELS, "the byte graph", "its rounded float twin"))


@dataclass(frozen=True)
class Layer:
    """A convolution of the learnt path as it stands in a graph."""

    name: str
    shape: str
    precision: str


def layer_precisions(model: onnx.ModelProto) -> list[Layer]:
    """The precision of every convolution of the learnt path, read back from the graph.

    ``int8`` means both the activation and the weight come out of a DequantizeLinear.
    """
    is_int8 = int8_share(model)
    layers = []
    for node in residual_convolutions(model.graph):
        weight = _weight_of(model.graph, node)
        is_half = weight is not None and weight.dtype == np.float16
        precision = "int8" if is_int8[node.name] else "float16" if is_half else "float32"
        layers.append(Layer(node.name, _shape_text(node.op_type, weight), precision))
    return layers


def _weight_of(graph: onnx.GraphProto, conv: onnx.NodeProto) -> NDArray[Any] | None:
    """The constant weight of a convolution, also behind its Q/DQ pair."""
    writers, arrays = producers(graph), constants(graph)
    name = conv.input[1]
    while name in writers and writers[name].op_type in ("DequantizeLinear", "QuantizeLinear"):
        name = writers[name].input[0]
    return arrays.get(name)


def _shape_text(op_type: str, weight: NDArray[Any] | None) -> str:
    if weight is None:
        return "?"
    kernel = "x".join(map(str, weight.shape[2:]))
    ends = weight.shape[:2] if op_type == "ConvTranspose" else weight.shape[1::-1]
    return f"{kernel}, {ends[0]} to {ends[1]}"
