"""Files in each published layout, converted: our network computes what the published one does."""

from __future__ import annotations

import json
import os
import sys
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import published_networks as published
import pytest
import torch
from caffe_writer import caffemodel
from safetensors.torch import save_file
from torch import Tensor, nn

from edge_sr.convert import main
from edge_sr.evaluate import main as evaluate
from edge_sr.models import build_model
from edge_sr.models.checkpoint import load_checkpoint
from edge_sr.published.network import LAYOUTS, _model_name

SET5 = Path(__file__).parents[3] / "shared" / "data" / "bench" / "Set5"
IDN_CAFFE = os.environ.get("EDGE_SR_IDN_CAFFE")

# A central directory whose only member needs a later version of zip.
FUTURE_ZIP = b"PK\x01\x02\x14\0\xff" + bytes(39) + b"PK\x05\x06" + bytes(4)
FUTURE_ZIP += b"\x01\0\x01\0" + (46).to_bytes(4, "little") + (4).to_bytes(4, "little") + bytes(2)

Reference = Callable[[int], nn.Module]
TINY: dict[str, tuple[Reference, str]] = {
    "fsrcnn": (lambda s: published.FsrcnnPort(s, d=6, s=4, m=2), "fsrcnn"),
    "fsrcnn_pisr": (lambda s: published.FsrcnnPisr(s, d=6, s=4, m=2), "fsrcnn_l"),
    "vdsr": (lambda s: published.Vdsr(s, width=6, depth=4), "vdsr"),
    "carn": (lambda s: published.Carn(s, 4, mobile=False, many_scales=True), "carn"),
    "carn_one": (lambda s: published.Carn(s, 4, mobile=False, many_scales=False), "carn"),
    "carn_m": (lambda s: published.Carn(s, 8, mobile=True, many_scales=True), "carn_m"),
    "carn_m_one": (lambda s: published.Carn(s, 8, mobile=True, many_scales=False), "carn_m"),
    "edsr": (lambda s: published.edsr(s, 6, 4, factor=1.0), "edsr_s"),
    "edsr_t": (lambda s: published.edsr(s, 6, 5, factor=0.1), "edsr_t"),
    "rcan": (lambda s: published.rcan(s, 8, groups=3, blocks=2, reduction=8), "rcan_s"),
    "san": (lambda s: published.San(s, 8, 3, 2, reduction=8, inner=2), "san_t"),
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def save(reference: nn.Module, path: Path, form: str) -> Path:
    """The reference's weights in a file of one form."""
    state = reference.state_dict()
    if form == "npz":
        np.savez_compressed(path, **{k: v.numpy() for k, v in state.items()})
    elif form == "safetensors":
        save_file({k: v.contiguous() for k, v in state.items()}, path)
    elif form == "legacy":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    elif form == "parallel":
        torch.save({f"module.{k}": v for k, v in state.items()}, path)
    elif form == "training":
        optimizer = torch.optim.Adam(reference.parameters())
        sum(p.sum() for p in reference.parameters()).backward()
        optimizer.step()
        content = {"epoch": 3, "state_dict": reference.state_dict()}
        torch.save(content | {"optimizer_dict": optimizer.state_dict()}, path)
    elif form in ("module", "legacy_module"):
        content = {"epoch": 50, "model": reference}
        torch.save(content, path, _use_new_zipfile_serialization=form == "module")
    else:
        torch.save(state, path)
    return path


def convert(source: Path, scale: int, model: str | None, *options: str) -> tuple[nn.Module, Any]:
    out = source.with_name("converted.safetensors")
    words = [str(source), "--out", str(out), "--scale", str(scale), *options]
    assert main([*words, *(["--model", model] if model else [])]) == 0
    network, sidecar = load_checkpoint(out)
    return network, sidecar


def assert_same(network: nn.Module, reference: nn.Module, channels: int, shift: int = 0) -> None:
    lr = torch.rand(2, channels, 11, 14)
    with torch.no_grad():
        ours, theirs = network(lr)[:, :, shift:, shift:], reference(lr)
    assert theirs.std() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def lively(reference: nn.Module) -> nn.Module:
    """Slopes that differ, and a tail that is neither silent nor far from [0, 1]."""
    with torch.no_grad():
        for module in reference.modules():
            if isinstance(module, nn.PReLU):
                module.weight.uniform_(-0.5, 0.5)
    return reference.eval()


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", TINY)
def test_converted_network_computes_what_the_published_one_does(
    tmp_path: Path, name: str, scale: int
) -> None:
    make, model = TINY[name]
    reference = lively(make(scale))
    network, sidecar = convert(save(reference, tmp_path / "x.pth", "zip"), scale, model)
    assert (sidecar["model"], sidecar["scale"]) == (model, scale)
    assert_same(network, reference, network.spec.samples)


@pytest.mark.parametrize(
    "form", ["legacy", "npz", "safetensors", "parallel", "training", "module", "legacy_module"]
)
@pytest.mark.parametrize("name", ["vdsr", "fsrcnn", "carn_m"])
def test_form_of_the_file_does_not_matter(tmp_path: Path, name: str, form: str) -> None:
    make, model = TINY[name]
    reference = lively(make(2))
    suffix = {"npz": ".npz", "safetensors": ".safetensors"}.get(form, ".pth")
    network, _ = convert(save(reference, tmp_path / f"x{suffix}", form), 2, model)
    assert_same(network, reference, network.spec.samples)


def test_module_of_a_class_that_is_not_here_is_read(tmp_path: Path) -> None:
    """As published VDSR files are: their classes are those of somebody's script."""
    script = types.ModuleType("somebodys_script")
    script.Vdsr = type("Vdsr", (published.Vdsr,), {"__module__": "somebodys_script"})
    sys.modules["somebodys_script"] = script
    try:
        reference = script.Vdsr(2, 6, 4)
        source = save(reference, tmp_path / "x.pth", "legacy_module")
    finally:
        del sys.modules["somebodys_script"]
    network, sidecar = convert(source, 2, "vdsr")
    assert sidecar["options"] == {"width": 6, "depth": 4, "bias": False}
    assert_same(network, reference, 1)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_idn_of_caffe_starts_scale_minus_one_rows_further_down(tmp_path: Path, scale: int) -> None:
    reference = published.IdnCaffe(scale, width=12, d=4, blocks=2).eval()
    source = tmp_path / "IDN.caffemodel"
    source.write_bytes(caffemodel(reference.state_dict()))
    network, sidecar = convert(source, scale, "idn")
    assert sidecar["options"]["tail"] == "deconvolution_last"
    assert_same(network, reference, 1, shift=scale - 1)


@pytest.mark.parametrize("white", [1, 255])
def test_mean_shift_that_was_trained_along_is_kept(tmp_path: Path, white: int) -> None:
    reference = published.edsr(2, 6, 4, factor=1.0, white=white)
    with torch.no_grad():
        for layer in (reference.sub_mean, reference.add_mean):
            layer.weight += 0.01 * torch.randn(3, 3, 1, 1)
            layer.bias += 0.01 * white * torch.randn(3)
    network, _ = convert(save(reference, tmp_path / "x.pt", "zip"), 2, "edsr_s")
    assert (network.mean.flatten() - 255 * torch.tensor(published.MEAN)).abs().max() > 0.1
    assert_same(network, reference, 3)


def test_carn_of_another_mean_colour_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = changed(tmp_path, lambda s: s["sub_mean.shifter.bias"].fill_(-0.5), "carn")
    assert "its mean colour is [0.5, 0.5, 0.5]" in refusal(source, capsys, "--model", "carn")


def test_network_for_samples_up_to_one_is_rescaled(tmp_path: Path) -> None:
    reference = published.edsr(3, 6, 4, factor=1.0, white=1)
    network, _ = convert(save(reference, tmp_path / "x.pt", "zip"), 3, "edsr_s")
    torch.testing.assert_close(network.mean.flatten(), 255 * torch.tensor(published.MEAN))
    assert_same(network, reference, 3)


def test_unchanged_weights_keep_their_bits(tmp_path: Path) -> None:
    reference = published.edsr(2, 6, 4, factor=1.0)
    network, _ = convert(save(reference, tmp_path / "x.pt", "zip"), 2, "edsr_s")
    ours = network.state_dict()
    for mine, theirs in (("head", "head.0"), ("tail", "tail.1"), ("body_end", "body.4")):
        for leaf in ("weight", "bias"):
            assert torch.equal(ours[f"{mine}.{leaf}"], reference.state_dict()[f"{theirs}.{leaf}"])


@pytest.mark.parametrize("blocks", [4, 5, 6])
def test_fakd_form_of_edsr(tmp_path: Path, blocks: int) -> None:
    """FAKD holds the body in thirds."""
    reference = published.edsr(2, 6, blocks, factor=1.0)
    starts = [blocks // 3, 2 * blocks // 3]

    def fakd(name: str) -> str:
        part, _, rest = name.partition(".")
        if part != "body":
            return name
        index, _, rest = rest.partition(".")
        third = sum(int(index) >= start for start in starts)
        return f"body{third + 1}.{int(index) - [0, *starts][third]}.{rest}"

    torch.save({fakd(k): v for k, v in reference.state_dict().items()}, tmp_path / "x.pt")
    network, sidecar = convert(tmp_path / "x.pt", 2, "edsr_s")
    assert sidecar["source"]["layout"] == "FAKD (Vincent-Hoo)"
    assert_same(network, reference, 3)


def test_fakd_form_of_rcan(tmp_path: Path) -> None:
    reference = published.rcan(2, 8, groups=3, blocks=2, reduction=8)
    names = {
        k: k.replace("body.3.", "body_tail.", 1)
        if k.startswith("body.3.")
        else "body_group" + k.removeprefix("body.")
        if k.startswith("body.")
        else k
        for k in reference.state_dict()
    }
    torch.save({names[k]: v for k, v in reference.state_dict().items()}, tmp_path / "x.pt")
    network, _ = convert(tmp_path / "x.pt", 2, "rcan_s")
    assert_same(network, reference, 3)


def test_every_named_network_is_told_by_its_options() -> None:
    named = {}
    for layout in LAYOUTS:
        for name in layout.models:
            with torch.device("meta"):
                options = build_model(name, 2).options
            named[name] = _model_name(layout, options, None)
    assert all(name == told for name, told in named.items())
    networks = "fsrcnn fsrcnn_l vdsr idn carn carn_m edsr_s edsr_t rcan_s rcan_t san_s san_t"
    assert " ".join(named) == networks


def test_full_size_file_needs_no_model_and_sidecar_names_its_source(tmp_path: Path) -> None:
    reference = lively(published.FsrcnnPort(2, d=56, s=12, m=4))
    network, sidecar = convert(save(reference, tmp_path / "fsrcnn_x2.pth", "zip"), 2, None)
    assert sidecar["model"] == "fsrcnn"
    assert sidecar["source"]["file"] == "fsrcnn_x2.pth"
    assert len(sidecar["source"]["sha256"]) == 64
    assert "not known" in sidecar["source"]["licence"]
    assert sum(p.numel() for p in network.parameters()) == 12_809
    assert_same(network, reference, 1)


def refusal(source: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    out = source.with_name("out.safetensors")
    words = [str(source), "--out", str(out), "--scale", "2", *options]
    assert main(words) == 1
    assert not out.exists()
    assert not out.with_suffix(".json").exists()
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\n<HTML><head>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "a PNG picture"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "an HDF5 file"),
        (bytes(257) + b"ustar\0" + bytes(250), "a tar archive"),
        (b"\x1f\x8b\x08" + bytes(50), "a gzip archive"),
        (b"PK\x03\x04" + bytes(50), "zip archive is damaged"),
        (b"PK\x03\x04" + FUTURE_ZIP, "zip archive is damaged (zip file version 25.5)"),
        (b"hello, this is no network", "no file of PyTorch"),
        (b"", "it has 0 bytes"),
        (b"\x80\x04K\x01.", "none that torch.save wrote"),
        (b"\x10\0\0\0\0\0\0\0{" + bytes(15), "a damaged safetensors file"),
    ],
)
def test_file_of_another_kind_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, what: str
) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    assert what in refusal(tmp_path / "weights.pth", capsys)


