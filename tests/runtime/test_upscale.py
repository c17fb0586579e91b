from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_support import make_tiny_bundle
from video_support import Clip, make_clip, read_back

from runtime import Upscaler, installed, upscale
from runtime.picture import read_picture, write_picture

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.esr")


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(5).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, dict[str, Any], str]:
    """Exit code, the last line of stdout, and stderr."""
    code = upscale.main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    return code, json.loads(out.splitlines()[-1]) if out else {}, err


def test_picture_keeps_depth_and_alpha(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = noise(5, 7, 4, dtype=np.uint16)
    write_picture(tmp_path / "a.png", picture)
    code, result, err = run(
        capsys, tmp_path / "a.png", tmp_path / "b.png", "--bundle", bundle, "--precision", "fp32"
    )
    with Upscaler.open(bundle, precision="fp32") as upscaler:
        expected = upscaler.upscale(picture)
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png"), expected)
    assert code == 0
    assert list(result)[:8] == [
        "input",
        "output",
        "frames",
        "seconds",
        "fps",
        "backend",
        "precision",
        "provider",
    ]
    assert (result["frames"], result["backend"], result["precision"]) == (1, "onnxruntime", "fp32")
    assert result["provider"] == "CPUExecutionProvider"
    assert "wrote" in err


def test_tile_size_and_threads_are_handed_on(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "a.png", noise(30, 40))
    options = ("--bundle", bundle, "--threads", 1)
    run(capsys, tmp_path / "a.png", tmp_path / "whole.png", *options)
    code, _, _ = run(
        capsys, tmp_path / "a.png", tmp_path / "tiled.png", *options, "--tile-size", 12
    )
    assert code == 0
    whole, tiled = read_picture(tmp_path / "whole.png"), read_picture(tmp_path / "tiled.png")
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_folder_goes_on_after_a_broken_picture_and_ends_in_exit_code_1(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "sub").mkdir(parents=True)
    write_picture(source / "a.png", noise(4, 5))
    (source / "b.png").write_text("no picture")
    write_picture(source / "sub" / "c.jpg", noise(4, 5, 3))
    code, result, err = run(capsys, source, target, "--bundle", bundle)
    assert code == 1
    assert result["frames"] == 2
    assert [entry["file"] for entry in result["failed"]] == ["b.png"]
    assert "1 of 3 files failed" in err
    assert read_picture(target / "a.png").shape == (8, 10)
    assert read_picture(target / "sub" / "c.jpg").shape == (8, 10, 3)
    assert sorted(path.name for path in target.rglob("*.*")) == ["a.png", "c.jpg"]


def test_folder_of_good_pictures_ends_in_exit_code_0(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    write_picture(tmp_path / "in" / "a.png", noise(4, 5))
    # The output folder inside the input must not be taken for input.
    target = tmp_path / "in" / "out"
    for _ in range(2):
        code, result, _ = run(capsys, tmp_path / "in", target, "--bundle", bundle, "--overwrite")
        assert (code, result["frames"]) == (0, 1)


def test_existing_picture_in_the_output_folder_is_not_replaced_unasked(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    write_picture(tmp_path / "in" / "a.png", noise(4, 5))
    run(capsys, tmp_path / "in", tmp_path / "out", "--bundle", bundle)
    code, result, err = run(capsys, tmp_path / "in", tmp_path / "out", "--bundle", bundle)
    assert (code, result["frames"], result["skipped_existing"]) == (0, 0, 1)
    assert "exists; left as it is" in err


def test_video_becomes_larger_with_its_sound_and_times(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "a.mp4", tmp_path / "b.mp4"
    before = read_back(make_clip(source, Clip(has_audio=True)))
    code, result, err = run(capsys, source, target, "--bundle", bundle, "--preset", "fast")
    after = read_back(target)
    assert code == 0
    assert (result["frames"], result["width"], result["height"]) == (12, 64, 48)
    assert result["encoder"] == "libx264"
    assert (after.times, after.packets) == (before.times, before.packets)
    assert "32x24 -> 64x48  onnxruntime int8 on CPUExecutionProvider" in err
    assert "upscale  12/12  100.0%" in err


def test_video_can_have_a_final_size_and_another_codec(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(pts=(0, 1, 2)))
    args = (source, tmp_path / "b.mkv", "--bundle", bundle, "--size", "80X60", "--codec", "hevc")
    code, _, _ = run(capsys, *args)
    after = read_back(tmp_path / "b.mkv")
    assert code == 0
    assert (after.stream["size"], after.stream["codec"]) == ((80, 60), "hevc")


def test_screen_recording_can_be_made_widely_playable(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = Clip(codec="qtrle", pixel_format="argb", options={}, pts=(0, 1, 2))
    source, target = make_clip(tmp_path / "a.mov", clip), tmp_path / "b.mp4"
    args = (source, target, "--bundle", bundle, "--alpha", "drop", "--pixel-format", "yuv420p")
    code, result, _ = run(capsys, *args, "--chroma-location", "center", "--encoder", "software")
    after = read_back(target)
    assert (code, result["encoder"]) == (0, "libx264")
    assert (after.stream["format"], after.stream["colors"][0]) == ("yuv420p", 1)
    assert result["chroma_location"] == "center, by --chroma-location"


def test_interlaced_video_is_deinterlaced_when_asked(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"flags": "+ildct+ilme", "bf": "0"}
    clip = Clip(codec="mpeg2video", options=options, width=64, height=64, pts=tuple(range(4)))
    source = make_clip(tmp_path / "a.mkv", clip)
    args = (source, tmp_path / "b.mp4", "--bundle", bundle)
    code, _, err = run(capsys, *args)
    assert (code, "pass --deinterlace" in err) == (1, True)
    code, result, _ = run(capsys, *args, "--deinterlace")
    assert (code, result["frames"]) == (0, 4)
    assert "frames flagged as interlaced were deinterlaced by bwdif" in result["notes"]


@pytest.mark.parametrize("flag", ["--json", "--quiet"])
def test_nothing_but_one_json_line_when_asked(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(pts=(0, 1)))
    upscale.main([str(source), str(tmp_path / "b.mp4"), "--bundle", str(bundle), flag])
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert json.loads(out)["frames"] == 2
    assert err == ""


def test_failure_with_json_is_one_json_line(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.mp4").touch()
    args = (tmp_path / "a.mp4", tmp_path / "b.mp4", "--bundle", bundle, "--json")
    code, result, _ = run(capsys, *args)
    assert code == 1
    assert result["error"]["message"].endswith("is an empty file")


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("nothing.mp4", "b.mp4", "nothing.mp4 does not exist"),
        ("a.mp4", "a.mp4", "is the input itself"),
        ("a.mp4", "link.mp4", "is the input itself"),
        ("a.mp4", "old.mp4", "exists; pass --overwrite"),
        ("a.mp4", "b.avi", "b.avi does not end in one of .m4v .mkv .mov .mp4 .webm"),
        ("a.mp4", "b.png", "b.png does not end in one of"),
        ("a.png", "b.mp4", "b.mp4 does not end in one of .bmp .jpeg"),
        ("a.mp4", "missing/b.mp4", "does not exist"),
        ("a.mp4", "folder.mp4", "is a folder; name a file"),
        ("folder.mp4", "old.mp4", "a folder needs a folder"),
        ("folder.mp4", "out", "holds no picture or video"),
    ],
)
def test_paths_that_cannot_work_are_one_clear_error(
    tmp_path: Path,
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
    source: str,
    target: str,
    message: str,
) -> None:
    make_clip(tmp_path / "a.mp4", Clip(pts=(0,)))
    write_picture(tmp_path / "a.png", noise(4, 4))
    (tmp_path / "old.mp4").write_text("precious")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a.mp4")
    (tmp_path / "folder.mp4").mkdir()
    code, _, err = run(capsys, tmp_path / source, tmp_path / target, "--bundle", bundle)
    assert code == 1
    assert message in err
    assert err.count("\n") == 1
    assert (tmp_path / "old.mp4").read_text() == "precious"


def test_existing_output_is_replaced_when_asked(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "a.png", noise(4, 4))
    (tmp_path / "b.png").write_text("old")
    args = (tmp_path / "a.png", tmp_path / "b.png", "--bundle", bundle, "--overwrite")
    assert run(capsys, *args)[0] == 0
    assert read_picture(tmp_path / "b.png").shape == (8, 8)


def test_output_format_that_loses_alpha_is_refused(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "a.png", noise(4, 4, 4))
    args = (tmp_path / "a.png", tmp_path / "b.jpg", "--bundle", bundle)
    code, _, err = run(capsys, *args)
    assert code == 1
    assert "cannot hold an alpha channel" in err


@pytest.mark.parametrize(
    "options",
    [
        ("--size", "1280"),
        ("--size", "0x720"),
        ("--size", "99999x1"),
        ("--threads", "-1"),
        ("--preset", "none"),
        ("--backend", "none"),
        ("--precision", "int4"),
        ("--crf", "x"),
        ("--codec", "divx"),
        ("--encoder", "cuda"),
        ("--alpha", "blend"),
        ("--deinterlace", "yadif"),
        ("--chroma-location", "middle"),
    ],
)
def test_wrong_option_is_misuse(options: tuple[str, str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        upscale.main(["a.mp4", "b.mp4", *options])


def test_final_size_of_a_picture_is_misuse() -> None:
    with pytest.raises(SystemExit, match="2"):
        upscale.main(["a.png", "b.png", "--size", "1280x720"])


def test_without_a_bundle_the_error_says_how_to_build_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "BUNDLES", tmp_path / "bundles")
    write_picture(tmp_path / "a.png", noise(4, 4))
    code, _, err = run(capsys, tmp_path / "a.png", tmp_path / "b.png", "--scale", "3")
    assert code == 1
    assert "no x3 bundle for clean content is installed" in err
    assert "python -m export.build --scale 3" in err


def test_installed_bundle_is_chosen_by_scale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "BUNDLES", tmp_path / "bundles")
    for scale in (2, 3):
        make_tiny_bundle(tmp_path / "bundles" / f"fsrcnn-x{scale}.esr", scale)
    write_picture(tmp_path / "a.png", noise(4, 4))
    for options, side in (((), 8), (("--scale", "3"), 12)):
        out = tmp_path / f"{side}.png"
        assert run(capsys, tmp_path / "a.png", out, *options)[0] == 0
        assert read_picture(out).shape[:2] == (side, side)


def test_installed_bundle_suits_the_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "BUNDLES", tmp_path)
    clean, compressed = (tmp_path / f"{name}-x2.esr" for name in ("fsrcnn", "fsrcnn-h264"))
    for bundle in (clean, compressed):
        make_tiny_bundle(bundle)
    write_picture(tmp_path / "a.png", noise(4, 4))
    make_clip(tmp_path / "a.mp4", Clip(width=256, height=192, options={"crf": "45"}))
    make_clip(tmp_path / "fine.mp4", Clip(options={"crf": "1"}))
    make_clip(tmp_path / "a.mkv", Clip(codec="ffv1"))
    for name, options, expected in (
        ("a.png", (), clean),
        ("a.mp4", (), compressed),
        ("fine.mp4", (), clean),
        ("a.mkv", (), clean),
        ("a.mp4", ("--content", "clean"), clean),
        ("a.png", ("--content", "compressed"), compressed),
    ):
        out = tmp_path / f"out{Path(name).suffix}"
        code, result, err = run(capsys, tmp_path / name, out, *options, "--overwrite")
        assert (code, result["bundle"]) == (0, str(expected))
        assert f"installed bundle {expected.name}" in err


@pytest.mark.parametrize("option", [("--scale", "2"), ("--content", "clean")])
def test_choice_of_an_installed_bundle_beside_one_is_misuse(option: tuple[str, str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        upscale.main(["a.png", "b.png", *option, "--bundle", "b.esr"])


def test_file_that_is_no_bundle_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "a.png", noise(4, 4))
    code, _, err = run(capsys, tmp_path / "a.png", tmp_path / "b.png", "--bundle", tmp_path)
    assert code == 1
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_keyboard_interrupt_ends_in_exit_code_130_without_a_trace(
    tmp_path: Path,
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Upscaler, "upscale_luma", interrupt)
    source = make_clip(tmp_path / "a.mp4", Clip())
    code, result, err = run(capsys, source, tmp_path / "b.mp4", "--bundle", bundle, "--quiet")
    assert (code, result, err) == (130, {}, "interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_in_the_middle_of_a_video_leaves_nothing(
    tmp_path: Path, bundle: Path, number: int
) -> None:
    clip = Clip(width=320, height=240, pts=tuple(range(400)))
    source = make_clip(tmp_path / "a.mp4", clip)
    command = [sys.executable, "-m", "runtime.upscale", str(source), str(tmp_path / "b.mp4")]
    process = subprocess.Popen(
        [*command, "--bundle", str(bundle), "--preset", "veryslow"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "b.mp4.unfinished").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.decode().endswith("interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_killed_run_is_gone_on_with_and_gives_the_same_bytes(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(width=320, height=240, pts=tuple(range(400))))
    arguments = ["--bundle", str(bundle), "--segment-frames", "20", "--preset", "slow"]
    whole, journal = tmp_path / "whole.mp4", tmp_path / "b.mp4.unfinished"
    assert run(capsys, source, whole, *arguments)[0] == 0
    command = [sys.executable, "-m", "runtime.upscale", str(source), str(tmp_path / "b.mp4")]
    process = subprocess.Popen([*command, *arguments], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    # More than one segment of 170 kB, since the last commit may be cut off.
    while not (journal.exists() and journal.stat().st_size > 300_000):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "b.mp4").exists()
    code, _, err = run(capsys, source, tmp_path / "b.mp4", *arguments)
    assert code == 1
    assert "pass --resume to go on with it, --overwrite to begin anew" in err
    code, result, err = run(capsys, source, tmp_path / "b.mp4", *arguments, "--resume")
    assert code == 0
    assert 0 < result["resumed"] < 400
    assert f"going on after {result['resumed']} frames" in err
    assert (tmp_path / "b.mp4").read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4", "whole.mp4"]


@pytest.mark.parametrize(
    "option", ["--compare=side", "--deinterlace=all", "--resume", "--alpha=drop"]
)
def test_option_that_a_stream_does_not_take_is_refused(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        upscale.parse_args(["-", "-", option])
    assert f"{option.partition('=')[0]} is for video files" in capsys.readouterr().err
