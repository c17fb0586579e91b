"""The INT8 graph of a network: the best observer, then what must stay float to pass the gate."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from calibration.activations import collect_channel_ranges, collect_histograms
from calibration.frames import CalibrationFrames
from calibration.observers import OBSERVERS
from calibration.table import CalibrationTable
from export.equalize import equalized, joints
from export.errors import ParityError
from export.graph import constants, encode, residual_convolutions
from export.qdq import quantizable_tensors, quantize
from export.sensitivity import find_float_tensors
from export.session import GraphRunner
from export.verify import HeldOut, graph_scores, mean, signless


@dataclass(frozen=True)
class KeptLayer:
    """A convolution whose input and weight stay float32, and the loss in dB with it."""

    layer: str
    tensors: tuple[str, ...]
    drop_db: float


@dataclass(frozen=True)
class Int8Build:
    """The graph and how it was found.

    ``float_twin`` is the float graph of the bundle: the given one, or that one equalised.
    ``observer_drops`` in dB and ``observer_distances`` from fp32 in grey levels are with everything
    quantised, ``layer_drops`` in dB with one convolution alone, by name.
    """

    twin: onnx.ModelProto
    float_twin: onnx.ModelProto
    table: CalibrationTable
    observer_drops: Mapping[str, float]
    observer_distances: Mapping[str, float]
    layer_drops: Mapping[str, float]
    kept_float: tuple[KeptLayer, ...]


@dataclass(frozen=True)
class Trained:
    """What quantisation-aware training gave: a float graph and ranges of its activations."""

    twin: onnx.ModelProto
    ranges: Mapping[str, float]


class Measure:
    """Compares float grey-level graphs with ``reference``, the fp32 one, on held-out pictures."""

    def __init__(
        self,
        reference: onnx.ModelProto,
        pairs: Sequence[HeldOut],
        scale: int,
        *,
        threads: int = 0,
    ) -> None:
        self.pairs, self.scale, self.threads = pairs, scale, threads
        self._psnr = mean(graph_scores(reference, pairs, scale, threads=threads))
        self._pictures = self._upscaled(reference)

    def drop_of(self, twin: onnx.ModelProto) -> float:
        """Mean loss in dB."""
        scores = graph_scores(twin, self.pairs, self.scale, threads=self.threads)
        return self._psnr - mean(scores)

    def distance_of(self, twin: onnx.ModelProto) -> float:
        """Root of the mean squared distance from the reference's pictures, in grey levels."""
        squares = [
            float(np.mean(np.square(picture - expected)))
            for picture, expected in zip(self._upscaled(twin), self._pictures, strict=True)
        ]
        return math.sqrt(sum(squares) / len(squares))

    def _upscaled(self, twin: onnx.ModelProto) -> list[NDArray[np.float32]]:
        runner = GraphRunner(twin, threads=self.threads)
        return [runner.plane(pair.lr.astype(np.float32)) for pair in self.pairs]


def build_int8(
    twin: onnx.ModelProto,
    frames: CalibrationFrames,
    measure: Measure,
    *,
    budget_db: float,
    say: Callable[[str], None],
    trained: Trained | None = None,
) -> Int8Build:
    """Calibrate and quantise; ParityError if the budget cannot be met even with float tensors.

    The candidate whose pictures are nearest to fp32's is taken. The smallest loss would be a worse
    guide: an error may happen to bring one of a few pictures nearer to its original.
    ``trained``, from quantisation-aware training, takes the place of all observers.
    """
    tried: dict[str, Candidate] = {}
    drops: dict[str, float] = {}
    distances: dict[str, float] = {}
    for candidate in _candidates(twin, frames, trained):
        name = candidate.name
        tried[name] = candidate
        quantized = candidate.quantized()
        drops[name], distances[name] = measure.drop_of(quantized), measure.distance_of(quantized)
        say(
            f"int8         observer {name}: {distances[name]:.2f} levels from fp32, "
            f"drop {signless(drops[name], 3):.3f} dB"
        )
    best = min(distances, key=lambda name: distances[name])
    chosen = tried[best]
    kept: tuple[KeptLayer, ...] = ()
    if drops[best] > budget_db:
        if chosen.twin is not chosen.float_twin:
            raise ParityError(
                f"int8 loses {drops[best]:.3f} dB with the weights that were fine-tuned for it, "
                f"more than the {budget_db:g} allowed; build without them or raise --max-drop int8="
            )
        say(f"int8         over the {budget_db:g} dB allowed; looking for what must stay float")
        kept = kept_layers(chosen, measure, budget_db)
        for step in kept:
            say(f"int8         {step.layer} stays float: drop {step.drop_db:.3f} dB")
    keep_float = frozenset(tensor for step in kept for tensor in step.tensors)
    digest = hashlib.sha256(encode(chosen.twin)).hexdigest()
    return Int8Build(
        chosen.quantized(keep_float),
        chosen.float_twin,
        CalibrationTable(best, chosen.ranges, digest, frames.digest),
        drops,
        distances,
        layer_drops(chosen, measure),
        kept,
    )


