from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from network_support import tiny_network, tiny_rgb_graph
from pictures_support import synthetic_luma, synthetic_rgb

from calibration.frames import CalibrationFrames
from calibration.observers import OBSERVERS
from edge_sr.models.fsrcnn import Fsrcnn
from export.effort import Effort
from export.errors import ParityError
from export.heads import with_float_io
from export.int8 import Measure, Trained, build_int8
from export.onnx_export import export_onnx
from export.qdq import int8_share, quantizable_convs, quantizable_tensors, quantize
from export.rewrite import rewrite_deconvolution
from export.scores import held_out_pairs

FRAMES = CalibrationFrames(
    calibrate=(("a", synthetic_luma(48, 48)), ("b", synthetic_luma(40, 52, seed=1))),
    hold_out=(("c", synthetic_luma(64, 64, seed=2)),),
    digest="f" * 64,
)
PAIRS = held_out_pairs(FRAMES.hold_out, 2)
EFFORT = Effort(macs=1e3, frame_side=None, pair_side=None, comparisons=1000)


def twin_of(network: Fsrcnn) -> onnx.ModelProto:
    return with_float_io(rewrite_deconvolution(export_onnx(network))[0])


def measure_for(twin: onnx.ModelProto) -> Measure:
    return Measure(twin, PAIRS, 2, threads=1)


@pytest.fixture(scope="module")
def residual() -> onnx.ModelProto:
    return twin_of(tiny_network())


@pytest.fixture(scope="module")
def uneven() -> onnx.ModelProto:
    """Bicubic, carried by channel 0 beside one with values 200 times as large before the tail."""
    network = tiny_network("fsrcnn", noise=0.0)
    with torch.no_grad():
        network.expand[0].get_parameter("weight")[1].mul_(200)
        network.tail.get_parameter("weight")[1].zero_()
    return twin_of(network)


def test_distance_is_in_grey_levels_from_the_reference(residual: onnx.ModelProto) -> None:
    measure = measure_for(residual)
    assert measure.distance_of(residual) == 0
    network = tiny_network()
    with torch.no_grad():
        network.tail.get_parameter("bias").add_(2 / 255)
    assert measure.distance_of(twin_of(network)) == pytest.approx(2, rel=1e-3)


def test_observer_with_the_nearest_pictures_is_taken(residual: onnx.ModelProto) -> None:
    said: list[str] = []
    built = build_int8(
        residual, FRAMES, measure_for(residual), EFFORT, budget_db=1.0, say=said.append
    )
    assert set(built.observer_drops) == {
        observer + suffix
        for observer in OBSERVERS
        for suffix in ("", " equalized", " half equalized")
    }
    best = min(built.observer_distances, key=lambda name: built.observer_distances[name])
    assert built.table.observer == best
    assert built.table.frames_digest == "f" * 64
    assert len(said) == 3 * len(OBSERVERS)


def test_trained_ranges_take_the_place_of_all_observers(residual: onnx.ModelProto) -> None:
    measure = measure_for(residual)
    ranges = {name: 2.0 + index for index, name in enumerate(quantizable_tensors(residual))}
    said: list[str] = []
    trained = Trained(residual, dict(ranges))
    built = build_int8(
        residual, FRAMES, measure, EFFORT, budget_db=5.0, say=said.append, trained=trained
    )
    assert (built.table.observer, built.table.ranges) == ("trained", ranges)
    assert list(built.observer_drops) == ["trained"]
    assert len(said) == 1
    del ranges["expand.0.prelu"]
    trained = Trained(residual, ranges)
    with pytest.raises(ValueError, match=r"activation_ranges are of .*the graph needs"):
        build_int8(
            residual, FRAMES, measure, EFFORT, budget_db=5.0, say=said.append, trained=trained
        )


def test_weights_that_were_fine_tuned_are_for_int8_alone(
    residual: onnx.ModelProto, uneven: onnx.ModelProto
) -> None:
    other = twin_of(tiny_network(seed=5))
    ranges = dict.fromkeys(quantizable_tensors(residual), 4.0)
    measure, trained = measure_for(residual), Trained(other, ranges)
    built = build_int8(
        residual, FRAMES, measure, EFFORT, budget_db=50.0, say=lambda text: None, trained=trained
    )
    assert built.float_twin is residual
    assert built.twin == quantize(other, ranges)
    with pytest.raises(ParityError, match=r"fine-tuned for it, more than the -50 allowed"):
        build_int8(
            residual,
            FRAMES,
            measure,
            EFFORT,
            budget_db=-50.0,
            say=lambda text: None,
            trained=trained,
        )


