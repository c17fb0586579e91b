"""Video files as sources and sinks that carry frames alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from runtime.atomic import written_beside
from runtime.streams.rgb import halve_chroma, halved_layout
from runtime.streams.sequence import PICTURES
from runtime.video.encoder import EncodeOptions
from runtime.video.frame import Frame
from runtime.video.probe import VideoInfo
from runtime.video.reader import OnError, VideoReader
from runtime.video.writer import VideoWriter

LEFT_OUT = frozenset({"audio", "subtitle"})


class FileSource:
    """The frames of an open video file; what else it holds is named in a note."""

    def __init__(self, reader: VideoReader) -> None:
        self.info = reader.info
        self._reader = reader
        self.notes = [
            f"{stream.type} stream {stream.index} is left out: only frames are carried here"
            for stream in reader.container.streams
            if stream.type in LEFT_OUT
        ]

    def __iter__(self) -> Iterator[Frame]:
        yield from self._reader
        self.notes += self._reader.notes
        if self._reader.damaged:
            self.notes.append(f"{self._reader.damaged} damaged frames were left out")

    def stop(self) -> None:
        """A file does not make its reader wait."""


class FileSink:
    """A video file of frames alone; those made of pictures are written as 4:2:0."""

    def __init__(self, writer: VideoWriter, *, halves_chroma: bool) -> None:
        self.name, self.notes = writer.encoder, writer.notes
        self._writer, self._halves_chroma = writer, halves_chroma

    def write(self, frame: Frame) -> None:
        """Encode one frame."""
        self._writer.write(halve_chroma(frame) if self._halves_chroma else frame)


@contextmanager
def file_source(path: Path, on_error: OnError) -> Iterator[FileSource]:
    """Open a video file."""
    with VideoReader(path, on_error=on_error) as reader:
        yield FileSource(reader)


@contextmanager
def file_sink(path: Path, info: VideoInfo, options: EncodeOptions) -> Iterator[FileSink]:
    """Encode to a file that appears whole or not at all."""
    # Few players take the 4:4:4 that pictures become.
    halves_chroma = info.codec == PICTURES
    if halves_chroma:
        info = replace(info, layout=halved_layout(info.layout))
    with written_beside(path) as partial, VideoWriter(partial, info, options) as writer:
        yield FileSink(writer, halves_chroma=halves_chroma)
