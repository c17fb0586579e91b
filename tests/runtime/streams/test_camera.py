from __future__ import annotations

import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from video_support import NearestUpscaler, read_back

from runtime.streams import capture
from runtime.streams.camera import OpenCvCapture
from runtime.streams.endpoints import StreamOptions, sink_opener
from runtime.streams.live import run_live
from runtime.streams.live_source import LiveOptions, LiveSource
from runtime.video.encoder import EncodeOptions


class Camera:
    """Stands in for OpenCV's camera: ``frames`` pictures, 20 ms apart, then it is unplugged."""

    frames, rate = 10, 50.0

    def __init__(self, source: str) -> None:
        self.source, self.count, self.settings = source, 0, dict[int, float]()

    def set(self, key: int, value: float) -> None:
        self.settings[key] = value

    def get(self, key: int) -> float:
        assert key == cv2.CAP_PROP_FPS
        return self.rate

    def read(self) -> tuple[bool, np.ndarray | None]:
        if self.count == self.frames:
            return False, None
        self.count += 1
        time.sleep(0.02)
        # Blue, green, red.
        return True, np.full((8, 16, 3), (200, 100, 20), np.uint8)

    def release(self) -> None: ...


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(av, "formats_available", frozenset({"mp4"}))
    monkeypatch.setattr(capture, "kind_of_source", lambda source: "device")
    (tmp_path / "video0").touch()
    return str(tmp_path / "video0")


def test_camera_of_opencv_is_written_until_it_is_gone(tmp_path: Path, device: str) -> None:
    options = StreamOptions(encode=EncodeOptions(crf=1, preset="ultrafast"))
    source = LiveSource(device, LiveOptions(budget_s=5))
    result = run_live(source, sink_opener(tmp_path / "b.mp4", options), NearestUpscaler())
    assert result.failure == f"{device} is gone"
    assert "OpenCV reads the camera" in result.notes[0]
    assert result.report.written == 10
    read = read_back(tmp_path / "b.mp4")
    assert (read.stream["size"], read.stream["format"]) == ((32, 16), "yuv420p")
    assert (read.stream["colors"], read.stream["time_base"]) == ((1, 1, 1, 1), Fraction(1, 1000))
    steps = np.diff([float(when) for when in read.times])
    assert min(steps) > 0
    assert sum(steps) == pytest.approx(0.18, abs=0.15)
    picture = read.frames[3].to_ndarray(format="rgb24", src_colorspace=1, dst_color_range=2)
    assert np.abs(picture[8, 16].astype(int) - (20, 100, 200)).max() <= 4


def test_size_and_rate_are_asked_for(device: str) -> None:
    options = {"video_size": "640x360", "framerate": "30"}
    with OpenCvCapture(device, options, threading.Event()) as camera:
        settings = camera._camera.settings
        assert camera.info.rate == 50
    assert settings == {
        cv2.CAP_PROP_FRAME_WIDTH: 640,
        cv2.CAP_PROP_FRAME_HEIGHT: 360,
        cv2.CAP_PROP_FPS: 30,
    }
    for wrong in ({"input_format": "mjpeg"}, {"video_size": "640"}):
        with pytest.raises(ValueError, match="OpenCV, which reads cameras here, takes no"):
            OpenCvCapture(device, wrong, threading.Event())


def test_camera_that_cannot_be_opened_is_one_clear_error(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Camera, "frames", 0)
    with pytest.raises(OSError, match="video0 cannot be opened as a camera"):
        LiveSource(device)
