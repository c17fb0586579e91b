"""Which source reads an input, which sink writes an output."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from runtime.video.encoder import VIDEO_SUFFIXES, EncodeOptions
from runtime.video.file_stream import file_sink, file_source
from runtime.video.pipes import STANDARD
from runtime.video.raw import RAW_SUFFIXES, RawFormat, raw_sink, raw_source
from runtime.video.reader import OnError
from runtime.video.stream import OpenSink, Source
from runtime.video.y4m import y4m_sink, y4m_source

Y4M_SUFFIX = ".y4m"


@dataclass(frozen=True)
class StreamOptions:
    """What the user may choose about both ends."""

    raw_input: RawFormat | None = None
    has_raw_output: bool = False
    on_error: OnError = "stop"
    encode: EncodeOptions = field(default_factory=EncodeOptions)


def open_source(path: Path, options: StreamOptions) -> AbstractContextManager[Source]:
    """Raw video where it is described, YUV4MPEG2 from ``-`` and .y4m, else a video file."""
    if options.raw_input is not None:
        return raw_source(path, options.raw_input)
    if path == STANDARD or path.suffix.lower() == Y4M_SUFFIX:
        return y4m_source(path)
    return file_source(path, options.on_error)


def sink_opener(path: Path, options: StreamOptions) -> OpenSink:
    """Raw video if asked or .yuv, YUV4MPEG2 to ``-`` and .y4m, else a video file."""
    if options.has_raw_output or path.suffix.lower() in RAW_SUFFIXES:
        return partial(raw_sink, path)
    if path == STANDARD or path.suffix.lower() == Y4M_SUFFIX:
        return partial(y4m_sink, path)
    return lambda info: file_sink(path, info, options.encode)


def is_frames_only(path: Path) -> bool:
    """Whether a path names something that carries frames alone."""
    return path == STANDARD or path.suffix.lower() in {Y4M_SUFFIX, *RAW_SUFFIXES}


def output_suffixes() -> list[str]:
    """Suffixes of the files that a stream can be written to."""
    return sorted({*VIDEO_SUFFIXES, Y4M_SUFFIX, *RAW_SUFFIXES})
