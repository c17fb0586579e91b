from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures_support import write_pictures

from edge_sr.data.image_io import read_image
from edge_sr.evaluate import main
from edge_sr.metrics.protocols import score_luma_upscaler, score_rgb_upscaler
from edge_sr.models import build_model
from edge_sr.models.checkpoint import save_checkpoint
from edge_sr.models.fsrcnn import start_from_bicubic

SET5 = Path(__file__).parents[3] / "shared" / "data" / "bench" / "Set5"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "set", 2)


def results(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], dict[str, float]]:
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    return {(r["name"], r["precision"]): r for r in printed["results"]}


@pytest.mark.benchmark_pictures
@pytest.mark.skipif(not SET5.is_dir(), reason="needs the Set5 pictures")
@pytest.mark.parametrize(
    ("protocol", "scale", "psnr", "ssim"),
    [
        ("A", 2, 33.661, 0.9299),
        ("A", 3, 30.392, 0.8682),
        ("A", 4, 28.421, 0.8104),
        ("B", 2, 33.667, 0.9300),
        ("B", 3, 30.397, 0.8685),
        ("B", 4, 28.426, 0.8108),
        ("C", 2, 33.678, 0.9304),
        ("C", 3, 30.404, 0.8690),
        ("C", 4, 28.431, 0.8113),
    ],
)
def test_bicubic_rows_on_set5_are_the_published_ones(
    protocol: str, scale: int, psnr: float, ssim: float, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--bicubic", "--json", "--data", str(SET5), "--protocol", protocol]
    assert main([*options, "--scale", str(scale)]) == 0
    row = results(capsys)["bicubic", "fp32"]
    assert row["psnr"] == pytest.approx(psnr, abs=0.005)
    assert row["ssim"] == pytest.approx(ssim, abs=0.0001)


def test_checkpoint_row_stands_beside_bicubic(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = build_model("fsrcnn_residual", 2, d=8, s=4, m=1)
    start_from_bicubic(model)
    torch.nn.init.normal_(model.get_parameter("tail.weight"), std=1e-4)
    save_checkpoint(tmp_path / "s.safetensors", model, {})
    assert main([str(tmp_path / "s.safetensors"), "--data", str(data), "--json"]) == 0
    rows = results(capsys)
    assert rows["bicubic", "fp32"]["images"] == 2
    near = rows["bicubic", "fp32"]["psnr"]
    assert rows["fsrcnn_residual", "fp32"]["psnr"] == pytest.approx(near, abs=0.5)


def test_table_names_each_picture_and_the_mean(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--bicubic", "--data", str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["00.png", "01.png", "mean"]
    assert json.loads(lines[-1])["protocol"] == "B"


def test_wrong_scale_for_a_checkpoint_is_one_line(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path / "s.safetensors", build_model("fsrcnn", 3, d=8, s=4, m=1), {})
    assert main([str(tmp_path / "s.safetensors"), "--data", str(data), "--scale", "2"]) == 1
    assert "the model's scale is 3, not 2" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["none.safetensors", "none.onnx"])
def test_missing_model_is_one_line(
    name: str, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / name), "--data", str(data)]) == 1
    assert "none." in capsys.readouterr().err


def test_file_that_is_no_onnx_graph_is_one_line(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.onnx").write_bytes(b"nonsense")
    assert main([str(tmp_path / "x.onnx"), "--data", str(data)]) == 1
    assert "not a graph ONNX Runtime can load" in capsys.readouterr().err


def test_table_puts_our_rows_among_the_published_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pictures(tmp_path / "set5", 1)
    assert main(["--table", "--data", str(data), "--scale", "3"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["set5", "x3"]
    scores = [float(line[line.index(".") - 2 :].split()[0]) for line in lines[1:]]
    assert scores == sorted(scores, reverse=True)
    pisr = next(line for line in lines if "FSRCNN (PISR)" in line)
    assert pisr.split()[2:5] == ["33.31", "0.9179", "B"]
    ours = [line.split()[1] for line in lines if line.startswith(">")]
    assert {"fsrcnn_residual-x3", "fsrcnn_residual_large-x3", "bicubic"} <= set(ours)
    assert len(json.loads(last)["published"]) == len(lines) - 1 - len(ours)


def test_table_of_a_set_that_no_paper_scores_is_refused(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--table", "--data", str(data)]) == 1
    error = capsys.readouterr().err
    assert "no paper has scores of set; name the folder Set5, B100" in error


@pytest.mark.parametrize("name", ["fsrcnn_residual", "idn_rgb"])
def test_self_ensemble_is_the_mean_over_the_symmetries(
    name: str, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(1)
    thin = {"d": 8, "s": 4, "m": 1} if name == "fsrcnn_residual" else {"width": 12, "blocks": 1}
    thin |= {"d": 4} if name == "idn_rgb" else {}
    model = build_model(name, 2, **thin).eval()
    save_checkpoint(tmp_path / "s.safetensors", model, {})
    options = [str(tmp_path / "s.safetensors"), "--data", str(data), "--self-ensemble", "--json"]
    assert main(options) == 0
    scored = json.loads(capsys.readouterr().out)
    found = {r["name"]: r["psnr"] for r in scored["per_image"] if r["image"] == "00.png"}

    def turned(batch: torch.Tensor, turn: int, *, back: bool = False) -> torch.Tensor:
        flip = batch if turn < 4 else batch.flip(-1)
        if back:
            turned_back = torch.rot90(batch, -turn, (-2, -1))
            return turned_back if turn < 4 else turned_back.flip(-1)
        return torch.rot90(flip, turn, (-2, -1))

    def upscale(lr: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(np.moveaxis(np.atleast_3d(lr), 2, 0)[None] / 255.0).float()
        with torch.no_grad():
            answers = [turned(model(turned(batch, k)), k, back=True) for k in range(8)]
        mean = torch.stack(answers).double().mean(0)[0].numpy() * 255
        return mean[0] if len(mean) == 1 else np.moveaxis(mean, 0, 2)

    image = read_image(data / "00.png")
    if name == "idn_rgb":
        expected = score_rgb_upscaler(image, 2, upscale).psnr
    else:
        expected = score_luma_upscaler(image, 2, "B", upscale).psnr
    assert found[f"{name} self-ensemble"] == pytest.approx(expected, abs=1e-4)
    assert found[f"{name} self-ensemble"] != pytest.approx(found[name], abs=1e-4)


def test_self_ensemble_of_a_bundle_is_refused(data: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["x.esr", "--data", str(data), "--self-ensemble"])
    assert stopped.value.code == 2
