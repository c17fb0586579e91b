"""The README's figure: a halved clip, upscaled by the command, beside bicubic and the original."""

from __future__ import annotations

import json
from pathlib import Path

import before_after
import cv2
import numpy as np
import pytest
from clip_zoo import Spec, make

BUNDLE = Path(__file__).resolve().parents[2] / "runtime" / "bundles" / "fsrcnn-x2.esr"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clips"), Spec())


def command(clip: Path, folder: Path, *more: str) -> list[str]:
    options = [str(clip), "--bundle", str(BUNDLE), "--crop", "20x12+4+2", "--zoom", "3"]
    return [*options, "--picture", str(folder / "p.png"), "--out", str(folder / "r.json"), *more]


def test_details_and_scores_of_a_clip(clip: Path, tmp_path: Path) -> None:
    assert before_after.main(command(clip, tmp_path, "--frame", "1")) == 0
    picture = cv2.imread(str(tmp_path / "p.png"))
    assert picture.shape == (12 * 3, 3 * 20 * 3 + 2 * 8, 3)
    bicubic, ours, original = (picture[:, x : x + 60].astype(float) for x in (0, 68, 136))
    assert 0 < np.abs(bicubic - original).mean() < 5
    assert 0 < np.abs(ours - original).mean() < 5
    assert (ours != bicubic).any()
    assert (picture[::3, 1:60:3] == picture[::3, 0:60:3]).all()
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["psnr"]["edge-sr"] > record["psnr"]["bicubic"] > 20
    assert record["precision"] == "int8"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--frame", "9999"], "is not in"),
        (["--crop", "4000x10+0+0"], "leaves the frame"),
        (["--precision", "fp64"], "fp64"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    try:
        code = before_after.main(command(clip, tmp_path, *more))
    except SystemExit as error:
        code = error.code
    assert code != 0
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_deeper_clip_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deep = make(tmp_path, Spec(pixels="yuv420p10le"))
    assert before_after.main(command(deep, tmp_path)) == 1
    assert "without 8-bit luminance" in capsys.readouterr().err


def test_clip_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    assert before_after.main(command(tmp_path / "no.mp4", tmp_path)) == 1
    assert "no video that can be decoded" in capsys.readouterr().err
