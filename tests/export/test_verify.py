from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from bundle_support import make_rgb_bundle, make_tiny_bundle, tiny_graph
from graph_support import float_graph
from network_support import tiny_network, tiny_rgb_graph, tiny_rgb_network
from onnx import helper
from pictures_support import synthetic_luma, synthetic_rgb

from edge_sr.data.resample import downscale
from edge_sr.metrics import psnr
from edge_sr.metrics.protocols import score_bicubic
from export.errors import ParityError
from export.graph import finish
from export.half import to_half
from export.heads import with_float_io
from export.onnx_export import export_onnx
from export.qdq import quantizable_tensors, quantize
from export.rewrite import rewrite_deconvolution
from export.scores import bicubic_scores, graph_scores, held_out_pairs, picture_psnr, quality_of
from export.verify import (
    check_bytes,
    check_drop,
    check_grey_levels,
    check_response,
    check_same,
    check_tiled,
    check_torch_parity,
    layer_precisions,
)
from runtime import Upscaler

PAIRS = held_out_pairs([("a", synthetic_luma(65, 71)), ("b", synthetic_luma(64, 64, seed=1))], 2)


def scaled(by: float) -> onnx.ModelProto:
    """sr = by * lr, at the same size."""
    nodes = [helper.make_node("Mul", ["lr", "factor"], ["sr"], "m")]
    return float_graph(nodes, {"factor": np.array(by, np.float32)})


@pytest.fixture(scope="module")
def exported() -> onnx.ModelProto:
    return export_onnx(tiny_network())


def test_held_out_picture_is_cropped_and_downscaled() -> None:
    assert PAIRS[0].hr.shape == (64, 70)
    assert PAIRS[0].lr.shape == (32, 35)
    assert PAIRS[0].lr.dtype == np.uint8


def test_pictures_of_one_name_are_told_apart() -> None:
    plane = synthetic_luma(32, 32)
    assert [p.name for p in held_out_pairs([("a", plane), ("a", plane)], 2)] == ["a", "a (1)"]


def test_tiny_held_out_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="held-out picture a of 6x40 is too small"):
        held_out_pairs([("a", np.zeros((40, 6), np.uint8))], 2)


def test_score_of_a_graph_is_the_psnr_of_its_bytes() -> None:
    nodes = [
        helper.make_node("Conv", ["lr", "w"], ["phases"], "c"),
        helper.make_node("DepthToSpace", ["phases"], ["sr"], "s", blocksize=2, mode="CRD"),
    ]
    nearest = float_graph(nodes, {"w": np.ones((4, 1, 1, 1), np.float32)})
    scores = graph_scores(nearest, PAIRS, 2, threads=1)
    repeated = PAIRS[1].lr.repeat(2, axis=0).repeat(2, axis=1)
    assert scores["b"] == pytest.approx(psnr(repeated, PAIRS[1].hr, shave=2))
    assert set(bicubic_scores(PAIRS, 2)) == {"a", "b"}


def test_drop_is_positive_where_quality_is_lost() -> None:
    quality = quality_of({"a": 30.0, "b": 32.0}, {"a": 31.0, "b": 33.5})
    assert quality.psnr == pytest.approx(31.0)
    assert quality.drop_db == pytest.approx(1.25)


def test_drop_over_the_budget_is_refused_with_both_figures() -> None:
    check_drop("int8", 0.1, 0.1, "give up")
    with pytest.raises(ParityError, match=r"int8 loses 0\.151 dB .* more than the 0\.1 allowed"):
        check_drop("int8", 0.151, 0.1, "give up")
    with pytest.raises(ParityError):
        check_drop("int8", float("nan"), 0.1, "give up")


def test_other_weights_than_pytorch_are_noticed(exported: onnx.ModelProto) -> None:
    assert check_torch_parity(tiny_network(), exported) < 1e-5
    with pytest.raises(ParityError, match=r"exported graph differs from PyTorch by .* 0\.0001"):
        check_torch_parity(tiny_network(seed=1), exported)


def test_step_that_changes_the_result_is_noticed() -> None:
    assert check_same(scaled(1), scaled(1), "the step") == 0
    with pytest.raises(ParityError, match="the step differs from the graph before"):
        check_same(scaled(1), scaled(1.001), "the step")


def test_grey_levels_are_compared_on_the_unit_range(exported: onnx.ModelProto) -> None:
    assert check_grey_levels(exported, with_float_io(exported)) < 1e-5
    with pytest.raises(ParityError, match="grey-level graph"):
        check_grey_levels(scaled(1), scaled(1.01))


def test_byte_graph_agrees_with_its_twin() -> None:
    assert check_bytes(finish(tiny_graph(2, 0, is_float=True)), PAIRS, threads=1) == 0


def test_tiles_equal_the_whole_frame_with_the_true_radius(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "tiny.esr")
    check = check_tiled(bundle, "fp32", PAIRS, threads=1)
    assert check.levels <= 1
    assert check.tile_size == 28


