from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from build_support import last_json, quick_latency, words_for
from native_support import runs_bf16
from network_support import tiny_network, write_tiny_checkpoint
from pictures_support import synthetic_luma, write_pictures

from export import build
from export.graph import constants
from export.onnx_export import export_onnx
from runtime import Upscaler
from runtime.manifest import read_manifest, verify_file


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with quick_latency():
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "pictures", 5, height=72, width=80)


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, pictures: Path) -> Path:
    out = checkpoint.parent / "tiny.esr"
    words = ["--checkpoint", str(checkpoint), "--calibration", str(pictures), "--out", str(out)]
    options = "--precision fp32,fp16,int8 --max-drop int8=0.5,fp16=0.1 --threads 1 --json"
    assert build.main([*words, *options.split()]) == 0
    return out


def test_bundle_holds_both_forms_of_every_precision(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    graphs = {f"model.{p}{f}.onnx" for p in ("fp32", "fp16", "int8") for f in ("", ".f32")}
    others = {"model.native", "calibration.json", "report.json", "report.html"}
    assert set(manifest.files) == graphs | others
    offered = ("bf16",) if runs_bf16() else ()
    assert manifest.precisions == ("fp32", "fp16", *offered, "int8")
    assert manifest.default_precision == "int8"
    assert manifest.model == "fsrcnn_residual"
    assert set(manifest.quality["int8"]) == {"psnr", "drop_db"}
    for name in manifest.files:
        verify_file(bundle, name, manifest)


def test_every_graph_keeps_the_promises_of_a_bundle(bundle: Path) -> None:
    for path in bundle.glob("*.onnx"):
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        assert (model.ir_version, model.opset_import[0].version) == (10, 20)
        kind = "FLOAT" if ".f32." in path.name else "UINT8"
        for value, name in ((model.graph.input[0], "lr"), (model.graph.output[0], "sr")):
            tensor = value.type.tensor_type
            assert value.name == name
            assert tensor.elem_type == onnx.TensorProto.DataType.Value(kind)
            assert [bool(dim.dim_param) for dim in tensor.shape.dim] == [True, False, True, True]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_bundle_upscales_in_the_runtime(bundle: Path, precision: str) -> None:
    lr = synthetic_luma(33, 47)
    with Upscaler.open(bundle, precision=precision, threads=1) as upscaler:
        eight_bit = upscaler.upscale(lr)
        sixteen_bit = upscaler.upscale(lr.astype(np.uint16) * 257)
    assert eight_bit.shape == (66, 94)
    assert np.abs(sixteen_bit / 257.0 - eight_bit).max() < 1.0


def test_network_without_a_native_form_is_built_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = export_onnx(tiny_network())
    for node in model.graph.node:
        if node.op_type == "PRelu":
            node.op_type = "LeakyRelu"
            del node.input[1:]
    onnx.save(model, tmp_path / "leaky.onnx")
    pictures = write_pictures(tmp_path / "large", 4, height=72, width=80)
    words = ["--onnx", str(tmp_path / "leaky.onnx"), "--calibration", str(pictures)]
    out = tmp_path / "leaky.esr"
    assert build.main([*words, "--out", str(out), "--precision", "fp32"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out.splitlines()[-1])
    assert result["native"]["packed"] is False
    reason = result["native"]["reason"]
    assert reason.startswith("LeakyRelu ")
    assert f"native       not packed: {reason}\n" in printed.err
    assert "model.native" not in read_manifest(out).files
    assert json.loads((out / "report.json").read_text())["native"] == result["native"]


def test_build_serves_what_it_built(
    checkpoint: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models, out = tmp_path / "models", tmp_path / "tiny.esr"
    words = [*words_for(checkpoint, pictures, out), "--triton", str(models), "--overwrite"]
    words += ["--max-drop", "int8=0.5", "--threads", "1"]
    for version in (1, 2):
        assert build.main(words) == 0
        lines = capsys.readouterr().out.splitlines()
        assert f"served as {models / 'fsrcnn_x2_int8'} version {version}" in lines[-2]
        assert json.loads(lines[-1])["triton"] == {
            "repository": str(models),
            "models": [
                {"name": name, "version": version, "config": ("written", "kept")[version - 1]}
                for name in ("fsrcnn_x2_fp32", "fsrcnn_x2_int8")
            ],
        }
    for precision in ("fp32", "int8"):
        served = models / f"fsrcnn_x2_{precision}" / "2" / "model.onnx"
        assert served.read_bytes() == (out / f"model.{precision}.onnx").read_bytes()
        session = onnxruntime.InferenceSession(served, providers=["CPUExecutionProvider"])
        lr = synthetic_luma(24, 40)
        (sr,) = session.run(["sr"], {"lr": np.stack([lr, lr[::-1]])[:, None]})
        with Upscaler.open(out, backend="onnxruntime", precision=precision) as upscaler:
            assert np.array_equal(sr[0, 0], upscaler.upscale_luma(lr))
            assert np.array_equal(sr[1, 0], upscaler.upscale_luma(lr[::-1]))


def test_repository_that_fails_late_leaves_the_bundle_and_says_so(
    checkpoint: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    models, out = tmp_path / "models", tmp_path / "tiny.esr"

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("export.triton._add", full)
    words = [*words_for(checkpoint, pictures, out), "--precision", "fp32", "--json"]
    assert build.main([*words, "--triton", str(models)]) == 1
    message = last_json(capsys)["error"]["message"]
    assert message == (
        f"bundle {out} is complete, but cannot write the model repository {models}: "
        "No space left on device"
    )
    assert read_manifest(out).precisions[0] == "fp32"
    assert not models.exists()


def test_report_matches_the_manifest(bundle: Path) -> None:
    report = json.loads((bundle / "report.json").read_text())
    manifest = read_manifest(bundle)
    for name, quality in manifest.quality.items():
        assert report["quality"][name]["psnr"] == pytest.approx(quality["psnr"], abs=1e-4)
    assert report["int8_layers"] == {"quantized": 5, "convolutions": 5}
    assert report["provenance"] == manifest.provenance
    titles = " ".join(check["name"] for check in report["checks"])
    for part in ("PyTorch", "rewritten", "tiles", "PSNR drop", "bytes"):
        assert part in titles
    assert "<html" in (bundle / "report.html").read_text()


def test_same_inputs_give_the_same_graphs(
    bundle: Path, checkpoint: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "again.esr"
    options = "--precision fp32,fp16,int8 --max-drop int8=0.5,fp16=0.1 --threads 1 --json"
    assert build.main([*words_for(checkpoint, pictures, out), *options.split()]) == 0
    for name in ("model.fp32.onnx", "model.fp16.onnx", "model.int8.onnx", "calibration.json"):
        assert (out / name).read_bytes() == (bundle / name).read_bytes()


def test_outcome_ends_with_the_artefact_and_one_json_line(
    checkpoint: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shown.esr"
    words = [*words_for(checkpoint, pictures, out), "--max-drop", "int8=0.5", "--threads", "1"]
    assert build.main([*words, "--no-html"]) == 0
    assert (out / "report.json").is_file()
    assert not (out / "report.html").exists()
    assert "report.html" not in read_manifest(out).files
    printed = capsys.readouterr()
    *table, artefact, line = printed.out.splitlines()
    assert table[0].split()[:2] == ["PSNR", "dB"]
    assert artefact.startswith(f"wrote {out}  ")
    assert "(gate 0.50)" in artefact
    result = json.loads(line)
    assert result["bundle"] == str(out)
    assert set(result["precisions"]) - {"bf16"} == {"fp32", "int8"}
    assert set(result["quality"]["int8"]) == {"psnr", "drop_db"}
    assert result["native"] == {"packed": True, "layers": 5, "int8_layers": 5}
    assert "native       packed, 5 layers, 5 in int8\n" in printed.err
    assert printed.err.startswith("model        fsrcnn_residual x2\n")


def test_int8_takes_the_weights_that_were_fine_tuned_for_it(
    checkpoint: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edge_sr.models.checkpoint import load_checkpoint, save_checkpoint
    from edge_sr.models.quantized import activation_names

    network, _ = load_checkpoint(checkpoint)
    tuned = tmp_path / "tuned.safetensors"
    words = words_for(checkpoint, pictures, tmp_path / "two.esr")
    words += ["--int8-checkpoint", str(tuned), "--max-drop", "int8=60"]
    assert build.main(words) == 1
    assert "tuned.safetensors does not exist" in capsys.readouterr().err
    save_checkpoint(tuned, network, {})
    assert build.main(words) == 1
    assert "was not fine-tuned by train --method qat" in capsys.readouterr().err
    with torch.no_grad():
        network.tail.get_parameter("weight").mul_(0.5)
    ranges = dict.fromkeys(activation_names(network), 1.0)
    save_checkpoint(tuned, network, {"activation_ranges": ranges})
    assert build.main([*words, "--json"]) == 0
    report = json.loads((tmp_path / "two.esr" / "report.json").read_text())
    assert report["observer"] == "trained"
    assert report["provenance"]["int8_source"] == "tuned.safetensors"
    graphs = [onnx.load(tmp_path / "two.esr" / f"model.{name}.onnx") for name in ("fp32", "int8")]
    scales = [constants(graph.graph) for graph in graphs]
    tail = np.abs(scales[0]["tail.subpixel.weight"]).reshape(4, -1).max(axis=1)
    found = scales[1]["tail.subpixel.weight.scale"] * 127
    np.testing.assert_allclose(found, tail / 2, rtol=1e-5)
    other = write_tiny_checkpoint(tmp_path, scale=3)
    words[words.index(str(tuned))] = str(other)
    assert build.main([*words, "--overwrite"]) == 1
    assert "is another network than" in capsys.readouterr().err


def test_own_onnx_file_is_built_without_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(export_onnx(tiny_network(scale=3)), tmp_path / "mine.onnx")
    out = tmp_path / "mine.esr"
    pictures = write_pictures(tmp_path / "large", 4, height=96, width=99)
    words = ["--onnx", str(tmp_path / "mine.onnx"), "--calibration", str(pictures)]
    assert build.main([*words, "--out", str(out), "--precision", "fp32", "--json"]) == 0
    assert last_json(capsys)["scale"] == 3
    radius = tiny_network(scale=3).spec.receptive_field_radius
    assert read_manifest(out).receptive_field_radius == radius


def test_dry_run_stops_after_the_plan(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert build.main(["--checkpoint", str(checkpoint), "--dry-run", "--json"]) == 0
    result = last_json(capsys)
    assert result["bundle"] == "fsrcnn-x2-int8.esr"
    assert result["plan"]["max_drop"] == {"int8": 0.10}
    assert list(tmp_path.iterdir()) == []


def test_missed_gate_is_an_error_and_leaves_nothing(
    checkpoint: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = words_for(checkpoint, pictures, tmp_path / "new.esr")
    monkeypatch.setattr("export.int8.Measure.drop_of", lambda self, twin: 0.5)
    assert build.main([*words, "--json"]) == 1
    error = last_json(capsys)["error"]
    assert error["type"] == "ParityError"
    assert "more than the 0.1 allowed" in error["message"]
    assert list(tmp_path.iterdir()) == []


def test_interrupt_leaves_nothing_and_exits_with_130(
    checkpoint: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("export.assemble.measure_latency", interrupted)
    words = [*words_for(checkpoint, pictures, tmp_path / "new.esr"), "--precision", "fp32"]
    assert build.main(words) == 130
    assert list(tmp_path.iterdir()) == []
