"""Frames of a camera, a network stream or a file played at its own speed, as they come."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runtime.closeable import Closeable
from runtime.streams.camera import OpenCvCapture
from runtime.streams.frame_queue import Captured
from runtime.video.frame import Frame, frame_from_av
from runtime.video.pixels import layout_of
from runtime.video.probe import VideoInfo, av_errors, describe, open_video, text_options

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SourceKind = Literal["device", "url", "file"]

# What a stream from the network may itself refer to: never a local file.
NETWORK = "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,httpproxy,rtmp,rtmps,srt,crypto"
# Segments of HTTP streams come up to ten seconds apart.
OPEN_TIMEOUT_S, READ_TIMEOUT_S = 15.0, 12.0
DEVICE_FORMATS = frozenset({"video4linux2,v4l2", "video4linux2", "v4l2"})
# Packets whose frame has not come out of the decoder yet; more than any codec reorders.
MAX_STAMPS = 64


@dataclass(frozen=True)
class CaptureOptions:
    """How a live source is opened."""

    # Given to FFmpeg as they are, such as video_size, framerate or rtsp_transport.
    source_options: Mapping[str, str] = field(default_factory=dict)


def kind_of_source(source: str) -> SourceKind:
    """What a live source is by its name."""
    if "://" in source:
        return "url"
    return "device" if source.startswith("/dev/") else "file"


def shown_name(source: str) -> str:
    """The name of a source without the password that a URL may hold."""
    return re.sub(r"(://)[^/@]*@", r"\1***@", source)


class Capture(Closeable):
    """An open live source; a context manager and an iterable, to be read once.

    ``damaged`` counts frames that could not be decoded. ``stop`` ends the wait of a file for the
    time of its next frame. Raises OSError if the source cannot be opened, ValueError if its video
    is not supported or changes its size.
    """

    def __init__(self, source: str, options: CaptureOptions, stop: threading.Event) -> None:
        self.name = shown_name(source)
        self.damaged = 0
        self._stop = stop
        self._is_file = kind_of_source(source) == "file"
        self._container, self._stream = _open(source, options)
        self.has_sound = bool(self._container.streams.audio)
        self._opened_s = time.monotonic()
        self._arrivals: dict[int, float] = {}
        try:
            self._frames = self._read()
            self._first = self._read_first()
            self.info = describe(self.name, self._stream, self._first[0])
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Captured]:
        """Frames as they come; ends with the source."""
        from av.error import ExitError, FFmpegError

        start_s, start = time.monotonic(), self._time(self._first[0])
        try:
            for frame, arrival_s in chain([self._first], self._frames):
                self._check_same(frame)
                if not self._is_file:
                    yield self._captured(frame, arrival_s)
                    continue
                self._wait_until(start_s + float(self._time(frame) - start))
                yield self._captured(frame, time.monotonic())
        except ExitError as error:
            raise OSError(f"{self.name} is gone: nothing came for {READ_TIMEOUT_S:g} s") from error
        except FFmpegError as error:
            raise OSError(f"{self.name} is gone: {error.strerror}") from error

    def close(self) -> None:
        """Close the source."""
        self._container.close()

    def _read_first(self) -> tuple[VideoFrame, float]:
        with av_errors(f"{self.name} cannot be read"):
            first = next(self._frames, None)
        if first is None:
            raise ValueError(f"{self.name} holds no frame that can be decoded")
        return first

    def _read(self) -> Iterator[tuple[VideoFrame, float]]:
        for packet in self._container.demux(self._stream):
            if self._stop.is_set():
                return
            for frame in self._decode(packet):
                yield frame, self._arrivals.pop(frame.pts or 0, time.monotonic())

    def _decode(self, packet: Packet[Any]) -> list[VideoFrame]:
        from av.error import FFmpegError

        if packet.pts is not None:
            self._arrivals[packet.pts] = time.monotonic()
            while len(self._arrivals) > MAX_STAMPS:
                del self._arrivals[next(iter(self._arrivals))]
        try:
            frames = packet.decode()
        except FFmpegError:
            # A stream that is joined in its middle begins with frames that refer to none.
            self.damaged += 1
            return []
        whole = [frame for frame in frames if not frame.is_corrupt]
        for frame in whole:
            self._settle_time(frame)
        self.damaged += len(frames) - len(whole)
        return whole

    def _settle_time(self, frame: VideoFrame) -> None:
        """A frame without a time takes that of its packet, or the moment at which it came."""
        if frame.pts is None:
            frame.pts = frame.dts
        if frame.pts is None:
            assert self._stream.time_base
            frame.pts = round((time.monotonic() - self._opened_s) / self._stream.time_base)

    def _wait_until(self, moment_s: float) -> None:
        self._stop.wait(max(moment_s - time.monotonic(), 0))

    def _check_same(self, frame: VideoFrame) -> None:
        is_same = (frame.width, frame.height) == self.info.size
        if not is_same or layout_of(frame.format.name) != self.info.layout:
            raise ValueError(
                f"{self.name} changes to {frame.width}x{frame.height} {frame.format.name} from "
                f"{self.info.width}x{self.info.height} {self.info.layout.planar_name}"
            )

    def _time(self, frame: VideoFrame) -> Fraction:
        return (frame.pts or 0) * self.info.time_base

    def _captured(self, frame: VideoFrame, arrival_s: float) -> Captured:
        return Captured(frame_from_av(frame, frame.pts or 0, self.info.time_base), arrival_s)


def open_capture(
    source: str, options: CaptureOptions, stop: threading.Event
) -> Capture | OpenCvCapture:
    """Open a live source: by PyAV, or a camera by OpenCV if this PyAV cannot."""
    if kind_of_source(source) == "device":
        if not Path(source).exists():
            raise FileNotFoundError(f"{source} does not exist")
        if not has_video4linux():
            return OpenCvCapture(source, options.source_options, stop)
    return Capture(source, options, stop)


def has_video4linux() -> bool:
    """Whether this build of PyAV reads cameras."""
    import av

    return not DEVICE_FORMATS.isdisjoint(av.formats_available)


class Timeline:
    """Times of a live output: from 0, always later, in ticks of the first source's time base."""

    def __init__(self, info: VideoInfo) -> None:
        self._time_base = info.time_base
        rate = info.rate or Fraction(25)
        self._step = max(round(1 / (rate * info.time_base)), 1)
        self._offset: int | None = None
        self._last = -self._step
        self._pause = 0

    def restart(self, pause_s: float) -> None:
        """The source begins anew ``pause_s`` after its last frame, with times of its own."""
        self._offset = None
        self._pause = round(Fraction(pause_s) / self._time_base)

    def place(self, frame: Frame) -> Frame:
        """The frame at its time in the output; where the source jumps back, time goes on."""
        pts = round(frame.pts * frame.time_base / self._time_base)
        duration = round(frame.duration * frame.time_base / self._time_base)
        if self._offset is None or pts + self._offset <= self._last:
            self._offset = self._last + max(self._step, self._pause) - pts
            self._pause = 0
        self._last = pts + self._offset
        return Frame(frame.planes, frame.layout, self._last, duration, self._time_base)