def test_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing.pth" in refusal(tmp_path / "nothing.pth", capsys)


def test_weights_of_another_network_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(TINY["carn"][0](2), tmp_path / "x.pth", "zip")
    message = refusal(source, capsys, "--model", "idn")
    assert "it looks like weights of CARN-pytorch (nmhkahn), for carn, not for idn" in message


def test_unknown_layout_lists_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"conv_first.weight": torch.ones(3)}, tmp_path / "x.pth")
    message = refusal(tmp_path / "x.pth", capsys)
    assert "its 1 tensors (conv_first.weight) are those of no known layout" in message
    assert "IDN-Caffe" in message


def changed(tmp_path: Path, change: Callable[[dict[str, Tensor]], Any], name: str = "edsr") -> Path:
    state = dict(TINY[name][0](2).state_dict())
    change(state)
    torch.save(state, tmp_path / "x.pt")
    return tmp_path / "x.pt"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda s: s.pop("body.1.body.2.bias"), "missing are body.1.body.2.bias"),
        (lambda s: s.update(extra=torch.ones(1)), "left over are extra"),
        (
            lambda s: s.update({"body.1.body.2.bias": torch.ones(7)}),
            "of another shape: body.1.body.2.bias is 7, should be 6",
        ),
        (lambda s: s["body.1.body.2.bias"].fill_(torch.nan), "not finite numbers"),
        (lambda s: s.pop("sub_mean.weight"), "its tensor sub_mean.weight is missing"),
        (lambda s: s["sub_mean.weight"].zero_(), "sub_mean cannot be inverted"),
        (lambda s: s.update({"head.0.weight": torch.tensor(1.0)}), "a single number"),
        (lambda s: s.update({"head.0.weight": torch.ones(6, 1, 3, 3)}), "mean shift"),
        (lambda s: s.update({"head.0.weight": torch.ones(6)}), "mean shift"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[..., Any], what: str
) -> None:
    assert what in refusal(changed(tmp_path, change), capsys, "--model", "edsr_s")


