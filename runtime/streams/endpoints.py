"""Which source reads an input, which sink writes an output."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path

from runtime.streams.file_stream import file_sink, file_source
from runtime.streams.pipes import STANDARD
from runtime.streams.raw import RAW_SUFFIXES, RawFormat, raw_sink, raw_source
from runtime.streams.sequence import is_pattern, sequence_sink, sequence_source
from runtime.streams.stream import OpenSink, Source
from runtime.streams.y4m import y4m_sink, y4m_source
from runtime.video.encoder import VIDEO_SUFFIXES, EncodeOptions
from runtime.video.reader import OnError

Y4M_SUFFIX = ".y4m"
FIRST_NUMBER = 1


@dataclass(frozen=True)
class StreamOptions:
    """What the user may choose about both ends."""

    raw_input: RawFormat | None = None
    # Of numbered pictures: frames a second, first number, colour matrix.
    rate: Fraction | None = None
    start_number: int | None = None
    matrix: int | None = None
    has_raw_output: bool = False
    on_error: OnError = "stop"
    encode: EncodeOptions = field(default_factory=EncodeOptions)


def open_source(path: Path, options: StreamOptions) -> AbstractContextManager[Source]:
    """Numbered pictures, raw video where it is described, YUV4MPEG2, or a video file."""
    if is_pattern(path):
        return sequence_source(path, options.start_number, options.rate, options.matrix)
    if options.raw_input is not None:
        return raw_source(path, options.raw_input)
    if path == STANDARD or path.suffix.lower() == Y4M_SUFFIX:
        return y4m_source(path)
    return file_source(path, options.on_error)


def sink_opener(path: Path, options: StreamOptions) -> OpenSink:
    """Numbered pictures, raw video if asked or .yuv, YUV4MPEG2, or a video file."""
    if is_pattern(path):
        start = FIRST_NUMBER if options.start_number is None else options.start_number
        return lambda info: sequence_sink(path, info, start)
    if options.has_raw_output or path.suffix.lower() in RAW_SUFFIXES:
        return partial(raw_sink, path)
    if path == STANDARD or path.suffix.lower() == Y4M_SUFFIX:
        return partial(y4m_sink, path)
    return lambda info: file_sink(path, info, options.encode)


def is_frames_only(path: Path) -> bool:
    """Whether a path names something that carries frames alone."""
    suffixes = {Y4M_SUFFIX, *RAW_SUFFIXES}
    return path == STANDARD or path.suffix.lower() in suffixes or is_pattern(path)


def output_suffixes() -> list[str]:
    """Suffixes of the files that a stream can be written to."""
    return sorted({*VIDEO_SUFFIXES, Y4M_SUFFIX, *RAW_SUFFIXES})
