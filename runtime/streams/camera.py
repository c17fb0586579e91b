"""A camera read by OpenCV, for builds of PyAV without Video4Linux."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from runtime.closeable import Closeable
from runtime.picture import Picture
from runtime.streams.frame_queue import Captured
from runtime.streams.raw import DEFAULT_RATE, parse_rate, raw_info
from runtime.streams.rgb import frame_from_rgb, picture_layout
from runtime.streams.sequence import PICTURES
from runtime.video.color import MATRICES, RANGE_LIMITED, ColorTags

TICKS = Fraction(1000)


class OpenCvCapture(Closeable):
    """The interface of ``Capture``; frames come as RGB and count milliseconds from the first.

    ``options`` may hold ``video_size`` and ``framerate``, as FFmpeg names them. Raises OSError if
    the camera cannot be opened, ValueError for another option.
    """

    has_sound = False
    damaged = 0

    def __init__(self, source: str, options: Mapping[str, str], stop: threading.Event) -> None:
        import cv2

        self.name, self._stop = source, stop
        self._camera = cv2.VideoCapture(source)
        for key, value in _properties(options).items():
            self._camera.set(key, value)
        first = self._read()
        if first is None:
            self.close()
            raise OSError(f"{source} cannot be opened as a camera")
        self._first = first
        height, width = first.shape[:2]
        self.info = replace(
            raw_info(width, height, picture_layout(first), TICKS),
            codec=PICTURES,
            rate=_rate(self._camera.get(cv2.CAP_PROP_FPS)),
            colors=ColorTags(MATRICES["bt709"], 1, 1, RANGE_LIMITED),
        )

    def __iter__(self) -> Iterator[Captured]:
        """Frames as they come; raises OSError when the camera is gone."""
        start_s = arrival_s = time.monotonic()
        picture: Picture | None = self._first
        while picture is not None and not self._stop.is_set():
            index = round((arrival_s - start_s) * TICKS)
            frame = frame_from_rgb(picture, MATRICES["bt709"], index, TICKS)
            yield Captured(replace(frame, duration=0), arrival_s)
            picture, arrival_s = self._read(), time.monotonic()
        if not self._stop.is_set():
            raise OSError(f"{self.name} is gone")

    def close(self) -> None:
        """Close the camera."""
        self._camera.release()

    def _read(self) -> Picture | None:
        import cv2

        is_read, picture = self._camera.read()
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if is_read else None


def _properties(options: Mapping[str, str]) -> dict[int, float]:
    import cv2

    properties: dict[int, float] = {}
    for key, value in options.items():
        if key == "framerate":
            properties[cv2.CAP_PROP_FPS] = float(parse_rate(value))
            continue
        width, cross, height = value.partition("x")
        if key != "video_size" or not (cross and width.isdecimal() and height.isdecimal()):
            raise ValueError(
                f"OpenCV, which reads cameras here, takes no {key}={value}; only video_size=WxH "
                "and framerate"
            )
        properties[cv2.CAP_PROP_FRAME_WIDTH] = float(width)
        properties[cv2.CAP_PROP_FRAME_HEIGHT] = float(height)
    return properties


def _rate(value: Any) -> Fraction:
    return Fraction(value).limit_denominator(1001) if 1 <= value <= 1000 else DEFAULT_RATE
