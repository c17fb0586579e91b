"""Frames from any source through the network into any sink."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from runtime.video.frame import Frame
from runtime.video.frame_upscaler import PlaneUpscaler, frame_stages
from runtime.video.pipeline import VideoOptions, notes_on, output_info
from runtime.video.probe import VideoInfo
from runtime.video.relay import run_stages


class Source(Protocol):
    """Where frames come from; read once."""

    info: VideoInfo
    # What is worth knowing about it, complete once it is read.
    notes: list[str]

    def __iter__(self) -> Iterator[Frame]:
        """All frames in order."""
        ...

    def stop(self) -> None:
        """End a wait for the next frame; called from another thread once nobody wants it."""
        ...


class Sink(Protocol):
    """Where frames go; complete after a clean end of its ``with`` body."""

    # What writes it, such as the name of an encoder.
    name: str
    notes: list[str]

    def write(self, frame: Frame) -> None:
        """Take one frame, later than all before."""
        ...


OpenSink = Callable[[VideoInfo], AbstractContextManager[Sink]]


@dataclass(frozen=True)
class StreamResult:
    """What was written."""

    frames: int
    width: int
    height: int
    encoder: str
    notes: tuple[str, ...]


def run_stream(
    source: Source,
    open_sink: OpenSink,
    upscaler: PlaneUpscaler,
    options: VideoOptions | None = None,
    *,
    on_frame: Callable[[], None] = lambda: None,
) -> StreamResult:
    """Upscale every frame of ``source``; ``on_frame`` is told that one more is written.

    Raises OSError or ValueError with one clear line; BrokenPipeError if nobody reads the sink.
    """
    info = output_info(source.info, upscaler.scale, options or VideoOptions())
    work = frame_stages(source.info, info, upscaler)
    count = 0
    with open_sink(info) as sink:

        def consume(frame: Frame) -> None:
            nonlocal count
            sink.write(work.finish(frame))
            count += 1
            on_frame()

        run_stages(
            map(work.prepare, source),
            work.upscale,
            consume,
            workers=upscaler.max_concurrency,
            on_stop=source.stop,
        )
        if not count:
            raise ValueError("the input holds no frame")
    notes = (*notes_on(source.info, info), *source.notes, *sink.notes)
    return StreamResult(count, *info.size, sink.name, notes)
