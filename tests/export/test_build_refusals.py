"""Bad input to a build."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from build_support import last_json
from network_support import write_tiny_checkpoint
from pictures_support import write_pictures

from export import build


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "pictures", 5, height=72, width=80)


def without_pictures(folder: Path, words: dict[str, str]) -> None:
    (folder / "empty").mkdir()
    words["--calibration"] = str(folder / "empty")


def with_missing_pictures(folder: Path, words: dict[str, str]) -> None:
    words["--calibration"] = str(folder / "nowhere")


def with_missing_checkpoint(folder: Path, words: dict[str, str]) -> None:
    words["--checkpoint"] = str(folder / "nothing.safetensors")


def with_truncated_checkpoint(folder: Path, words: dict[str, str]) -> None:
    source = Path(words["--checkpoint"])
    (folder / "cut.safetensors").write_bytes(source.read_bytes()[:700])
    (folder / "cut.json").write_bytes(source.with_suffix(".json").read_bytes())
    words["--checkpoint"] = str(folder / "cut.safetensors")


def with_other_scale(folder: Path, words: dict[str, str]) -> None:
    words["--scale"] = "3"


def with_missing_folder(folder: Path, words: dict[str, str]) -> None:
    words["--out"] = str(folder / "missing" / "new.esr")


def with_existing_output(folder: Path, words: dict[str, str]) -> None:
    (folder / "new.esr").mkdir()


def with_missing_folder_for_models(folder: Path, words: dict[str, str]) -> None:
    words["--triton"] = str(folder / "deep" / "models")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (with_missing_folder_for_models, "for the model repository does not exist"),
        (without_pictures, "holds no picture"),
        (with_missing_pictures, "calibration source .*nowhere does not exist"),
        (with_missing_checkpoint, "nothing.safetensors does not exist"),
        (with_truncated_checkpoint, "the file is damaged"),
        (with_other_scale, "upscales by 2, not 3"),
        (with_missing_folder, "for the bundle does not exist"),
        (with_existing_output, "pass --overwrite"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(
    spoil: Any,
    message: str,
    checkpoint: Path,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    words = {
        "--checkpoint": str(checkpoint),
        "--calibration": str(pictures),
        "--out": str(folder / "new.esr"),
    }
    spoil(folder, words)
    before = sorted(folder.rglob("*"))
    assert build.main([part for pair in words.items() for part in pair]) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert re.search(message, line)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--onnx a.onnx --checkpoint b.safetensors", "--onnx brings its own network"),
        ("--model fsrcnn --checkpoint b.safetensors", "--model chooses a shipped student"),
        ("--precision bf16", "bf16 is no precision to build"),
        ("--max-drop int4=1", "is not PRECISION=DB"),
        ("--scale 5", "invalid choice"),
        ("--threads -1", "must not be negative"),
        ("--triton-tensorrt 640x360", "needs --triton DIR"),
        ("--triton models --triton-tensorrt 640", "is not WxH, such as 640x360"),
    ],
)
def test_contradiction_is_refused_before_anything_is_opened(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        build.parse_args(words.split())
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_missing_libraries_are_named_before_work_starts(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert build.main(["--checkpoint", str(checkpoint), "--json"]) == 1
    assert "pip install 'edge-sr[export]'" in last_json(capsys)["error"]["message"]


def test_shipped_student_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--model", "edsr_s", "--scale", "4", "--dry-run", "--json"]) == 1
    assert "no student edsr_s-x4 is shipped" in last_json(capsys)["error"]["message"]
