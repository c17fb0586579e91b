"""Video without any container: the samples of one frame after another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from runtime.streams.pipes import ByteReader, byte_reader, byte_writer, write_all
from runtime.video.color import ColorTags, Siting
from runtime.video.frame import Frame, av_from_frame, frame_from_av
from runtime.video.pixels import PixelLayout, layout_of
from runtime.video.probe import MAX_SIDE, VideoInfo, av_errors

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

DEFAULT_RATE = Fraction(25)
MAX_RATE = 1000
RAW_SUFFIXES = frozenset({".yuv", ".raw"})


@dataclass(frozen=True)
class RawFormat:
    """What nobody can tell from the bytes."""

    width: int
    height: int
    pixel_format: str
    rate: Fraction

    @staticmethod
    def parse(text: str) -> RawFormat:
        """Read ``640x360:yuv420p:25``; the rate may be ``30000/1001``, and is 25 if left out."""
        size, _, rest = text.partition(":")
        pixel_format, _, rate = rest.partition(":")
        width, cross, height = size.partition("x")
        if not (cross and width.isdecimal() and height.isdecimal() and pixel_format):
            raise ValueError(f"{text!r} is not of the form 640x360:yuv420p:25")
        if not all(1 <= int(side) <= MAX_SIDE for side in (width, height)):
            raise ValueError(f"{size} is not between 1x1 and {MAX_SIDE}x{MAX_SIDE}")
        layout_of(pixel_format)
        return RawFormat(int(width), int(height), pixel_format, parse_rate(rate or "25"))


def parse_rate(text: str) -> Fraction:
    """Frames a second: ``25``, ``29.97`` or ``30000/1001``."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{text!r} is no frame rate; use 25 or 30000/1001") from None
    if not 0 < rate <= MAX_RATE or rate.denominator > 1_000_000:
        raise ValueError(f"frame rate {text} is not between 0 and {MAX_RATE}")
    return rate


class FrameBytes:
    """Frames of one pixel format and size as bytes: planes one after another, without padding."""

    def __init__(self, pixel_format: str, width: int, height: int) -> None:
        import av
        from av.video.frame import VideoFrame

        self._decoder = av.CodecContext.create("rawvideo", "r")
        self._encoder = av.CodecContext.create("rawvideo", "w")
        self._encoder.time_base = Fraction(1, 25)  # it wants one; nothing depends on it
        for codec in (self._decoder, self._encoder):
            codec.width, codec.height, codec.pix_fmt = width, height, pixel_format
        self.size = len(self._encode(VideoFrame(width, height, pixel_format)))

    def unpack(self, data: bytes, index: int, rate: Fraction) -> Frame:
        """The frame of ``size`` bytes; its time is ``index`` frames of a constant rate."""
        import av

        frame = self._decoder.decode(av.Packet(data))[0]
        frame.duration = 1
        return frame_from_av(frame, index, 1 / rate)

    def pack(self, frame: Frame) -> bytes:
        """The bytes of a frame of a planar format."""
        return self._encode(av_from_frame(frame))

    def _encode(self, frame: VideoFrame) -> bytes:
        frame.pts = 0
        with av_errors("a frame cannot be written as raw video"):
            return bytes(self._encoder.encode(frame)[0])


class RawSource:
    """Raw video of a known format."""

    def __init__(self, reader: ByteReader, raw: RawFormat) -> None:
        self.notes: list[str] = []
        self.info = raw_info(raw.width, raw.height, layout_of(raw.pixel_format), raw.rate)
        self._reader = reader
        self._frames = FrameBytes(raw.pixel_format, raw.width, raw.height)
        self._rate = raw.rate

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while data := self._reader.read(self._frames.size):
            check_whole(self._reader.name, index, len(data), self._frames.size)
            yield self._frames.unpack(data, index, self._rate)
            index += 1

    def stop(self) -> None:
        """End a wait for the next frame."""
        self._reader.stop()


class RawSink:
    """Raw video in the planar format of its frames."""

    name = "rawvideo"

    def __init__(self, file: BinaryIO, info: VideoInfo) -> None:
        self._file = file
        self._frames = FrameBytes(info.layout.planar_name, *info.size)
        self._rate = ConstantRate(info)
        self.notes = self._rate.notes

    def write(self, frame: Frame) -> None:
        """Write the samples of one frame."""
        self._rate.follow(frame)
        write_all(self._file, self._frames.pack(frame))


class ConstantRate:
    """The rate of an output that holds no frame times, with a note if they are not constant."""

    def __init__(self, info: VideoInfo) -> None:
        self.rate = info.rate or DEFAULT_RATE
        self.notes: list[str] = []
        if info.rate is None:
            self.notes.append(f"the input names no frame rate; {self.rate} is written")
        self._start: Fraction | None = None
        self._count = 0
        self._is_constant = True

    def follow(self, frame: Frame) -> None:
        """Compare the time of the next frame with what the constant rate makes of it."""
        time = frame.pts * frame.time_base
        if self._start is None:
            self._start = time
        is_off = abs((time - self._start) * self.rate - self._count) > 1
        self._count += 1
        if is_off and self._is_constant:
            self._is_constant = False
            self.notes.append(
                f"frame times differ from a constant {float(self.rate):.3f} fps, all that raw "
                "video and YUV4MPEG2 can say; write a video file to keep them"
            )


@contextmanager
def raw_source(path: Path, raw: RawFormat) -> Iterator[RawSource]:
    """Raw video from a file, or from stdin for ``-``."""
    with byte_reader(path) as reader:
        yield RawSource(reader, raw)


@contextmanager
def raw_sink(path: Path, info: VideoInfo) -> Iterator[RawSink]:
    """Raw video to a file, or to stdout for ``-``."""
    with byte_writer(path) as file:
        yield RawSink(file, info)


def raw_info(width: int, height: int, layout: PixelLayout, rate: Fraction) -> VideoInfo:
    """Facts about video that says nothing about its colours."""
    return VideoInfo(
        width=width,
        height=height,
        layout=layout,
        codec="rawvideo",
        time_base=1 / rate,
        rate=rate,
        frames=None,
        aspect=None,
        colors=ColorTags(),
        siting=Siting(),
        display_matrix=None,
    )


def check_whole(name: str, index: int, size: int, wanted: int) -> None:
    """Refuse a frame that ends too early. Raises ValueError."""
    if size < wanted:
        raise ValueError(f"{name} is truncated: frame {index + 1} has {size} of {wanted} bytes")
