from __future__ import annotations

import signal
from pathlib import Path

import onnx
import pytest
from bundle_support import tiny_graph

from edge_sr.models.spec import ModelSpec
from export.bundle import folder_bytes, manifest_of, staged_folder, write_file, write_graphs
from runtime import Upscaler
from runtime.manifest import read_manifest, verify_file, write_manifest

SPEC = ModelSpec("tiny", 2, "y", 2)


def stage_and_fail(out: Path, error: type[BaseException]) -> None:
    """Write a file, then raise."""
    with staged_folder(out) as folder:
        (folder / "a").write_text("half")
        raise error


def test_folder_appears_when_the_block_ends_well(tmp_path: Path) -> None:
    out = tmp_path / "new.esr"
    with staged_folder(out) as folder:
        (folder / "a").write_text("content")
        assert not out.exists()
    assert (out / "a").read_text() == "content"
    assert [path.name for path in tmp_path.iterdir()] == ["new.esr"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_after_an_error(error: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(error):
        stage_and_fail(tmp_path / "new.esr", error)
    assert list(tmp_path.iterdir()) == []


def test_termination_counts_as_an_interrupt(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), staged_folder(tmp_path / "new.esr"):
        signal.raise_signal(signal.SIGTERM)
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_older_bundle_is_replaced_as_a_whole(tmp_path: Path) -> None:
    out = tmp_path / "old.esr"
    out.mkdir()
    (out / "stale").write_text("old")
    with staged_folder(out) as folder:
        (folder / "a").write_text("new")
    assert [path.name for path in out.iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["old.esr"]


def test_older_bundle_stays_when_the_new_one_fails(tmp_path: Path) -> None:
    out = tmp_path / "old.esr"
    out.mkdir()
    (out / "kept").write_text("old")
    with pytest.raises(ValueError):  # noqa: PT011
        stage_and_fail(out, ValueError)
    assert (out / "kept").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["old.esr"]


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OSError, match=r"cannot write into .*file: "),
        staged_folder(tmp_path / "file" / "new.esr"),
    ):
        pass


def test_written_graphs_open_in_the_runtime(tmp_path: Path) -> None:
    files = write_graphs(tmp_path, "fp32", tiny_graph(2, 0, is_float=True))
    write_manifest(tmp_path, manifest_of(SPEC, ("fp32",), "fp32", files))
    manifest = read_manifest(tmp_path)
    assert set(manifest.files) == {"model.fp32.onnx", "model.fp32.f32.onnx"}
    for name in manifest.files:
        model = onnx.load_from_string(verify_file(tmp_path, name, manifest))
        onnx.checker.check_model(model, full_check=True)
    with Upscaler.open(tmp_path) as upscaler:
        assert upscaler.scale == 2


def test_manifest_carries_spec_and_measurements(tmp_path: Path) -> None:
    files = {"report.json": write_file(tmp_path, "report.json", b"{}")}
    quality = {"fp32": {"psnr": 30.0, "drop_db": 0.0}}
    manifest = manifest_of(SPEC, ("fp32",), "fp32", files, measured={"quality": quality})
    assert manifest.receptive_field_radius == 2
    assert manifest.quality == quality
    assert manifest.latency == {}
    assert folder_bytes(tmp_path) == 2
