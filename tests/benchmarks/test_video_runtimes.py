from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import video_runtimes
from pictures_support import synthetic_luma

from runtime.installed import installed_bundle
from runtime.video.probe import probe

READY = installed_bundle()


@pytest.fixture
def short_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_runtimes, "CLIP_SIZE", (96, 64))
    monkeypatch.setattr(video_runtimes, "CLIP_FRAMES", 5)


@pytest.mark.usefixtures("short_clip")
def test_clip_is_made_in_the_size_and_length_it_says(tmp_path: Path) -> None:
    info = probe(video_runtimes.made_clip(tmp_path / "clip.mp4"))
    assert info.size == (96, 64)
    assert len(_frames(tmp_path / "clip.mp4")) == 5


@pytest.mark.usefixtures("short_clip")
def test_runtimes_take_turns_over_the_same_clip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "record.json"
    words = [
        "--runtimes",
        "onnxruntime,bicubic",
        "--rounds",
        "2",
        "--threads",
        "1",
        "--preset",
        "ultrafast",
    ]
    assert video_runtimes.main([*words, "--out", str(out)]) == 0
    *table, line = capsys.readouterr().out.splitlines()
    record: dict[str, Any] = json.loads(line)
    assert record["size"] == [96, 64]
    assert [row["runtime"] for row in record["results"]] == ["onnxruntime", "bicubic"]
    for row in record["results"]:
        assert row["runs"] == 2
        assert 0 < row["lowest_fps"] <= row["median_fps"] <= row["highest_fps"]
    assert len(table) == 3
    assert json.loads(out.read_text()) == record


def test_graph_in_the_pipeline_gives_what_the_bundle_gives() -> None:
    plane = synthetic_luma(32, 48)
    expected = video_runtimes.Upscaler.open(READY, backend="onnxruntime", precision="int8")
    graph = video_runtimes.open_onnxruntime(READY, (48, 32), 1)
    np.testing.assert_array_equal(
        graph.upscale_luma(plane, bit_depth=8), expected.upscale_luma(plane)
    )
    with pytest.raises(ValueError, match="clips of 10 bits are not compared"):
        graph.upscale_luma(plane.astype(np.uint16), bit_depth=10)


def test_missing_runtime_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(video_runtimes, "CLIP_SIZE", (32, 32))
    monkeypatch.setattr(video_runtimes, "CLIP_FRAMES", 2)
    monkeypatch.setattr(video_runtimes, "is_installed", lambda name: name == "bicubic")
    assert video_runtimes.main(["--runtimes", "openvino,bicubic", "--rounds", "1"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "skipped  openvino: not installed\n"
    assert json.loads(printed.out.splitlines()[-1])["missing"] == ["openvino"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--runtimes tensorflow", "--runtimes tensorflow is not of native, openvino"),
        ("--rounds 0", "must be positive"),
        ("--threads 0", "must be positive"),
    ],
)
def test_misuse_is_named(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        video_runtimes.main(words.split())
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_clip_that_is_none_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(tmp_path / "none.mp4"), "--runtimes", "bicubic"]
    assert video_runtimes.main(words) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def _frames(path: Path) -> list[Any]:
    video = cv2.VideoCapture(str(path))
    frames = []
    while True:
        is_there, frame = video.read()
        if not is_there:
            return frames
        frames.append(frame)
