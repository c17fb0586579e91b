"""Bundles of RGB networks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from build_support import last_json, quick_latency, words_for
from network_support import write_rgb_checkpoint
from pictures_support import synthetic_rgb, write_pictures

from edge_sr.data.image_io import read_image
from edge_sr.data.resample import upscale
from edge_sr.metrics.protocols import score_bicubic
from export import build
from runtime import Upscaler
from runtime.errors import UnsupportedError
from runtime.manifest import read_manifest

RGB_WORDS = ["--max-drop", "int8=1,fp16=0.1", "--threads", "1", "--json"]


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with quick_latency():
        yield


def test_rgb_network_is_built_in_every_precision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = write_rgb_checkpoint(tmp_path)
    pictures = write_pictures(tmp_path / "pictures", 4, height=80, width=96)
    out, models = tmp_path / "colour.esr", tmp_path / "models"
    words = [*words_for(checkpoint, pictures, out), *RGB_WORDS, "--triton", str(models)]
    assert build.main([*words, "--precision", "fp32,fp16,int8"]) == 0
    assert last_json(capsys)["native"]["reason"].startswith("it takes RGB")
    manifest = read_manifest(out)
    assert (manifest.channels, manifest.tileable) == ("rgb", True)
    assert manifest.precisions == ("fp32", "fp16", "int8")
    for path in out.glob("*.onnx"):
        graph = onnx.load(path).graph
        for end in (graph.input[0], graph.output[0]):
            assert end.type.tensor_type.shape.dim[1].dim_value == 3
    lr = synthetic_rgb(40, 44)
    expected = np.clip(np.rint(upscale(lr.astype(np.float64), 2)), 0, 255)
    for precision in manifest.precisions:
        with Upscaler.open(out, precision=precision, threads=1) as upscaler:
            sr = upscaler.upscale(lr)
        assert np.abs(sr[2:-2, 2:-2] - expected[2:-2, 2:-2]).mean() < 6
    report = json.loads((out / "report.json").read_text())
    assert report["channels"] == "rgb"
    assert report["int8_layers"] == {"quantized": 9, "convolutions": 10}
    assert report["bicubic"]["per_picture"]["03.png"] == pytest.approx(
        score_bicubic(read_image(pictures / "03.png"), 2, "C").psnr
    )
    titles = [check["name"] for check in report["checks"]]
    assert sum("tiles of" in title for title in titles) == 3
    page = (out / "report.html").read_text()
    assert "times larger, RGB" in page
    assert '<td class="number">float</td>' in page


def test_network_of_the_whole_picture_is_built_and_never_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = write_rgb_checkpoint(tmp_path, "rcan_s")
    pictures = write_pictures(tmp_path / "pictures", 4, height=80, width=96)
    out = tmp_path / "whole.esr"
    words = [*words_for(checkpoint, pictures, out), "--max-drop", "int8=1", "--threads", "1"]
    assert build.main(words) == 0
    assert "tiles        not compared: the network looks at the whole" in capsys.readouterr().err
    assert read_manifest(out).tileable is False
    report = json.loads((out / "report.json").read_text())
    assert not any("tiles of" in check["name"] for check in report["checks"])
    assert any(step.startswith("tiles: not compared") for step in report["steps"])
    assert "it runs on whole frames only" in (out / "report.html").read_text()
    with pytest.raises(UnsupportedError, match="cannot be tiled"):
        Upscaler.open(out, tile_size=64)


def test_network_too_large_for_a_file_of_a_bundle_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("export.float_graph.LARGEST_FILE", 1 << 12)
    pictures = write_pictures(tmp_path / "pictures", 4, height=80, width=96)
    words = words_for(write_rgb_checkpoint(tmp_path), pictures, tmp_path / "large.esr")
    assert build.main([*words, "--json"]) == 1
    message = last_json(capsys)["error"]["message"]
    assert message.startswith("the weights of edsr_s-x2.safetensors are ")
    assert message.endswith("a bundle holds files of at most 0 MiB")
    assert not (tmp_path / "large.esr").exists()
