"""A window that shows frames as they come."""

from __future__ import annotations

import os
import queue
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from runtime.video.color import RANGE_FULL
from runtime.video.frame import Frame, av_from_frame
from runtime.video.probe import VideoInfo
from runtime.video.rgb import matrix_of

Result = TypeVar("Result")

TITLE = "edge-sr: press q to end"
END_KEYS = frozenset({ord("q"), 27})
POLL_S = 0.02
# What FFmpeg's scaler calls the matrices, by the numbers of ITU-T H.273.
SCALER_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}


def check_preview() -> None:
    """Raises OSError, in one line that says what to do, if no window can be shown here."""
    import cv2

    if sys.platform.startswith("linux") and not _display():
        raise OSError(
            "there is no display for the preview: neither DISPLAY nor WAYLAND_DISPLAY is set; "
            "write to a file or to - instead"
        )
    try:
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL)
    except (cv2.error, AttributeError) as error:
        raise OSError(
            "this OpenCV cannot show windows: install opencv-python in place of "
            "opencv-python-headless, or pipe to a player: --live SOURCE - | mpv -"
        ) from error


class Preview:
    """Shows frames in the main thread, as windows want it, while a job makes them in another."""

    name = "preview"

    def __init__(self, stop: Callable[[], None]) -> None:
        self.notes: list[str] = []
        self._stop = stop
        self._info: VideoInfo | None = None
        self._pictures: queue.Queue[Any] = queue.Queue(1)

    @contextmanager
    def open(self, info: VideoInfo) -> Iterator[Preview]:
        """A sink for frames like ``info``."""
        matrix_of(info)
        self._info = info
        yield self

    def write(self, frame: Frame) -> None:
        """Show one frame; returns once it is on the screen."""
        assert self._info is not None
        self._pictures.put(_bgr(frame, self._info))
        self._pictures.join()

    def show_while(self, job: Callable[[], Result]) -> Result:
        """Run ``job`` in a thread and show what it writes; its result or error comes from here."""
        import cv2

        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(job)
            try:
                while not future.done():
                    self._show_next()
            except BaseException:
                self._stop()
                while not future.done():
                    self._take()
                raise
            finally:
                with suppress(cv2.error):
                    cv2.destroyAllWindows()
        return future.result()

    def _show_next(self) -> None:
        import cv2

        picture = self._take(cv2.imshow)
        key = cv2.waitKey(1) & 0xFF
        is_closed = picture and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
        if key in END_KEYS or is_closed:
            self._stop()

    def _take(self, show: Callable[[str, Any], None] = lambda title, picture: None) -> bool:
        try:
            picture = self._pictures.get(timeout=POLL_S)
        except queue.Empty:
            return False
        try:
            show(TITLE, picture)
        finally:
            self._pictures.task_done()
        return True


def _bgr(frame: Frame, info: VideoInfo) -> Any:
    """What OpenCV shows; converted fast, not exactly."""
    source = av_from_frame(frame)
    is_full = info.colors.sample_range == RANGE_FULL
    converted = source.reformat(
        format="bgr24",
        src_colorspace=SCALER_MATRICES[matrix_of(info)],
        src_color_range=2 if is_full else 1,
        dst_color_range=2,
    )
    return converted.to_ndarray()


def _display() -> str | None:
    return os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
