"""YUV4MPEG2, the uncompressed video that programs pass each other through pipes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from runtime.streams.pipes import ByteReader, byte_reader, byte_writer, write_all
from runtime.streams.raw import (
    DEFAULT_RATE,
    MAX_RATE,
    ConstantRate,
    FrameBytes,
    check_whole,
    raw_info,
)
from runtime.video.color import (
    RANGE_FULL,
    RANGE_LIMITED,
    RANGE_UNSPECIFIED,
    UNSPECIFIED,
    ColorTags,
    Siting,
    guessed_matrix,
)
from runtime.video.frame import Frame
from runtime.video.pixels import layout_of
from runtime.video.probe import DEINTERLACE, MAX_SIDE, VideoInfo

MAGIC = b"YUV4MPEG2"
FRAME = b"FRAME"
MAX_LINE = 1024
MAX_NUMBER = 2**31 - 1

SITINGS: Mapping[str, Siting] = MappingProxyType(
    {
        "420jpeg": Siting(is_left=False),
        "420mpeg2": Siting(),
        "420paldv": Siting(is_left=True, is_top=True),
    }
)
# Of FFmpeg and mjpegtools alike; without a tag it is 4:2:0 as in JPEG.
SHORT_NAMES: Mapping[str, str] = MappingProxyType({"": "420jpeg", "420": "420jpeg"})
RANGES: Mapping[str, int] = MappingProxyType({"LIMITED": RANGE_LIMITED, "FULL": RANGE_FULL})
MATRIX_NAMES: Mapping[int, str] = MappingProxyType({1: "BT.709", 5: "BT.601", 6: "BT.601"})


@dataclass(frozen=True)
class _Header:
    pixel_format: str
    info: VideoInfo


class Y4mSource:
    """YUV4MPEG2 from a reader that stands at its beginning.

    Raises ValueError if it is something else, or interlaced.
    """

    def __init__(self, reader: ByteReader) -> None:
        self.notes: list[str] = []
        self._reader = reader
        header = _read_header(reader)
        self.info = header.info
        self._frames = FrameBytes(header.pixel_format, *header.info.size)

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while self._starts_frame(index):
            data = self._reader.read(self._frames.size)
            check_whole(self._reader.name, index, len(data), self._frames.size)
            yield self._frames.unpack(data, index, 1 / self.info.time_base)
            index += 1

    def stop(self) -> None:
        """End a wait for the next frame."""
        self._reader.stop()

    def _starts_frame(self, index: int) -> bool:
        line = self._reader.read_line(MAX_LINE)
        if not line:
            return False
        if line.endswith(b"\n") and line.split()[:1] == [FRAME]:
            return True
        if FRAME.startswith(line[: len(FRAME)]) and not line.endswith(b"\n"):
            raise ValueError(f"{self._reader.name} is truncated: frame {index + 1} has no samples")
        raise ValueError(f"{self._reader.name} is damaged: frame {index + 1} does not begin as one")


class Y4mSink:
    """YUV4MPEG2 in the planar format of its frames."""

    name = "yuv4mpeg"

    def __init__(self, file: BinaryIO, info: VideoInfo) -> None:
        self._file = file
        self._frames = FrameBytes(info.layout.planar_name, *info.size)
        self._rate = ConstantRate(info)
        self.notes = self._rate.notes
        self.notes += _losses(info)
        write_all(file, _header_line(info, self._rate.rate))

    def write(self, frame: Frame) -> None:
        """Write one frame."""
        self._rate.follow(frame)
        write_all(self._file, FRAME + b"\n" + self._frames.pack(frame))


@contextmanager
def y4m_source(path: Path) -> Iterator[Y4mSource]:
    """YUV4MPEG2 from a file, or from stdin for ``-``."""
    with byte_reader(path) as reader:
        yield Y4mSource(reader)


@contextmanager
def y4m_sink(path: Path, info: VideoInfo) -> Iterator[Y4mSink]:
    """YUV4MPEG2 to a file, or to stdout for ``-``."""
    with byte_writer(path) as file:
        yield Y4mSink(file, info)


def _read_header(reader: ByteReader) -> _Header:
    name = reader.name
    line = reader.read_line(MAX_LINE)
    if not line:
        raise ValueError(f"{name} is empty; YUV4MPEG2 is needed, or --raw-input")
    magic, *fields = line.split()
    if magic != MAGIC or not line.endswith(b"\n"):
        raise ValueError(
            f"{name} is not YUV4MPEG2; make it with ffmpeg -f yuv4mpegpipe, or describe raw video "
            "with --raw-input 640x360:yuv420p:25"
        )
    tags = {chr(field[0]): field[1:].decode("ascii", "replace") for field in fields}
    if tags.get("I", "?") not in ("p", "?"):
        raise ValueError(f"{name} is interlaced, which would be upscaled wrongly; {DEINTERLACE}")
    width, height = (_side(name, tag, tags.get(tag, "")) for tag in "WH")
    rate = _ratio(name, "frame rate", tags.get("F", "0:0")) or DEFAULT_RATE
    if rate > MAX_RATE:
        raise ValueError(f"{name} has an absurd frame rate of {float(rate):g}")
    colorspace = tags.get("C", "")
    colorspace = SHORT_NAMES.get(colorspace, colorspace)
    pixel_format = _pixel_format(colorspace)
    info = replace(
        raw_info(width, height, layout_of(pixel_format), rate),
        aspect=_ratio(name, "aspect ratio", tags.get("A", "0:0")),
        siting=SITINGS.get(colorspace, Siting()),
        colors=ColorTags(sample_range=_sample_range(fields)),
    )
    return _Header(pixel_format, info)


def _side(name: str, tag: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:9]) <= MAX_SIDE:
        raise ValueError(f"{name} has a side {tag}{text}; 1 to {MAX_SIDE} is supported")
    return int(text)


def _ratio(name: str, what: str, text: str) -> Fraction | None:
    """A ratio such as ``25:1``; None if it is left open."""
    first, colon, second = text.partition(":")
    is_valid = colon and first.isdecimal() and second.isdecimal()
    if not is_valid or max(len(first), len(second)) > 10:
        raise ValueError(f"{name} has a {what} of {text[:40]!r}, which is none")
    numbers = int(first), int(second)
    if max(numbers) > MAX_NUMBER:
        raise ValueError(f"{name} has a {what} of {text}, which is absurd")
    return Fraction(*numbers) if all(numbers) else None


def _pixel_format(colorspace: str) -> str:
    """FFmpeg's name for what y4m calls ``420mpeg2``, ``422p10`` or ``mono12``."""
    if colorspace in SITINGS:
        return "yuv420p"
    if colorspace.startswith("mono"):
        depth = colorspace.removeprefix("mono")
        return f"gray{depth}le" if depth else "gray"
    chroma, _, depth = colorspace.partition("p")
    return f"yuv{chroma}p{depth}le" if depth.isdecimal() else f"yuv{colorspace}p"


