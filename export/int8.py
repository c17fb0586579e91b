"""The INT8 graph of a network: the best observer, then what must stay float to pass the gate."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray

from calibration.activations import collect_channel_ranges, collect_histograms
from calibration.frames import CalibrationFrames
from calibration.observers import OBSERVERS
from calibration.table import CalibrationTable
from export.effort import Effort
from export.equalize import equalized, joints
from export.errors import ParityError
from export.graph import encode
from export.qdq import quantizable_nodes, quantizable_tensors, quantize
from export.scores import HeldOut, levels_of, mean, picture_psnr, signless
from export.sensitivity import (
    Group,
    fewest_groups,
    find_float_tensors,
    group_drops,
    ranked_groups,
    title_of,
)
from export.session import GraphRunner

# Name, share of a channel's magnitudes that count, exponent of equalizing_factors.
EQUALIZATIONS = (("equalized", 0.9999, 0.75), ("half equalized", 0.99999, 0.5))


@dataclass(frozen=True)
class KeptLayer:
    """Convolutions whose inputs and weights stay float32, and the loss in dB with them.

    One convolution, or a run of them in a large network, where only the last loss is measured.
    """

    layer: str
    tensors: tuple[str, ...]
    drop_db: float | None


@dataclass(frozen=True)
class Int8Build:
    """The graph and how it was found.

    ``float_twin`` is the float graph of the bundle: the given one, or that one equalised.
    ``observer_drops`` in dB and ``observer_distances`` from fp32 in grey levels are with everything
    quantised, ``layer_drops`` in dB with one convolution, or one run of them, alone, by name.
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
        self.reference, self.pairs, self.scale, self.threads = reference, pairs, scale, threads
        self._latest: tuple[onnx.ModelProto, list[NDArray[np.float32]]] | None = None
        self._pictures = self._upscaled(reference)
        self._psnr = self._score(self._pictures)

    def on(self, pairs: Sequence[HeldOut]) -> Measure:
        """The same with other pictures."""
        return Measure(self.reference, pairs, self.scale, threads=self.threads)

    def drop_of(self, twin: onnx.ModelProto) -> float:
        """Mean loss in dB."""
        return self._psnr - self._score(self._upscaled(twin))

    def distance_of(self, twin: onnx.ModelProto) -> float:
        """Root of the mean squared distance from the reference's pictures, in grey levels."""
        squares = [
            float(np.mean(np.square(picture - expected)))
            for picture, expected in zip(self._upscaled(twin), self._pictures, strict=True)
        ]
        return math.sqrt(sum(squares) / len(squares))

    def _score(self, pictures: Sequence[NDArray[np.float32]]) -> float:
        """Mean PSNR of the pictures as the byte graph returns them."""
        scores = {
            pair.name: picture_psnr(levels_of(picture), pair.hr, self.scale)
            for pair, picture in zip(self.pairs, pictures, strict=True)
        }
        return mean(scores)

    def _upscaled(self, twin: onnx.ModelProto) -> list[NDArray[np.float32]]:
        """What the graph makes of the pictures; of the graph before, it is at hand."""
        if self._latest is None or self._latest[0] is not twin:
            runner = GraphRunner(twin, threads=self.threads)
            pictures = [runner.picture(pair.lr.astype(np.float32)) for pair in self.pairs]
            self._latest = twin, pictures
        return self._latest[1]


