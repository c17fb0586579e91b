from __future__ import annotations

import numpy as np
import onnx
import pytest
from network_support import tiny_network, tiny_rgb_graph, tiny_rgb_network
from pictures_support import synthetic_luma, synthetic_rgb

from edge_sr.models.complexity import complexity_of
from export import effort
from export.effort import Effort, centre_of, effort_for, macs_per_pixel
from export.heads import with_float_io
from export.onnx_export import export_onnx
from export.rewrite import rewrite_deconvolution
from export.scores import held_out_pairs

FRAMES = [synthetic_rgb(96, 120, seed=i) for i in range(3)]
PAIRS = held_out_pairs([("a", synthetic_rgb(160, 192)), ("b", synthetic_rgb(144, 160))], 2)


@pytest.fixture(scope="module")
def twin() -> onnx.ModelProto:
    return with_float_io(tiny_rgb_graph())


def test_multiplications_are_counted_as_the_papers_do(twin: onnx.ModelProto) -> None:
    network = tiny_rgb_network()
    pixels = 1280 * 720 / 4
    assert macs_per_pixel(twin) * pixels == pytest.approx(complexity_of(network).macs)


def test_transposed_convolution_counts_once_for_an_lr_pixel() -> None:
    network = tiny_network("fsrcnn")
    model = export_onnx(network)
    expected = complexity_of(network).macs
    assert macs_per_pixel(model) * 1280 * 720 / 4 == pytest.approx(expected)


def test_small_network_is_measured_on_whole_pictures(twin: onnx.ModelProto) -> None:
    found = effort_for(twin, FRAMES, PAIRS)
    assert found.is_full
    assert found.frames(FRAMES)[0] is FRAMES[0]
    assert found.pairs(PAIRS) == PAIRS
    assert "whole pictures" in found.text


def test_large_network_is_measured_on_the_centres(
    twin: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    macs = macs_per_pixel(twin)
    monkeypatch.setattr(effort, "CALIBRATION_MACS", macs * 3 * 60**2)
    monkeypatch.setattr(effort, "COMPARISON_MACS", macs * 2 * 50**2)
    found = effort_for(twin, FRAMES, PAIRS)
    assert (found.frame_side, found.pair_side) == (56, 48)
    assert [frame.shape for frame in found.frames(FRAMES)] == [(56, 56, 3)] * 3
    pair = found.pairs(PAIRS)[0]
    assert (pair.lr.shape, pair.hr.shape) == ((48, 48, 3), (96, 96, 3))
    np.testing.assert_array_equal(pair.lr, PAIRS[0].lr[16:64, 24:72])
    np.testing.assert_array_equal(pair.hr, PAIRS[0].hr[32:128, 48:144])
    assert "frames cut to 56x56, held-out pictures cut to 48x48" in found.text
    assert found == effort_for(twin, FRAMES, PAIRS)


def test_memory_of_a_frame_is_bounded_too(
    twin: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effort, "CALIBRATION_BYTES", 1.0)
    found = effort_for(twin, FRAMES, PAIRS)
    assert (found.frame_side, found.pair_side) == (effort.LEAST_SIDE, None)


def test_shipped_kind_of_network_has_comparisons_for_every_choice() -> None:
    model = with_float_io(rewrite_deconvolution(export_onnx(tiny_network()))[0])
    frames = [synthetic_luma(1024, 1024)]
    found = effort_for(model, frames, held_out_pairs([("a", synthetic_luma(512, 512))], 2))
    assert found.is_full
    assert found.comparisons > 1000


def test_centre_of_a_picture_smaller_than_the_side_is_all_of_it() -> None:
    plane = synthetic_luma(40, 90)
    np.testing.assert_array_equal(centre_of(plane, 48), plane[:, 21:69])
    assert Effort(1.0, None, None, 24).is_full
