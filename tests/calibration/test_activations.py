from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from bundle_support import tiny_graph
from pictures_support import synthetic_luma, write_pictures

from calibration import collect
from calibration.activations import collect_histograms
from calibration.observers import BINS
from calibration.table import CalibrationTable

FRAMES = [synthetic_luma(20, 24, seed=i) for i in range(3)]


@pytest.mark.parametrize("is_float", [False, True])
def test_histogram_equals_one_over_all_frames_at_once(is_float: bool) -> None:
    model = tiny_graph(2, 0, is_float=is_float)
    histogram = collect_histograms(model, ["r1"], FRAMES)["r1"]
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0])
    values = []
    for frame in FRAMES:
        padded = np.pad(frame.astype(np.float32), 1)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
        values.append(np.maximum(np.einsum("yxij,cij->cyx", windows, weight[:, 0]), 0).ravel())
    everything = np.concatenate(values)
    assert histogram.peak == pytest.approx(everything.max(), rel=1e-5)
    assert histogram.counts.sum() == everything.size
    expected = np.histogram(everything, BINS, range=(0, histogram.peak))[0]
    assert np.abs(np.cumsum(histogram.counts) - np.cumsum(expected)).max() <= 20


def test_unknown_tensor_and_no_frames_are_refused() -> None:
    model = tiny_graph(2, 0, is_float=True)
    with pytest.raises(ValueError, match="tensor nothing is not in the graph"):
        collect_histograms(model, ["nothing"], FRAMES)
    with pytest.raises(ValueError, match="no frames"):
        collect_histograms(model, ["r1"], [])


def test_table_round_trip_and_hostile_text() -> None:
    table = CalibrationTable("mse", {"a": 1.5}, "m", "f")
    assert CalibrationTable.from_json(table.to_json()) == table
    for text in ("", "{}", "[]", table.to_json().replace("1.5", "-1"), '{"observer": 3}'):
        with pytest.raises(ValueError, match=r"calibration table|positive number"):
            CalibrationTable.from_json(text)


def test_command_writes_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.onnx").write_bytes(tiny_graph(2, 0, is_float=False).SerializeToString())
    frames = str(write_pictures(tmp_path / "lr", 5))
    options = ["--onnx", str(tmp_path / "m.onnx"), "--out", str(tmp_path / "t.json")]
    assert collect.main([*options, "--frames", frames, "--observer", "mse"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 4
    table = CalibrationTable.from_json((tmp_path / "t.json").read_text())
    assert table.observer == "mse"
    assert "r1" in table.ranges


def test_command_refuses_what_is_no_onnx_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\xff\xff not onnx")
    options = ["--onnx", str(tmp_path / "m.onnx"), "--out", str(tmp_path / "t.json")]
    assert collect.main(options) == 1
    assert "is not an ONNX file" in capsys.readouterr().err
    assert not (tmp_path / "t.json").exists()
