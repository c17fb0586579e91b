from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_support import make_tiny_bundle
from video_support import Clip, make_clip, read_back

from runtime import Upscaler, upscale
from runtime.picture import read_picture, write_picture
from runtime.streams import sequence
from runtime.streams.sequence import NumberedFiles, SequenceSource, is_pattern


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.esr")


def picture(number: int, *shape: int, dtype: type = np.uint8) -> np.ndarray:
    """Smooth, and another one for each number."""
    height, width, channels = shape or (12, 16, 3)
    ramp = np.linspace(0.2, 0.7, width)[None, :, None] + 0.02 * number
    colors = np.linspace(0.8, 1.2, channels)[None, None, :]
    top = np.iinfo(dtype).max
    return np.broadcast_to(ramp * colors * top, (height, width, channels)).astype(dtype)


def make_pictures(folder: Path, numbers: range = range(1, 5), **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        write_picture(folder / f"{number:04d}.png", picture(number, **options))
    return folder / "%04d.png"


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, dict[str, Any], str]:
    code = upscale.main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    return code, json.loads(out.splitlines()[-1]) if out else {}, err


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("%05d.png", True),
        ("a%d.png", True),
        ("frame-%03d-x.tif", True),
        ("a.png", False),
        ("%5d.png", False),
        ("%s.png", False),
        ("%d-%d.png", False),
        ("100%.png", False),
    ],
)
def test_what_is_a_pattern(tmp_path: Path, name: str, expected: bool) -> None:
    assert is_pattern(tmp_path / name) == expected


def test_file_that_is_named_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "%d.png").touch()
    assert not is_pattern(tmp_path / "%d.png")


def test_numbers_are_those_that_the_pattern_would_write(tmp_path: Path) -> None:
    for name in (
        "0009.png",
        "0010.png",
        "11.png",
        "10000.png",
        "00012.png",
        "x0001.png",
        "0013.jpg",
    ):
        (tmp_path / name).touch()
    assert NumberedFiles(tmp_path / "%04d.png").existing() == [9, 10, 10000]
    assert NumberedFiles(tmp_path / "%d.png").existing() == [11, 10000]
    assert NumberedFiles(tmp_path / "none" / "%d.png").existing() == []


@pytest.mark.parametrize(
    ("dtype", "pixel_format", "encoder"),
    [(np.uint8, "yuv420p", "libx264"), (np.uint16, "yuv420p10le", "libx265")],
)
def test_pictures_become_a_video(
    tmp_path: Path,
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
    dtype: type,
    pixel_format: str,
    encoder: str,
) -> None:
    pattern = make_pictures(tmp_path / "in", dtype=dtype)
    options = ("--bundle", bundle, "--rate", "30000/1001", "--crf", 1, "--precision", "fp32")
    code, result, err = run(capsys, pattern, tmp_path / "b.mp4", *options)
    assert code == 0, err
    assert (result["frames"], result["width"], result["encoder"]) == (4, 32, encoder)
    assert len(result["notes"]) == (dtype is np.uint16)
    read = read_back(tmp_path / "b.mp4")
    assert read.times == [Fraction(n * 1001, 30000) for n in range(4)]
    assert (read.stream["format"], read.stream["colors"]) == (pixel_format, (1, 1, 1, 1))
    with Upscaler.open(bundle, precision="fp32") as upscaler:
        expected = upscaler.upscale(picture(3))
    # Two matrices and 4:2:0 lie in between.
    shown = read.frames[2].reformat(format="rgb24", src_colorspace=1, dst_color_range=2)
    error = np.abs(shown.to_ndarray().astype(int) - expected)[4:-4, 4:-4]
    assert error.mean() < 6