def test_integers_are_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = changed(tmp_path, lambda s: s.update({"head.0.bias": torch.ones(6).int()}))
    assert "head.0.bias holds values" in refusal(source, capsys, "--model", "edsr_s")


def test_scale_that_the_weights_contradict_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("edsr", "carn_m_one"):
        source = save(TINY[name][0](4), tmp_path / "x.pth", "zip")
        assert "it looks like weights for x4, not x2" in refusal(source, capsys)


def test_size_without_a_name_asks_for_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(TINY["edsr"][0](2), tmp_path / "x.pth", "zip")
    message = refusal(source, capsys)
    assert "blocks 4, width 6, which has no name; choose --model of edsr_s edsr_t" in message


def test_pisr_teacher_is_left_over_encoder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = published.FsrcnnPisr(2, 6, 4, 2).state_dict()
    state["backbone.network.encoder.0.0.weight"] = torch.ones(56, 1, 5, 5)
    torch.save({"state_dict": state}, tmp_path / "x.pth")
    message = refusal(tmp_path / "x.pth", capsys, "--model", "fsrcnn")
    assert "left over are encoder.0.0.weight" in message


def test_one_of_several_networks_is_chosen_by_prefix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (lively(TINY["fsrcnn"][0](2)) for _ in range(2))
    content = {"params": first.state_dict(), "params_ema": second.state_dict()}
    torch.save(content, tmp_path / "x.pth")
    message = refusal(tmp_path / "x.pth", capsys, "--model", "fsrcnn")
    assert "'params.', 'params_ema.'; choose one with --prefix" in message
    network, _ = convert(tmp_path / "x.pth", 2, "fsrcnn", "--prefix", "params_ema.")
    assert_same(network, second, 1)


