from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from edge_sr.models import build_model
from edge_sr.models.checkpoint import load_checkpoint, save_checkpoint, shipped_checkpoint
from edge_sr.models.reparam import use_training_form


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "student.safetensors"
    save_checkpoint(path, build_model("fsrcnn_residual", 3, d=8, s=4, m=1), {"note": "test"})
    return path


def test_checkpoint_round_trip_keeps_weights_and_options(tmp_path: Path) -> None:
    model = use_training_form(build_model("fsrcnn_residual", 2, d=8, s=4, m=1, shared_prelu=False))
    save_checkpoint(tmp_path / "a.safetensors", model, {"seed": 3})
    loaded, sidecar = load_checkpoint(tmp_path / "a.safetensors")
    lr = torch.rand(1, 1, 8, 8)
    torch.testing.assert_close(loaded(lr), model(lr))
    assert (sidecar["scale"], sidecar["seed"], sidecar["options"]["d"]) == (2, 3, 8)
    assert isinstance(loaded.tail, torch.nn.ConvTranspose2d)


def test_truncated_checkpoint_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:100])
    with pytest.raises(ValueError, match="does not match its sidecar"):
        load_checkpoint(saved)


def test_missing_sidecar_is_named(saved: Path) -> None:
    saved.with_suffix(".json").unlink()
    with pytest.raises(FileNotFoundError, match=r"student\.json is missing"):
        load_checkpoint(saved)


def test_sidecar_of_another_model_is_refused(saved: Path) -> None:
    sidecar = json.loads(saved.with_suffix(".json").read_text())
    sidecar["options"]["d"] = 9
    saved.with_suffix(".json").write_text(json.dumps(sidecar))
    with pytest.raises(ValueError, match="is not a checkpoint of this toolkit"):
        load_checkpoint(saved)


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"'])
def test_damaged_sidecar_is_refused(saved: Path, text: str) -> None:
    saved.with_suffix(".json").write_text(text)
    with pytest.raises(ValueError, match=r"student\.json"):
        load_checkpoint(saved)


def test_shipped_checkpoint_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(ValueError, match="no student nothing-x2 is shipped"):
        shipped_checkpoint(2, "nothing")