def build_int8(
    twin: onnx.ModelProto,
    frames: CalibrationFrames,
    measure: Measure,
    effort: Effort,
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
    planes = effort.frames([frame for _, frame in frames.calibrate])
    quick = measure if effort.pair_side is None else measure.on(effort.pairs(measure.pairs))
    tried: dict[str, Candidate] = {}
    drops: dict[str, float] = {}
    distances: dict[str, float] = {}
    for candidate in _candidates(twin, planes, trained):
        name = candidate.name
        tried[name] = candidate
        quantized = candidate.quantized()
        drops[name], distances[name] = quick.drop_of(quantized), quick.distance_of(quantized)
        say(
            f"int8         observer {name}: {distances[name]:.2f} levels from fp32, "
            f"drop {signless(drops[name], 3):.3f} dB"
        )
    best = min(distances, key=lambda name: distances[name])
    chosen = tried[best]
    drop = drops[best] if quick is measure else measure.drop_of(chosen.quantized())
    if drop > budget_db and chosen.twin is not chosen.float_twin:
        raise ParityError(
            f"int8 loses {drop:.3f} dB with the weights that were fine-tuned for it, "
            f"more than the {budget_db:g} allowed; build without them or raise --max-drop int8="
        )
    groups = group_drops(
        list(chosen.tensors), partial(_drop_alone, chosen, quick), effort.comparisons
    )
    kept: tuple[KeptLayer, ...] = ()
    if drop > budget_db:
        say(f"int8         over the {budget_db:g} dB allowed; looking for what must stay float")
        kept = kept_layers(chosen, measure, budget_db, groups=groups, effort=effort)
        for step in kept:
            loss = "" if step.drop_db is None else f": drop {signless(step.drop_db, 3):.3f} dB"
            say(f"int8         {step.layer} stays float{loss}")
    keep_float = frozenset(tensor for step in kept for tensor in step.tensors)
    digest = hashlib.sha256(encode(chosen.twin)).hexdigest()
    return Int8Build(
        chosen.quantized(keep_float),
        chosen.float_twin,
        CalibrationTable(best, chosen.ranges, digest, frames.digest),
        drops,
        distances,
        {group.title: group.drop_db for group in groups},
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
        """Input and weight of each convolution that INT8 may take, by name."""
        nodes = quantizable_nodes(self.twin.graph)
        return {node.name: (node.input[0], node.input[1]) for node in nodes}

    def quantized(self, keep_float: frozenset[str] = frozenset()) -> onnx.ModelProto:
        """The Q/DQ graph with these tensors in float."""
        return quantize(self.twin, self.ranges, keep_float=keep_float)


def _candidates(
    twin: onnx.ModelProto, planes: Sequence[NDArray[np.uint8]], trained: Trained | None
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
    graphs = {"": twin}
    scalable = [joint.activation for joint in joints(twin)]
    for name, share, exponent in EQUALIZATIONS if scalable else ():
        channels = collect_channel_ranges(twin, scalable, planes, share=share)
        graphs[f" {name}"] = equalized(twin, channels, exponent)
    for suffix, graph in graphs.items():
        histograms = collect_histograms(graph, tensors, planes)
        for observer, observe in OBSERVERS.items():
            ranges = {name: observe(histogram) for name, histogram in histograms.items()}
            yield Candidate(observer + suffix, graph, graph, ranges)


def _drop_alone(candidate: Candidate, measure: Measure, layers: Sequence[str]) -> float:
    """Loss in dB if these convolutions alone are quantised."""
    tensors = candidate.tensors
    every = frozenset(tensor for pair in tensors.values() for tensor in pair)
    return measure.drop_of(
        candidate.quantized(every - {tensor for layer in layers for tensor in tensors[layer]})
    )


def kept_layers(
    candidate: Candidate,
    measure: Measure,
    budget_db: float,
    *,
    groups: Sequence[Group],
    effort: Effort,
) -> tuple[KeptLayer, ...]:
    """The convolutions to keep float, found by measuring; ParityError if none are enough.

    Whole convolutions, since one with a single quantised input runs in float anyway. What one
    costs is its number of multiplications a pixel. Where there are too many convolutions to
    measure each beside all others, whole ``groups`` stay float, those first that lose most.
    """
    tensors = candidate.tensors
    arrays = {tensor.name: tensor for tensor in candidate.twin.graph.initializer}
    costs = {layer: float(prod(arrays[weight].dims)) for layer, (_, weight) in tensors.items()}
    measured: dict[frozenset[str], float] = {}

    def drop_of(layers: Iterable[str]) -> float:
        keep_float = frozenset(tensor for layer in layers for tensor in tensors[layer])
        if keep_float not in measured:
            measured[keep_float] = measure.drop_of(candidate.quantized(keep_float))
        return measured[keep_float]

    least = drop_of(tensors)
    is_small = len(tensors) * (len(tensors) + 1) // 2 <= effort.comparisons
    found: list[tuple[str, ...]] = [tuple(tensors)]
    if least <= budget_db and is_small:
        kept = find_float_tensors(
            list(tensors), drop_of, cost_of=costs.__getitem__, budget_db=budget_db
        )
        found = [(k.tensor,) for k in kept]
    elif least <= budget_db:
        ranked = ranked_groups(groups, costs.__getitem__)
        found = [g.layers for g in fewest_groups(ranked, drop_of, budget_db=budget_db)]
    if sum(map(len, found)) == len(tensors):
        costly = (
            sorted(tensors, key=lambda layer: drop_of([layer]))
            if is_small
            else [group.title for group in ranked_groups(groups, costs.__getitem__)]
        )
        raise ParityError(
            f"int8 loses {drop_of([]):.3f} dB against fp32 on held-out pictures, more than the "
            f"{budget_db:g} allowed, and {least:.3f} dB with all {len(tensors)} convolutions in "
            f"float, so none can be quantised; {', '.join(costly[:3])} cost most; "
            "raise --max-drop int8=, or build fp16"
        )
    steps = []
    for index, layers in enumerate(found):
        so_far = [layer for part in found[: index + 1] for layer in part]
        is_measured = is_small or index == len(found) - 1
        steps.append(
            KeptLayer(
                title_of(layers),
                tuple(tensor for layer in layers for tensor in tensors[layer]),
                drop_of(so_far) if is_measured else None,
            )
        )
    return tuple(steps)
