from __future__ import annotations

import json
from pathlib import Path

import pytest
import video_memory
import video_stages
from video_support import Clip, make_clip

from runtime.cli import run_main


def test_row_tells_each_stage_and_the_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = make_clip(tmp_path / "a.mp4", Clip(width=64, height=48))
    arguments = [str(clip), "--bundle", str(video_stages.SHIPPED), "--rounds", "1"]
    args = video_stages.parse_args([*arguments, "--presets", "ultrafast"])
    assert run_main(video_stages.run, args) == 0
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["results"]
    for name in ("decode", "upscale", "encode", "pipeline"):
        assert row[name]["fps"] > 0
        assert row[name]["cpu_ms_a_frame"] > 0
    slowest = min(row[name]["fps"] for name in ("decode", "upscale", "encode"))
    assert row["of_slowest_stage"] == pytest.approx(row["pipeline"]["fps"] / slowest, abs=1e-3)


def test_device_that_waits_takes_the_place_of_the_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = make_clip(tmp_path / "a.mp4", Clip(width=64, height=48))
    options = ["--device-ms", "20", "--rounds", "1", "--presets", "ultrafast"]
    assert run_main(video_stages.run, video_stages.parse_args([str(clip), *options])) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record["engine"] == "a stand-in that waits 20 ms"
    assert record["results"][0]["upscale"]["fps"] <= 50


def test_unknown_preset_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        video_stages.parse_args(["--presets", "fastest"])
    assert "--presets fastest is not of ultrafast" in capsys.readouterr().err


def test_memory_of_a_run_is_sampled(capsys: pytest.CaptureFixture[str]) -> None:
    args = video_memory.parse_args(["--minutes", "0.05", "--size", "64x48"])
    assert run_main(video_memory.run, args) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record["frames"] == 75
    assert record["peak_mib"] > 10
    assert len(record["median_mib_of_each_tenth"]) == 10