def test_within_the_budget_everything_is_quantised(residual: onnx.ModelProto) -> None:
    measure = measure_for(residual)
    built = build_int8(residual, FRAMES, measure, EFFORT, budget_db=1.0, say=lambda text: None)
    assert built.kept_float == ()
    assert all(int8_share(built.twin).values())
    assert measure.drop_of(built.twin) == pytest.approx(min(built.observer_drops.values()))


def test_over_the_budget_layers_stay_float_and_are_named(uneven: onnx.ModelProto) -> None:
    measure, said = measure_for(uneven), list[str]()
    built = build_int8(uneven, FRAMES, measure, EFFORT, budget_db=0.05, say=said.append)
    assert min(built.observer_drops.values()) > 0.05
    assert [layer.layer for layer in built.kept_float] == ["tail"]
    assert built.kept_float[0].tensors == ("expand.0.prelu", "tail.subpixel.weight")
    assert [name for name, is_int8 in int8_share(built.twin).items() if not is_int8] == ["tail"]
    assert measure.drop_of(built.twin) <= 0.05
    assert built.kept_float[-1].drop_db == pytest.approx(measure.drop_of(built.twin))
    assert any("tail stays float" in line for line in said)


def test_budget_that_leaves_nothing_quantised_is_refused(residual: onnx.ModelProto) -> None:
    with pytest.raises(ParityError, match=r"so none can be quantised; .* cost most"):
        build_int8(
            residual, FRAMES, measure_for(residual), EFFORT, budget_db=-1.0, say=lambda text: None
        )


def test_no_range_is_wider_than_the_largest_value(residual: onnx.ModelProto) -> None:
    built = build_int8(
        residual, FRAMES, measure_for(residual), EFFORT, budget_db=1.0, say=lambda text: None
    )
    assert all(0 < amax < np.inf for amax in built.table.ranges.values())


RGB_FRAMES = CalibrationFrames(
    calibrate=(("a", synthetic_rgb(48, 56)), ("b", synthetic_rgb(56, 48, seed=1))),
    hold_out=(("c", synthetic_rgb(128, 128, seed=2)),),
    digest="f" * 64,
)
# As for a network too large to measure whole pictures, or each of its convolutions.
SMALL_EFFORT = Effort(macs=1e7, frame_side=48, pair_side=48, comparisons=4)


@pytest.fixture(scope="module")
def rgb() -> onnx.ModelProto:
    return with_float_io(tiny_rgb_graph("rcan_s"))


@pytest.fixture(scope="module")
def rgb_measure(rgb: onnx.ModelProto) -> Measure:
    return Measure(rgb, held_out_pairs(RGB_FRAMES.hold_out, 2), 2, threads=1)


def test_large_network_is_searched_in_groups(rgb: onnx.ModelProto, rgb_measure: Measure) -> None:
    built = build_int8(
        rgb, RGB_FRAMES, rgb_measure, SMALL_EFFORT, budget_db=60.0, say=lambda text: None
    )
    count = len(quantizable_convs(rgb))
    assert built.kept_float == ()
    assert len(built.layer_drops) < count
    assert any(name.endswith("(3 layers)") for name in built.layer_drops)
    again = build_int8(
        rgb, RGB_FRAMES, rgb_measure, SMALL_EFFORT, budget_db=60.0, say=lambda text: None
    )
    assert (again.twin, again.layer_drops) == (built.twin, built.layer_drops)


def test_budget_of_a_large_network_is_met_on_whole_pictures(
    rgb: onnx.ModelProto, rgb_measure: Measure
) -> None:
    everything = build_int8(
        rgb, RGB_FRAMES, rgb_measure, SMALL_EFFORT, budget_db=60.0, say=lambda text: None
    )
    budget = 0.5 * rgb_measure.drop_of(everything.twin)
    said: list[str] = []
    built = build_int8(
        rgb, RGB_FRAMES, rgb_measure, SMALL_EFFORT, budget_db=budget, say=said.append
    )
    assert 0 < len(built.kept_float) < len(built.layer_drops)
    assert {kept.layer for kept in built.kept_float} <= set(built.layer_drops)
    assert built.kept_float[-1].drop_db == pytest.approx(rgb_measure.drop_of(built.twin))
    assert rgb_measure.drop_of(built.twin) <= budget
    share = int8_share(built.twin)
    assert 0 < sum(share.values()) < len(quantizable_convs(rgb))
    assert any("stays float" in line for line in said)


def test_large_network_that_nothing_helps_is_refused(
    rgb: onnx.ModelProto, rgb_measure: Measure
) -> None:
    with pytest.raises(ParityError, match=r"none can be quantised; .*3 layers.* cost most"):
        build_int8(
            rgb, RGB_FRAMES, rgb_measure, SMALL_EFFORT, budget_db=-1.0, say=lambda text: None
        )