def test_radius_that_is_too_small_is_noticed(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "tiny.esr")
    manifest = bundle / "manifest.json"
    wrong = manifest.read_text().replace(
        '"receptive_field_radius": 2', '"receptive_field_radius": 0'
    )
    manifest.write_text(wrong)
    with pytest.raises(ParityError, match="fp32 in tiles of 24 differs from the whole frame"):
        check_tiled(bundle, "fp32", PAIRS, threads=1)


def test_precision_of_each_layer_is_read_back(exported: onnx.ModelProto) -> None:
    twin = with_float_io(rewrite_deconvolution(exported)[0])
    names = ["extract.0", "shrink.0", "map.0.0", "expand.0", "tail"]
    ranges = dict.fromkeys(quantizable_tensors(twin), 1.0)
    partly = quantize(twin, ranges, keep_float=frozenset({"tail.subpixel.weight"}))
    found = {
        name: [layer.precision for layer in layer_precisions(graph)]
        for name, graph in (("fp32", twin), ("fp16", to_half(twin)), ("int8", partly))
    }
    assert [layer.name for layer in layer_precisions(twin)] == names
    assert found["fp32"] == ["float32"] * 5
    assert found["fp16"] == ["float16"] * 5
    assert found["int8"] == ["int8"] * 4 + ["float32"]


@pytest.mark.parametrize("is_quantised", [False, True])
def test_shape_of_a_layer_is_told(exported: onnx.ModelProto, is_quantised: bool) -> None:
    twin = with_float_io(rewrite_deconvolution(exported)[0])
    if is_quantised:
        twin = quantize(twin, dict.fromkeys(quantizable_tensors(twin), 1.0))
    shapes = [layer.shape for layer in layer_precisions(twin)]
    assert shapes == ["5x5, 1 to 8", "1x1, 8 to 4", "3x3, 4 to 4", "1x1, 4 to 8", "5x5, 8 to 4"]


def test_shape_of_a_transposed_tail_is_told(exported: onnx.ModelProto) -> None:
    assert layer_precisions(exported)[-1].shape == "9x9, 8 to 1"


def test_a_network_that_explodes_on_noise_is_refused() -> None:
    network = tiny_network()
    sane = check_response(export_onnx(network))
    assert 0 <= sane < 2
    with torch.no_grad():
        network.tail.get_parameter("weight").add_(20.0)
    with pytest.raises(ParityError, match="on noise and checkerboards the network leaves"):
        check_response(export_onnx(network))


RGB_PAIRS = held_out_pairs([("a", synthetic_rgb(65, 71)), ("b", synthetic_rgb(64, 64, seed=1))], 2)


def test_rgb_pictures_are_held_out_in_colour() -> None:
    assert (RGB_PAIRS[0].hr.shape, RGB_PAIRS[0].lr.shape) == ((64, 70, 3), (32, 35, 3))
    np.testing.assert_array_equal(RGB_PAIRS[0].lr, downscale(RGB_PAIRS[0].hr, 2))


def test_rgb_is_scored_by_protocol_c() -> None:
    found = bicubic_scores(RGB_PAIRS, 2)
    for pair in RGB_PAIRS:
        assert found[pair.name] == pytest.approx(score_bicubic(pair.hr, 2, "C").psnr)


def test_rgb_graph_is_scored_by_the_bytes_it_returns() -> None:
    nearest = finish(tiny_graph(2, 0, is_float=True, channels=3, gain=0.0))
    repeated = RGB_PAIRS[0].lr.repeat(2, axis=0).repeat(2, axis=1)
    expected = picture_psnr(repeated, RGB_PAIRS[0].hr, 2)
    assert graph_scores(nearest, RGB_PAIRS, 2)["a"] == pytest.approx(expected)


def test_rgb_network_is_compared_with_pytorch_and_answers_noise_sanely() -> None:
    network = tiny_rgb_network()
    exported = tiny_rgb_graph()
    assert check_torch_parity(network, exported) < 1e-5
    assert 0 <= check_response(exported) < 2
    assert check_bytes(with_float_io(exported), RGB_PAIRS, threads=1) <= 1


def test_rgb_tiles_equal_the_whole_frame(tmp_path: Path) -> None:
    bundle = make_rgb_bundle(tmp_path / "tiny.esr")
    assert check_tiled(bundle, "fp32", RGB_PAIRS, threads=1).levels <= 1


def test_picture_that_no_tile_would_cut_goes_on_mirrored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_rgb_bundle(tmp_path / "tiny.esr")
    manifest = bundle / "manifest.json"
    wide = manifest.read_text().replace(
        '"receptive_field_radius": 2', '"receptive_field_radius": 20'
    )
    manifest.write_text(wide)
    shapes: list[tuple[int, ...]] = []
    upscale = Upscaler.upscale

    def noted(self: Upscaler, image: np.ndarray) -> np.ndarray:
        shapes.append(image.shape)
        return upscale(self, image)

    monkeypatch.setattr(Upscaler, "upscale", noted)
    assert check_tiled(bundle, "fp32", RGB_PAIRS, threads=1).tile_size == 64
    assert shapes == [(88, 88, 3)] * 2
