"""Pipes, numbered pictures, live sources and the preview through a network of RGB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bundle_support import make_rgb_bundle
from video_support import Clip, NearestUpscaler, make_clip, read_back

from runtime import upscale
from runtime.picture import read_picture, write_picture
from runtime.streams.live import run_live
from runtime.streams.live_source import LiveOptions, LiveSource
from runtime.streams.preview import Preview
from runtime.streams.y4m import y4m_source
from runtime.video import VideoReader


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rgb_bundle(tmp_path_factory.mktemp("bundle") / "tiny.esr", is_nearest=True)


def run(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, Any]:
    code = upscale.main([*map(str, args), "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    return dict(json.loads(out.splitlines()[-1]))


def repeated(picture: np.ndarray) -> np.ndarray:
    return picture.repeat(2, axis=0).repeat(2, axis=1)


def pictures(folder: Path, dtype: type = np.uint8) -> list[np.ndarray]:
    """Smooth colours in ``folder/0001.png`` and on."""
    folder.mkdir()
    y, x = np.mgrid[0:16, 0:24] / 24
    made = []
    for number in range(1, 4):
        colours = np.dstack([0.2 + 0.5 * x, 0.7 - 0.3 * y, 0.3 + 0.1 * number + 0.2 * x * y])
        made.append((colours * np.iinfo(dtype).max).astype(dtype))
        write_picture(folder / f"{number:04d}.png", made[-1])
    return made


@pytest.mark.parametrize("kind", ["420mpeg2", "420jpeg", "444", "mono", "422p10"])
def test_yuv4mpeg2(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    samples = {"444": 3, "mono": 1, "422p10": 4}.get(kind, 1.5)
    data = np.random.default_rng(3).integers(60, 190, round(24 * 16 * samples)).astype(np.uint8)
    if kind == "422p10":
        data = (data[: 24 * 16 * 2].astype("<u2") * 4).view(np.uint8)
    header = f"YUV4MPEG2 W24 H16 F25:1 Ip A1:1 C{kind}\nFRAME\n".encode()
    (tmp_path / "a.y4m").write_bytes(header + data.tobytes())
    result = run(capsys, tmp_path / "a.y4m", tmp_path / "b.y4m", "--bundle", bundle)
    assert (result["frames"], result["width"], result["height"]) == (1, 48, 32)
    with y4m_source(tmp_path / "a.y4m") as before, y4m_source(tmp_path / "b.y4m") as after:
        assert after.info.siting == before.info.siting
        (small,), (large,) = list(before), list(after)
    assert large.layout == small.layout
    error = large.planes[0].astype(int) - repeated(small.planes[0]).astype(int)
    assert np.abs(error).max() <= 1


def test_pipe_to_pipe(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = b"YUV4MPEG2 W24 H16 F25:1 Ip A1:1 C420mpeg2\nFRAME\n"
    data = header + np.random.default_rng(4).integers(60, 190, 576).astype(np.uint8).tobytes()
    (tmp_path / "a.y4m").write_bytes(data)
    run(capsys, tmp_path / "a.y4m", tmp_path / "b.y4m", "--bundle", bundle)
    command = [sys.executable, "-m", "runtime.upscale", "-", "-", "--bundle", str(bundle)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, input=data, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (tmp_path / "b.y4m").read_bytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_numbered_pictures_to_video_and_back(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str], dtype: type
) -> None:
    made = pictures(tmp_path / "in", dtype)
    source, middle = tmp_path / "in" / "%04d.png", tmp_path / "a.mkv"
    options = ("--bundle", bundle, "--codec", "ffv1", "--rate", "25")
    assert run(capsys, source, middle, *options)["frames"] == 3
    assert read_back(middle).stream["size"] == (48, 32)
    run(capsys, middle, tmp_path / "out" / "%04d.png", "--bundle", bundle)
    for number, picture in enumerate(made, 1):
        got = read_picture(tmp_path / "out" / f"{number:04d}.png").astype(float)
        wanted = repeated(repeated(picture)).astype(float)
        peak = np.iinfo(picture.dtype).max
        assert np.abs(got - wanted).mean() / peak <= 0.006


def test_numbered_pictures_to_numbered_pictures(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = pictures(tmp_path / "in")
    run(capsys, tmp_path / "in" / "%04d.png", tmp_path / "out" / "%04d.png", "--bundle", bundle)
    for number, picture in enumerate(made, 1):
        got = read_picture(tmp_path / "out" / f"{number:04d}.png")
        np.testing.assert_array_equal(got, repeated(picture))


@pytest.mark.parametrize("layout", ["yuv420p", "bgra"])
def test_live_source(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str], layout: str
) -> None:
    clip = Clip(pts=tuple(range(4)), pixel_format=layout, codec="ffv1", options={})
    source = make_clip(tmp_path / "a.mkv", clip)
    options = ("--bundle", bundle, "--codec", "ffv1", "--latency-budget", 5000)
    result = run(capsys, "--live", source, tmp_path / "b.mkv", *options)
    assert (result["frames"], result["dropped"]) == (4, 0)
    with VideoReader(source) as before, VideoReader(tmp_path / "b.mkv") as after:
        for small, large in zip(before, after, strict=True):
            error = large.planes[0].astype(int) - repeated(small.planes[0]).astype(int)
            assert np.abs(error).max() <= 1


def test_preview_shows_its_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[np.ndarray] = []
    monkeypatch.setattr(cv2, "imshow", lambda title, picture: shown.append(picture), raising=False)
    monkeypatch.setattr(cv2, "waitKey", lambda ms: -1, raising=False)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda title, what: 1.0, raising=False)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None, raising=False)

    def play(channels: str) -> np.ndarray:
        shown.clear()
        source = LiveSource(str(path), LiveOptions(budget_s=5))
        preview = Preview(source.stop)
        upscaler = NearestUpscaler(channels=channels)
        preview.show_while(lambda: run_live(source, preview.open, upscaler))
        return shown[0].astype(float)

    path = make_clip(tmp_path / "a.mp4", Clip(pts=(0, 1), colors=(1, 1, 1, 1)))
    rgb = play("rgb")
    assert rgb.shape == (48, 64, 3)
    assert np.abs(rgb - play("y")).mean() < 4