def _sample_range(fields: list[bytes]) -> int:
    prefix = b"XCOLORRANGE="
    values = [field.removeprefix(prefix) for field in fields if field.startswith(prefix)]
    return RANGES.get(values[-1].decode("ascii", "replace"), RANGE_UNSPECIFIED) if values else 0


def _header_line(info: VideoInfo, rate: Fraction) -> bytes:
    aspect = (0, 0) if info.aspect is None else info.aspect.as_integer_ratio()
    fields = [
        MAGIC.decode(),
        f"W{info.width}",
        f"H{info.height}",
        f"F{rate.numerator}:{rate.denominator}",
        "Ip",
        f"A{aspect[0]}:{aspect[1]}",
        f"C{_colorspace(info)}",
    ]
    fields += [f"XCOLORRANGE={k}" for k, v in RANGES.items() if v == info.colors.sample_range]
    return " ".join(fields).encode() + b"\n"


def _colorspace(info: VideoInfo) -> str:
    depth = info.layout.bit_depth
    suffix = "" if depth == 8 else f"p{depth}"
    if info.layout.subsampling == (2, 2) and depth == 8:
        return next((name for name, s in SITINGS.items() if s == info.siting), "420mpeg2")
    name = info.layout.planar_name.removesuffix("le")
    if name.startswith("gray"):
        return name.replace("gray", "mono")
    return name.removeprefix("yuv").partition("p")[0] + suffix


def _losses(info: VideoInfo) -> list[str]:
    """What YUV4MPEG2 has no word for."""
    notes = []
    matrix = info.colors.matrix
    named = MATRIX_NAMES.get(matrix, f"number {matrix} of ITU-T H.273")
    if matrix != UNSPECIFIED and named != guessed_matrix(*info.size):
        notes.append(f"YUV4MPEG2 names no colour matrix; tell the reader that it is {named}")
    can_site = info.layout.bit_depth == 8 and info.siting in SITINGS.values()
    if info.layout.subsampling == (2, 2) and info.siting != Siting() and not can_site:
        notes.append(f"YUV4MPEG2 cannot say that chroma lies {info.siting.location} here")
    return notes
