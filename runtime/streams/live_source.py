"""A live source, captured in a thread of its own and opened again when it is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from runtime.streams.camera import OpenCvCapture
from runtime.streams.capture import (
    Capture,
    CaptureOptions,
    Timeline,
    kind_of_source,
    open_capture,
    shown_name,
)
from runtime.streams.frame_queue import Captured, FrameQueue

RETRY_PAUSE_S = 1.0
# How long the source may take to end once nobody wants it; it is left behind after that.
END_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class LiveOptions:
    """How a live source is read."""

    budget_s: float = 0.2
    # How often a source that is gone is tried again before the run ends.
    reconnect: int = 0
    capture: CaptureOptions = field(default_factory=CaptureOptions)


class LiveSource:
    """Reads a source in a thread of its own into a queue that drops what comes late.

    Raises as :class:`Capture` if it cannot be opened at first.
    """

    def __init__(
        self,
        source: str,
        options: LiveOptions | None = None,
        *,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.name = shown_name(source)
        self.options = options or LiveOptions()
        self.captured = self.damaged = self.reconnects = 0
        self.failure: str | None = None
        self.queue = FrameQueue(self.options.budget_s)
        self.stopped = threading.Event()
        self._source, self._say = source, say
        self._is_endless = kind_of_source(source) != "file"
        self._capture = self._open()
        self.info = self._capture.info
        self.notes = ["sound is not carried"] if self._capture.has_sound else []
        if isinstance(self._capture, OpenCvCapture):
            self.notes.append("OpenCV reads the camera, as this build of PyAV has no Video4Linux")
        self._timeline = Timeline(self.info)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to capture."""
        self._thread.start()

    def stop(self) -> None:
        """Capture no more; what waits is lost, what is being worked on is still written."""
        self.stopped.set()
        self.queue.close()

    def join(self) -> None:
        """Wait for the thread to end; one that still waits for the network is left behind."""
        self.stop()
        if self._thread.ident is None:
            self._capture.close()
            return
        self._thread.join(END_TIMEOUT_S)

    def _open(self) -> Capture | OpenCvCapture:
        return open_capture(self._source, self.options.capture, self.stopped)

    def _run(self) -> None:
        try:
            self._read_all()
        except (OSError, ValueError) as error:
            if not self.stopped.is_set():
                self.failure = str(error)
        finally:
            self.queue.close()

    def _read_all(self) -> None:
        lost = self._read_once()
        while lost is not None:
            self._reopen(lost)
            lost = self._read_once()

    def _read_once(self) -> str | None:
        """Capture until the source ends; what went wrong, or None if nothing did."""
        with self._capture as capture:
            try:
                for item in capture:
                    if self.stopped.is_set():
                        return None
                    self.captured += 1
                    frame = self._timeline.place(item.frame)
                    self.queue.put(Captured(frame, item.arrival_s))
            except OSError as error:
                return str(error)
            finally:
                self.damaged += capture.damaged
        return f"{self.name} has ended" if self._is_endless else None

    def _reopen(self, lost: str) -> None:
        """Open the source again, unless stopped. Raises OSError once that was tried enough."""
        gone_s = time.monotonic()
        for _ in range(self.options.reconnect):
            self._say(f"{lost}; opening it again")
            if self.stopped.wait(RETRY_PAUSE_S):
                break
            try:
                self._capture = self._open()
            except (OSError, ValueError) as error:
                lost = str(error)
                continue
            self._check_same(self._capture)
            self.reconnects += 1
            self._timeline.restart(time.monotonic() - gone_s)
            return
        raise OSError(lost)

    def _check_same(self, capture: Capture | OpenCvCapture) -> None:
        if (capture.info.size, capture.info.layout) != (self.info.size, self.info.layout):
            capture.close()
            raise ValueError(f"{self.name} came back with another size or pixel format")
