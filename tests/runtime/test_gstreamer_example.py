from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from bundle_support import make_tiny_bundle

from runtime import Upscaler
from runtime.examples import gstreamer_upscale as example
from runtime.installed import installed_bundle
from runtime.video.color import Siting

# What GStreamer 1.22 says of I420 of 33 x 17.
ODD = example.Layout(33, 17, (0, 648, 828, 0), (36, 20, 20, 0), 1008)


def random_planes(width: int, height: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    half = (-(-height // 2), -(-width // 2))
    return tuple(rng.integers(16, 236, size, np.uint8) for size in ((height, width), half, half))


def test_planes_lie_where_gstreamer_puts_them() -> None:
    planes = random_planes(33, 17)
    data = np.frombuffer(ODD.packed(planes), np.uint8)
    assert data.size == ODD.size
    assert data[36] == planes[0][1, 0]
    assert data[648 + 20] == planes[1][1, 0]
    assert data[828 + 8 * 20 + 16] == planes[2][8, 16]
    for plane, found in zip(planes, ODD.planes(data), strict=True):
        assert np.array_equal(plane, found)


@pytest.mark.parametrize("siting", [Siting(), Siting(is_left=False), Siting(is_top=True)])
def test_engine_without_chroma_gives_the_same_frame(siting: Siting) -> None:
    planes = random_planes(34, 18)
    with Upscaler.open(installed_bundle(), backend="onnxruntime", precision="fp32") as upscaler:
        assert not upscaler.takes_frames
        luma, *chroma = example.upscale_planes(upscaler, planes, siting)
        assert np.array_equal(luma, upscaler.upscale_luma(planes[0]))
    pytest.importorskip("runtime._core", reason="the native engine is not built")
    with Upscaler.open(installed_bundle(), backend="native", precision="fp32") as upscaler:
        native = example.upscale_planes(upscaler, planes, siting)
    for ours, theirs in zip(chroma, native[1:], strict=True):
        assert ours.shape == (18, 34)
        assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_odd_sizes_have_the_chroma_of_their_double() -> None:
    with Upscaler.open(installed_bundle(), backend="onnxruntime", precision="fp32") as upscaler:
        planes = example.upscale_planes(upscaler, random_planes(33, 17), Siting())
    assert [plane.shape for plane in planes] == [(34, 66), (17, 33), (17, 33)]


def test_bindings_that_are_missing_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gi", None)
    assert example.main([str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4"), "--json"]) == 1
    message = json.loads(capsys.readouterr().out)["error"]["message"]
    assert "apt install python3-gi" in message


class Elements:
    """GStreamer with these elements alone."""

    def __init__(self, *names: str) -> None:
        self.names = names

    @property
    def ElementFactory(self) -> Elements:  # noqa: N802 - GStreamer's name
        return self

    def find(self, name: str) -> bool:
        return name in self.names


def test_hardware_is_taken_where_all_of_it_is_installed() -> None:
    choose, software = example._first_installed, ("decodebin", "videoconvert", "x264enc")
    jetson = ("parsebin", "nvv4l2decoder", "nvvidconv", "nvv4l2h264enc", *software)
    assert choose(Elements(*jetson), example.DECODERS) == "nvidia"
    assert choose(Elements(*jetson), example.ENCODERS) == "nvidia"
    without_encoder = [name for name in jetson if name != "nvv4l2h264enc"]
    assert choose(Elements(*without_encoder), example.DECODERS) == "nvidia"
    assert choose(Elements(*without_encoder), example.ENCODERS) == "software"
    assert choose(Elements(*software), example.DECODERS) == "software"
    with pytest.raises(RuntimeError, match="lacks nvvidconv, nvv4l2h264enc, x264enc here"):
        choose(Elements(), example.ENCODERS)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Forty frames of 29.97 Hz with sound, written by GStreamer, which this needs."""
    pytest.importorskip("gi", reason="GStreamer's Python bindings are not installed")
    path = tmp_path / "in.mp4"
    words = (
        "gst-launch-1.0 -q mp4mux name=mux ! filesink location={} "
        "audiotestsrc num-buffers=60 ! audioconvert ! avenc_aac ! aacparse ! mux. "
        "videotestsrc num-buffers=40 pattern=ball ! "
        "video/x-raw,format=I420,width=160,height=90,framerate=30000/1001 ! "
        "x264enc pass=quant quantizer=10 ! h264parse ! mux."
    )
    try:
        subprocess.run(words.format(path).split(), check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"GStreamer here cannot write the clip: {error}")
    return path


def decoded(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def test_clip_comes_out_larger_at_the_same_times(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, target = make_tiny_bundle(tmp_path / "tiny.esr"), tmp_path / "out.mp4"
    words = [str(clip), str(target), "--bundle", str(bundle), "--precision", "fp32"]
    assert example.main([*words, "--decoder", "software", "--encoder", "software"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["frames"], result["backend"]) == (40, "onnxruntime")
    before, after = decoded(clip), decoded(target)
    assert [frame.time for frame in after] == [frame.time for frame in before]
    with Upscaler.open(bundle, backend="onnxruntime", precision="fp32") as upscaler:
        for source, found in zip(before[::13], after[::13], strict=True):
            luma = source.to_ndarray(format="yuv420p")[:90].copy()
            expected = upscaler.upscale_luma(luma).astype(float)
            error = np.mean((found.to_ndarray(format="yuv420p")[:180] - expected) ** 2)
            assert 10 * np.log10(255**2 / error) > 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "tiny.esr"]


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_file_that_is_no_video_is_one_line_and_leaves_nothing(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gi", reason="GStreamer's Python bindings are not installed")
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    source.write_bytes(content)
    assert example.main([str(source), str(target), "--decoder", "software"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [("none.mp4", "out.mp4", "does not exist"), ("in.mp4", "out.mkv", "is no .mp4")],
)
def test_paths_are_checked_first(
    source: str, target: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gi", reason="GStreamer's Python bindings are not installed")
    (tmp_path / "in.mp4").write_bytes(b"x")
    assert example.main([str(tmp_path / source), str(tmp_path / target)]) == 1
    assert message in capsys.readouterr().err