def _open(source: str, options: CaptureOptions) -> tuple[InputContainer, VideoStream]:
    kind = kind_of_source(source)
    if kind == "file":
        container, stream = open_video(Path(source))
        stream.thread_type = "AUTO"
        return container, stream
    container = _open_device(source, options) if kind == "device" else _open_url(source, options)
    best: Any = container.streams.best("video")
    if best is None or best.codec_context is None:
        container.close()
        raise ValueError(f"{shown_name(source)} holds no video stream that can be decoded")
    # Threads that each decode a frame of their own would hold back as many frames.
    best.thread_type = "SLICE"
    return container, best


def _open_device(source: str, options: CaptureOptions) -> InputContainer:
    import av

    with av_errors(f"{source} cannot be opened as a camera"):
        container: InputContainer = av.open(
            source, format="v4l2", container_options=dict(options.source_options), **text_options()
        )
    return container


def _open_url(source: str, options: CaptureOptions) -> InputContainer:
    import av
    from av.error import ExitError

    chosen = {"protocol_whitelist": NETWORK}
    if source.startswith(("rtsp://", "rtsps://")):
        chosen["rtsp_transport"] = "tcp"  # UDP loses packets without saying so
    name = shown_name(source)
    try:
        with av_errors(f"{name} cannot be opened"):
            container: InputContainer = av.open(
                source,
                container_options=chosen | dict(options.source_options),
                timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S),
                **text_options(),
            )
    except ValueError as error:
        if isinstance(error.__cause__, ExitError):
            raise OSError(f"{name} sends nothing within {OPEN_TIMEOUT_S:g} s") from error
        raise
    return container
