from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_sr.evaluate import main
from edge_sr.models.checkpoint import (
    WEIGHTS,
    load_checkpoint,
    shipped_checkpoint,
    shipped_for_int8,
)

SHIPPED = sorted(WEIGHTS.glob("*.safetensors"))
SET5 = Path(__file__).parents[3] / "shared" / "data" / "bench" / "Set5"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_student_loads_and_its_card_is_complete(path: Path) -> None:
    model, card = load_checkpoint(path)
    is_for_int8 = path.stem.endswith("-int8")
    find = shipped_for_int8 if is_for_int8 else shipped_checkpoint
    student = path.stem.rsplit("-x", 1)[0]
    assert path == find(model.spec.scale, student)
    assert student.removesuffix("-h264") == model.spec.name
    assert bool(sum(card["training"].get("h264_crf", []))) == student.endswith("-h264")
    assert ("activation_ranges" in card) == is_for_int8
    assert card["licence"] == "CC BY-SA 4.0"
    assert card["training_pictures"]
    assert card["training"].keys() >= {"method", "iterations", "seed", "learning_rate", "seconds"}
    assert card["scores"].keys() >= {"protocol", "Set5", "Set14", "B100"}


@pytest.mark.parametrize(
    ("scale", "trained_for_int8"),
    [(2, False), (2, True), (3, False), (3, True), (4, False), (4, True)],
)
def test_default_student_is_residual_and_beats_bicubic_on_its_card(
    scale: int, trained_for_int8: bool
) -> None:
    path = shipped_for_int8(scale) if trained_for_int8 else shipped_checkpoint(scale)
    assert path is not None
    _, card = load_checkpoint(path)
    assert (card["model"], card["scale"]) == ("fsrcnn_residual", scale)
    for pictures, least in (("Set5", 1.8), ("Set14", 1.2), ("B100", 0.8)):
        scores = card["scores"][pictures]
        assert scores["fsrcnn_residual"]["psnr"] > scores["bicubic"]["psnr"] + least


@pytest.mark.benchmark_pictures
@pytest.mark.skipif(not SET5.is_dir(), reason="needs the Set5 pictures")
def test_default_student_beats_bicubic_by_3_db_as_its_card_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--scale", "2", "--data", str(SET5), "--json"]) == 0
    bicubic, student = json.loads(capsys.readouterr().out)["results"]
    card = json.loads(shipped_checkpoint(2).with_suffix(".json").read_text())
    assert student["psnr"] >= bicubic["psnr"] + 3.0
    assert student["psnr"] == pytest.approx(
        card["scores"]["Set5"]["fsrcnn_residual"]["psnr"], abs=2e-3
    )
