"""From pictures to an upscaled picture and clip, through every package, with a tiny budget."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from native_support import runs_bf16
from pictures_support import write_pictures

from edge_sr import evaluate, train
from edge_sr.data.image_io import read_image
from export import build
from runtime import Upscaler, upscale


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    data = write_pictures(folder / "pictures", 8, height=96, width=96)
    options = "--iterations 60 --teacher-iterations 20 --patch-size 16 --batch-size 4 --threads 1"
    run = ["--data", str(data), "--out", str(folder / "run"), "--held-out", "1", *options.split()]
    assert train.main(run) == 0
    out = folder / "tiny.esr"
    student = str(folder / "run" / "student.safetensors")
    options = "--precision fp32,fp16,int8 --max-drop int8=1.0,fp16=0.1"
    built = ["--checkpoint", student, "--calibration", str(data), "--out", str(out)]
    assert build.main([*built, *options.split()]) == 0
    return out


@pytest.mark.slow
def test_bundle_scores_at_every_precision(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bundle.parent / "pictures"
    assert evaluate.main([str(bundle), "--data", str(data), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    psnr = {r["precision"]: r["psnr"] for r in results if r["name"] == "fsrcnn_residual"}
    assert set(psnr) == {"fp32", "fp16", "int8"} | ({"bf16"} if runs_bf16() else set())
    assert max(psnr.values()) - min(psnr.values()) < 1.0


@pytest.mark.slow
def test_tiled_picture_equals_the_whole(bundle: Path, tmp_path: Path) -> None:
    picture = sorted((bundle.parent / "pictures").iterdir())[0]
    command = [str(picture), str(tmp_path / "a.png"), "--bundle", str(bundle)]
    assert upscale.main([*command, "--tile-size", "40"]) == 0
    with Upscaler.open(bundle) as upscaler:
        whole = upscaler.upscale(read_image(picture))
    difference = np.abs(read_image(tmp_path / "a.png").astype(int) - whole.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 1e-4
