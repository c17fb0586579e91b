from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from video_support import Clip, NearestUpscaler, make_clip

from runtime.streams.live import run_live
from runtime.streams.live_source import LiveOptions, LiveSource
from runtime.streams.preview import TITLE, Preview, check_preview
from runtime.video.pipeline import VideoOptions


class Screen:
    """Stands in for OpenCV's windows; ``end`` is told the count of pictures shown."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[np.ndarray] = []
        self.threads: set[Any] = set()
        self.key, self.is_visible, self.after = -1, 1.0, 10**9
        self.is_destroyed = False
        fakes = SimpleNamespace(
            imshow=self.imshow,
            waitKey=lambda ms: self.key if len(self.shown) >= self.after else -1,
            getWindowProperty=lambda title, what: (
                self.is_visible if len(self.shown) >= self.after else 1.0
            ),
            destroyAllWindows=lambda: setattr(self, "is_destroyed", True),
        )
        for name, fake in vars(fakes).items():
            monkeypatch.setattr(cv2, name, fake, raising=False)

    def imshow(self, title: str, picture: np.ndarray) -> None:
        assert title == TITLE
        self.threads.add(threading.current_thread())
        self.shown.append(picture)


def play(tmp_path: Path, frames: int) -> tuple[LiveSource, Preview, Any]:
    clip = Clip(pts=tuple(range(frames)), colors=(1, 1, 1, 1))
    source = LiveSource(str(make_clip(tmp_path / "a.mp4", clip)), LiveOptions(budget_s=5))
    preview = Preview(source.stop)

    def job() -> None:
        run_live(source, preview.open, NearestUpscaler(), VideoOptions())

    return source, preview, job


def test_frames_are_shown_in_the_main_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen(monkeypatch)
    _, preview, job = play(tmp_path, 6)
    preview.show_while(job)
    assert [picture.shape for picture in screen.shown] == [(48, 64, 3)] * 6
    assert screen.threads == {threading.main_thread()}
    assert screen.is_destroyed


@pytest.mark.parametrize("way", ["key", "closed"])
def test_key_or_closed_window_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    screen = Screen(monkeypatch)
    screen.after = 3
    if way == "key":
        screen.key = ord("q")
    else:
        screen.is_visible = 0.0
    source, preview, job = play(tmp_path, 500)
    preview.show_while(job)
    assert source.stopped.is_set()
    assert 3 <= len(screen.shown) < 50


def test_error_of_the_job_or_of_the_window_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen(monkeypatch)

    def job() -> None:
        raise OSError("camera is gone")

    with pytest.raises(OSError, match="camera is gone"):
        Preview(lambda: None).show_while(job)

    def imshow(title: str, picture: np.ndarray) -> None:
        raise RuntimeError("display is gone")

    monkeypatch.setattr(cv2, "imshow", imshow)
    source, preview, job = play(tmp_path, 500)
    with pytest.raises(RuntimeError, match="display is gone"):
        preview.show_while(job)
    assert source.stopped.is_set()
    assert screen.is_destroyed


def test_without_a_display_or_windows_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OSError, match="no display for the preview"):
        check_preview()
    monkeypatch.setitem(os.environ, "DISPLAY", ":0")

    def missing(*args: object) -> None:
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(cv2, "namedWindow", missing, raising=False)
    with pytest.raises(OSError, match="install opencv-python in place of opencv-python-headless"):
        check_preview()