def test_compressed_arrays_that_unpack_to_gigabytes_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("a.npy", b"\0" * 1000)
    data = bytearray((tmp_path / "x.npz").read_bytes())
    at = data.rindex(b"PK\x01\x02") + 24
    data[at : at + 4] = (2 << 30).to_bytes(4, "little")
    (tmp_path / "x.npz").write_bytes(data)
    assert "it unpacks to 2147483648 bytes" in refusal(tmp_path / "x.npz", capsys)


def test_arrays_of_objects_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{"a": 1}], dtype=object))
    assert "damaged or hold objects" in refusal(tmp_path / "x.npz", capsys)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    reference = lively(TINY["fsrcnn"][0](2)).to(dtype)
    source = save(reference, tmp_path / "x.pth", "zip")
    network, _ = convert(source, 2, "fsrcnn")
    assert_same(network, reference.float(), 1)


def test_source_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = save(TINY["fsrcnn"][0](2), tmp_path / "x.safetensors", "safetensors")
    before = source.read_bytes()
    assert main([str(source), "--out", str(source), "--scale", "2", "--model", "fsrcnn"]) == 1
    assert "is the file that is read" in capsys.readouterr().err
    assert source.read_bytes() == before


def test_last_line_is_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = save(TINY["vdsr"][0](2), tmp_path / "x.pth", "zip")
    words = [str(source), "--out", str(tmp_path / "o.safetensors"), "--scale", "2"]
    assert main([*words, "--model", "vdsr"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["model"] == "vdsr"
    assert result["parameters"] == 2 * 54 + 2 * 324


@pytest.mark.published_weights
@pytest.mark.benchmark_pictures
@pytest.mark.skipif(IDN_CAFFE is None, reason="EDGE_SR_IDN_CAFFE, a folder, is not set")
@pytest.mark.skipif(not SET5.is_dir(), reason="needs the Set5 pictures")
@pytest.mark.parametrize(
    ("scale", "psnr", "ssim"), [(2, 37.83, 0.9600), (3, 34.11, 0.9253), (4, 31.81, 0.8902)]
)
def test_idn_of_the_authors_gives_the_papers_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scale: int, psnr: float, ssim: float
) -> None:
    """IDN (CVPR 2018), table 2; for x4 the paper prints 31.82/0.8903."""
    assert IDN_CAFFE is not None
    source = Path(IDN_CAFFE) / f"IDN_x{scale}.caffemodel"
    out = tmp_path / "idn.safetensors"
    assert main([str(source), "--scale", str(scale), "--out", str(out)]) == 0
    assert evaluate([str(out), "--data", str(SET5), "--protocol", "A", "--json"]) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[-1])["results"][1]
    assert row["psnr"] == pytest.approx(psnr, abs=0.005)
    assert row["ssim"] == pytest.approx(ssim, abs=0.0001)