@dataclass(frozen=True)
class Candidate:
    """A way to quantise: a graph's weights and ranges, beside the bundle's float graph."""

    name: str
    twin: onnx.ModelProto
    float_twin: onnx.ModelProto
    ranges: dict[str, float]

    @property
    def tensors(self) -> dict[str, tuple[str, str]]:
        """Input and weight of each learnt convolution, by name."""
        nodes = residual_convolutions(self.twin.graph)
        return {node.name: (node.input[0], node.input[1]) for node in nodes}

    def quantized(self, keep_float: frozenset[str] = frozenset()) -> onnx.ModelProto:
        """The Q/DQ graph with these tensors in float."""
        return quantize(self.twin, self.ranges, keep_float=keep_float)


def _candidates(
    twin: onnx.ModelProto, frames: CalibrationFrames, trained: Trained | None
) -> Iterator[Candidate]:
    """The trained one, or every observer on the graph as it is and with equalised channels."""
    tensors = quantizable_tensors(twin)
    if trained is not None:
        if set(trained.ranges) != set(tensors):
            raise ValueError(
                f"the checkpoint's activation_ranges are of {', '.join(sorted(trained.ranges))}, "
                f"the graph needs {', '.join(tensors)}"
            )
        ranges = {name: float(trained.ranges[name]) for name in tensors}
        yield Candidate("trained", trained.twin, twin, ranges)
        return
    planes = [plane for _, plane in frames.calibrate]
    graphs = {"": twin}
    scalable = [joint.activation for joint in joints(twin)]
    if scalable:
        channels = collect_channel_ranges(twin, scalable, planes)
        graphs[" equalized"] = equalized(twin, channels)
    for suffix, graph in graphs.items():
        histograms = collect_histograms(graph, tensors, planes)
        for observer, observe in OBSERVERS.items():
            ranges = {name: observe(histogram) for name, histogram in histograms.items()}
            yield Candidate(observer + suffix, graph, graph, ranges)


def layer_drops(candidate: Candidate, measure: Measure) -> dict[str, float]:
    """Loss in dB of each learnt convolution if it alone is quantised."""
    tensors = candidate.tensors
    every = frozenset(tensor for pair in tensors.values() for tensor in pair)
    return {
        layer: measure.drop_of(candidate.quantized(every - frozenset(pair)))
        for layer, pair in tensors.items()
    }


def kept_layers(candidate: Candidate, measure: Measure, budget_db: float) -> tuple[KeptLayer, ...]:
    """The convolutions to keep float, found by measuring; ParityError if none are enough.

    Whole convolutions, since one with a single quantised input runs in float anyway. What one
    costs is its number of multiplications a pixel.
    """
    tensors = candidate.tensors
    arrays = constants(candidate.twin.graph)
    costs = {layer: float(arrays[weight].size) for layer, (_, weight) in tensors.items()}
    measured: dict[frozenset[str], float] = {}

    def drop_of(layers: Iterable[str]) -> float:
        keep_float = frozenset(tensor for layer in layers for tensor in tensors[layer])
        if keep_float not in measured:
            measured[keep_float] = measure.drop_of(candidate.quantized(keep_float))
        return measured[keep_float]

    least = drop_of(tensors)
    found = list(tensors)
    if least <= budget_db:
        kept = find_float_tensors(found, drop_of, cost_of=costs.__getitem__, budget_db=budget_db)
        found = [k.tensor for k in kept]
    if len(found) == len(tensors):
        costly = sorted(tensors, key=lambda layer: drop_of([layer]))
        raise ParityError(
            f"int8 loses {drop_of([]):.3f} dB against fp32 on held-out pictures, more than the "
            f"{budget_db:g} allowed, and {least:.3f} dB with all {len(tensors)} convolutions in "
            f"float, so none can be quantised; {', '.join(costly[:3])} cost most; "
            "raise --max-drop int8=, or build fp16"
        )
    return tuple(
        KeptLayer(layer, tensors[layer], drop_of(found[: index + 1]))
        for index, layer in enumerate(found)
    )