@pytest.mark.parametrize(
    ("pixel_format", "suffix", "dtype"),
    [("yuv420p", "png", np.uint8), ("yuv420p10le", "png", np.uint16), ("yuv420p", "jpg", np.uint8)],
)
def test_video_becomes_pictures(
    tmp_path: Path,
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
    pixel_format: str,
    suffix: str,
    dtype: type,
) -> None:
    clip = Clip(pixel_format=pixel_format, colors=(1, 1, 1, 1), pts=(0, 1, 2), has_audio=True)
    source = make_clip(tmp_path / "a.mp4", clip)
    out = tmp_path / "new" / "out"
    code, result, _ = run(capsys, source, out / f"%06d.{suffix}", "--bundle", bundle)
    assert (code, result["frames"]) == (0, 3)
    assert sorted(path.name for path in out.iterdir()) == [f"{n:06d}.{suffix}" for n in (1, 2, 3)]
    written = read_picture(out / f"000002.{suffix}")
    assert (written.shape, written.dtype) == ((48, 64, 3), dtype)
    assert result["notes"] == ["audio stream 1 is left out: only frames are carried here"]


def test_colours_survive_pictures_to_video_to_pictures(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pattern = make_pictures(tmp_path / "in", range(3))
    for matrix in ("bt709", "bt601"):
        video, back = tmp_path / f"{matrix}.mkv", tmp_path / matrix / "%d.png"
        options = ("--bundle", bundle, "--precision", "fp32", "--size", "16x12")
        code, _, err = run(
            capsys, pattern, video, *options, "--crf", 0, "--color-matrix", matrix, "--rate", 25
        )
        assert code == 0, err
        assert run(capsys, video, back, *options, "--start-number", 5)[0] == 0
        assert sorted(path.name for path in back.parent.iterdir()) == ["5.png", "6.png", "7.png"]
        for number in range(3):
            after = read_picture(back.with_name(f"{number + 5}.png")).astype(int)
            assert np.abs(after - picture(number))[3:-3, 3:-3].mean() < 12


def test_untagged_video_is_taken_as_players_do_at_its_own_size(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(pts=(0,)))
    options = ("--bundle", bundle, "--size", "1280x720", "--overwrite")
    outs = []
    for extra in ((), ("--color-matrix", "bt601"), ("--color-matrix", "bt709")):
        code, result, _ = run(capsys, source, tmp_path / "%d.png", *options, *extra)
        outs.append(read_picture(tmp_path / "1.png"))
        assert code == 0
        guesses = [note for note in result["notes"] if "BT.601 is taken, as players" in note]
        assert len(guesses) == (not extra)
    assert np.array_equal(outs[0], outs[1])
    assert not np.array_equal(outs[0], outs[2])


def test_turned_video_gives_upright_pictures(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(pts=(0,), rotation=-90, colors=(1, 1, 1, 1)))
    plain = make_clip(tmp_path / "b.mp4", Clip(pts=(0,), colors=(1, 1, 1, 1)))
    for video, name in ((source, "turned%d.png"), (plain, "plain%d.png")):
        assert run(capsys, video, tmp_path / name, "--bundle", bundle)[0] == 0
    turned, upright = (read_picture(tmp_path / f"{n}1.png") for n in ("turned", "plain"))
    assert np.array_equal(turned, np.rot90(upright, -1))


def test_pictures_to_pictures_keep_their_numbers(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pattern = make_pictures(tmp_path / "in", range(8, 12))
    out = tmp_path / "out" / "x%d.png"
    options = ("--bundle", bundle, "--precision", "fp32")
    code, result, _ = run(capsys, pattern, out, *options, "--start-number", 9)
    assert (code, result["frames"]) == (0, 3)
    assert sorted(path.name for path in out.parent.iterdir()) == ["x10.png", "x11.png", "x9.png"]
    with Upscaler.open(bundle, precision="fp32") as upscaler:
        expected = upscaler.upscale(picture(10))
    np.testing.assert_array_equal(read_picture(tmp_path / "out" / "x10.png"), expected)


def test_gap_size_and_damage_name_the_file(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pattern = make_pictures(tmp_path / "in", range(1, 6))
    path = tmp_path / "in" / "0003.png"
    whole = path.read_bytes()

    def error(*options: object) -> str:
        code, _, err = run(
            capsys,
            pattern,
            tmp_path / "b.mp4",
            "--bundle",
            bundle,
            "--rate",
            25,
            "--quiet",
            *options,
        )
        assert code == 1
        assert err.count("\n") == 1
        assert not (tmp_path / "b.mp4").exists()
        return err

    path.write_bytes(whole[:-20])
    assert f"{path} is truncated" in error()
    write_picture(path, picture(3, 12, 18, 3))
    assert re.search(r"0003.png is 18x12, \S+0001.png is 16x12", error())
    write_picture(path, picture(3, dtype=np.uint16))
    assert "0003.png has samples of type uint16" in error()
    path.unlink()
    assert f"{path} is missing, though {tmp_path}/in/0005.png exists" in error()
    assert f"{path} is missing" in error("--start-number", 3)
    assert "no picture" in error("--start-number", 6)


def test_grey_and_alpha_pictures_are_taken_as_rgb(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_picture(folder / "1.png", picture(1, 12, 16, 4))
    write_picture(folder / "2.png", picture(2)[:, :, 0].copy())
    pattern = folder / "%d.png"
    source = SequenceSource(NumberedFiles(pattern), rate=Fraction(25))
    frames = list(source)
    assert source.notes == ["the alpha channel of the pictures is left out"]
    assert [len(frame.planes) for frame in frames] == [3, 3]
    assert (frames[1].planes[1] == 128).all()


def test_older_pictures_after_the_last_are_named(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pattern = make_pictures(tmp_path / "out", range(1, 6))
    source = make_clip(tmp_path / "a.mp4", Clip(pts=(0, 1), colors=(1, 1, 1, 1)))
    assert run(capsys, source, pattern, "--bundle", bundle)[0] == 1
    code, result, _ = run(capsys, source, pattern, "--bundle", bundle, "--overwrite")
    assert code == 0
    assert result["notes"] == [f"{tmp_path}/out/0003.png and on are of an older run"]


def test_picture_that_cannot_be_written_ends_the_run(
    tmp_path: Path,
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(path: Path, picture: np.ndarray) -> None:
        if path.name == "3.png":
            raise OSError(f"{path}: no space left")
        write_picture(path, picture)

    monkeypatch.setattr(sequence, "write_picture", full)
    for frames in (4, 40):
        source = make_clip(tmp_path / f"{frames}.mp4", Clip(pts=tuple(range(frames))))
        out = tmp_path / f"out{frames}"
        code, _, err = run(capsys, source, out / "%d.png", "--bundle", bundle, "--quiet")
        assert (code, err) == (1, f"error: {out}/3.png: no space left\n")
        assert not (out / "3.png").exists()
        assert len(list(out.iterdir())) < 30


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("in/%04d.png", "old/%d.png", "old/2.png exists; pass --overwrite"),
        ("in/%04d.png", "b.avi", "b.avi does not end in one of"),
        ("in/%04d.png", "in/%04d.png", "is the input itself"),
        ("in/%03d.png", "b.mp4", "no picture"),
        ("a.mp4", "out/%d.avi", "does not end in one of"),
        ("deep.mp4", "out/%d.jpg", ".jpg cannot hold 16-bit samples"),
        ("in", "b.y4m", "is a folder; name its pictures by a pattern"),
        ("in", "b.mp4", "pictures by a pattern"),
        ("in/0001.png", "out/%d.png", "is a picture,"),
    ],
)
def test_ends_that_cannot_work(
    tmp_path: Path,
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
    source: str,
    target: str,
    message: str,
) -> None:
    make_pictures(tmp_path / "in", range(1, 3))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "2.png").write_text("precious")
    make_clip(tmp_path / "a.mp4", Clip(pts=(0,)))
    make_clip(tmp_path / "deep.mp4", Clip(pts=(0,), pixel_format="yuv420p10le"))
    code, _, err = run(capsys, tmp_path / source, tmp_path / target, "--bundle", bundle, "--quiet")
    assert (code, err.count("\n")) == (1, 1)
    assert message in err
    assert (tmp_path / "old" / "2.png").read_text() == "precious"


@pytest.mark.parametrize("option", [("--rate", "0"), ("--rate", "x"), ("--start-number", "-1")])
def test_wrong_option_is_misuse(option: tuple[str, str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        upscale.main(["%d.png", "b.mp4", *option])
