from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pictures_support import write_pictures
from torch import Tensor

from edge_sr.models import build_model
from edge_sr.models import native_step as module
from edge_sr.models.fsrcnn import Fsrcnn, start_from_bicubic
from edge_sr.models.native_step import NativeStep, reason_against
from edge_sr.models.quantized import QuantizedFsrcnn, observed_ranges
from edge_sr.models.reparam import use_training_form
from edge_sr.train import main

_native = pytest.importorskip("edge_sr._native", reason="the training step is not built")
if not _native.has_fsrcnn_step():
    pytest.skip("this CPU has no AVX2", allow_module_level=True)

SHAPES = [
    ("fsrcnn_residual", 2, {}),
    ("fsrcnn_residual", 3, {}),
    ("fsrcnn", 4, {}),
    ("fsrcnn_residual", 2, {"d": 7, "s": 5, "m": 1}),
    ("fsrcnn_residual", 3, {"d": 6, "s": 3, "m": 0, "shared_prelu": False}),
    ("fsrcnn", 4, {"d": 32, "s": 16, "m": 2}),
]


def network(name: str, scale: int, options: dict[str, int]) -> Fsrcnn:
    torch.manual_seed(0)
    model = build_model(name, scale, **options)
    start_from_bicubic(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return use_training_form(model)


def gradients(model: Fsrcnn, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
    """Of a loss that uses the picture and the features."""
    model.zero_grad()
    sr, (features,) = model.picture_and_features(lr)
    ((sr - hr).square().mean() + 0.1 * features.square().mean()).backward()
    return {"picture": sr.detach(), "features": features.detach()} | {
        name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize(("name", "scale", "options"), SHAPES)
@pytest.mark.parametrize(("height", "width"), [(16, 48), (21, 32), (3, 16)])
def test_pictures_and_gradients_are_pytorchs(
    name: str, scale: int, options: dict[str, int], height: int, width: int
) -> None:
    model = network(name, scale, options)
    lr, hr = torch.rand(3, 1, height, width), torch.rand(3, 1, height * scale, width * scale)
    expected = gradients(model, lr, hr)
    model.native_step = NativeStep(model, (height, width), threads=2)
    got = gradients(model, lr, hr)
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(got[key], value, rtol=2e-4, atol=2e-6, msg=key)


@pytest.mark.parametrize("scale", [2, 3])
def test_quantised_gradients_are_pytorchs(scale: int) -> None:
    model = network("fsrcnn_residual", scale, {"d": 8, "s": 4, "m": 2})
    lr = torch.randint(0, 256, (2, 1, 20, 32)) / 255.0
    ranges = {k: 0.5 * v for k, v in observed_ranges(model, lr).items()}  # some are clipped
    quantized = QuantizedFsrcnn(model, ranges)

    def run() -> dict[str, Tensor]:
        quantized.zero_grad()
        sr = quantized(lr)
        sr.square().mean().backward()
        named = quantized.named_parameters()
        return {"picture": sr.detach()} | {n: p.grad for n, p in named if p.grad is not None}

    expected = run()
    model.native_step = NativeStep(model, (20, 32), threads=1)
    got = run()
    assert got.keys() == expected.keys()
    assert any(name.startswith("log_ranges") for name in got)
    for key, value in expected.items():
        # A sum that lies on a rounding border may fall to either side.
        assert float((got[key] - value).norm() / value.norm()) < 0.02, key


def test_threads_change_no_bit() -> None:
    model = network("fsrcnn_residual", 2, {})
    lr, hr = torch.rand(5, 1, 24, 32), torch.rand(5, 1, 48, 64)
    results = []
    for threads in (1, 3):
        model.native_step = NativeStep(model, (24, 32), threads)
        results.append(gradients(model, lr, hr))
    for key, value in results[0].items():
        assert torch.equal(value, results[1][key]), key


def test_terms_may_be_differentiated_one_after_the_other() -> None:
    model = network("fsrcnn_residual", 2, {"d": 8, "s": 4, "m": 1})
    model.native_step = NativeStep(model, (16, 16), threads=1)
    sr, (features,) = model.picture_and_features(torch.rand(2, 1, 16, 16))
    weight = model.shrink[0].weight
    terms = sr.mean(), features.mean()
    apart = [torch.autograd.grad(term, weight, retain_graph=True)[0] for term in terms]
    sum(terms).backward()
    torch.testing.assert_close(weight.grad, apart[0] + apart[1], rtol=1e-4, atol=1e-7)


def test_two_forward_passes_before_their_backward_passes() -> None:
    model = network("fsrcnn_residual", 2, {"d": 8, "s": 4, "m": 1})
    pictures = torch.rand(2, 1, 1, 16, 16)
    model.network(pictures[0]).sum().backward()
    expected = model.extract[0].weight.grad.clone()
    model.native_step = NativeStep(model, (16, 16), threads=1)
    first, _ = model.network(pictures[0]), model.network(pictures[1])
    model.zero_grad()
    first.sum().backward()
    torch.testing.assert_close(model.extract[0].weight.grad, expected, rtol=1e-4, atol=1e-5)


def test_gradient_to_the_picture_and_other_sizes_take_pytorch() -> None:
    model = network("fsrcnn_residual", 2, {"d": 8, "s": 4, "m": 1})
    model.native_step = NativeStep(model, (16, 16), threads=1)
    lr = torch.rand(1, 1, 16, 16, requires_grad=True)
    model(lr).sum().backward()
    assert lr.grad is not None
    assert float(lr.grad.abs().sum()) > 0
    assert model(torch.rand(1, 1, 9, 11)).shape == (1, 1, 18, 22)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        _native.FsrcnnStep(8, 4, 1, 4, -2, 2, 16, 40, 1)
    with pytest.raises(ValueError, match="positive"):
        _native.FsrcnnStep(8, 0, 1, 4, -2, 2, 16, 16, 1)
    step = _native.FsrcnnStep(8, 4, 1, 4, -2, 2, 16, 16, 1)
    short = torch.zeros(5).numpy()
    with pytest.raises(ValueError, match="parameters holds 5 floats"):
        step.forward(short, short, torch.zeros(1, 1, 16, 16).numpy(), short, short, None)


def test_avx2_gives_what_avx512_gives(tmp_path: Path) -> None:
    code = (
        "import sys, torch; from edge_sr.models import build_model;"
        "from edge_sr.models.native_step import NativeStep;"
        "from edge_sr.models.reparam import use_training_form;"
        "torch.manual_seed(0); model = use_training_form(build_model('fsrcnn_residual', 3));"
        "lr = torch.rand(2, 1, 20, 48); model.native_step = NativeStep(model, (20, 48), 1);"
        "model(lr).square().mean().backward();"
        "torch.save([model.native_step.isa, *(p.grad for p in model.parameters())], sys.argv[1])"
    )
    results = []
    for isa in ("avx2", "avx512"):
        out = tmp_path / isa
        environment = {**os.environ, "EDGE_SR_ISA": isa}
        subprocess.run([sys.executable, "-c", code, str(out)], check=True, env=environment)
        results.append(torch.load(out, weights_only=True))
    assert results[0][0] == "avx2"
    for ours, other in zip(results[0][1:], results[1][1:], strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-3, atol=1e-7)


def test_reasons_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model, cpu = build_model("fsrcnn_residual", 2), torch.device("cpu")
    assert reason_against(model, 48, cpu) is None
    assert "no multiple of 16" in str(reason_against(model, 40, cpu))
    assert "device is cuda" in str(reason_against(model, 48, torch.device("cuda")))
    monkeypatch.setattr(module, "_native", None)
    assert "not built" in str(reason_against(model, 48, cpu))


def test_training_says_what_computes_the_layers_and_learns_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pictures(tmp_path / "pictures", 3)
    options = "--method baseline --patch-size 16 --batch-size 4 --held-out 1 --iterations 20"
    common = [*options.split(), "--log-every", "5", "--evaluate-every", "10", "--device", "cpu"]
    logs = []
    for name, more, line in (
        ("native", [], "native step, "),
        ("torch", ["--no-native-step"], "PyTorch, so it was asked"),
    ):
        out = tmp_path / name
        assert main([*common, "--data", str(data), "--out", str(out), *more]) == 0
        assert f"student's layers: {line}" in capsys.readouterr().err
        logs.append(
            [
                float(x.split('"psnr": ')[1].rstrip("}"))
                for x in (out / "student" / "log.jsonl").read_text().splitlines()
                if "psnr" in x
            ]
        )
    assert logs[0] == pytest.approx(logs[1], abs=0.02)


def test_native_step_stays_float32_with_bf16(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "pictures", 3)
    options = "--method baseline --patch-size 16 --batch-size 4 --held-out 1 --iterations 4"
    common = [*options.split(), "--log-every", "2", "--evaluate-every", "4", "--device", "cpu"]
    for name, more in (("float", []), ("bf16", ["--bf16"])):
        out = tmp_path / name
        assert main([*common, "--data", str(data), "--out", str(out), *more]) == 0
    texts = [(tmp_path / name / "student" / "log.jsonl").read_text() for name in ("float", "bf16")]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("model", "options", "line"),
    [
        ("fsrcnn_residual", ["--bf16"], "native step, "),
        ("fsrcnn_residual_large", [], "native step, "),
        ("fsrcnn_residual_large", ["--bf16"], "PyTorch, at this width faster in bfloat16"),
    ],
)
def test_wide_students_take_pytorch_in_bfloat16(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    options: list[str],
    line: str,
) -> None:
    data = write_pictures(tmp_path / "pictures", 2)
    common = "--method baseline --patch-size 16 --batch-size 2 --held-out 1 --iterations 2"
    given = [*common.split(), "--data", str(data), "--out", str(tmp_path / "run"), "--model", model]
    assert main([*given, "--device", "cpu", *options]) == 0
    assert f"student's layers: {line}" in capsys.readouterr().err
