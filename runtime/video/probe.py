"""What a video file holds, read from its header and first frame."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.video.color import ColorTags, Siting, siting_of, tags_of
from runtime.video.frame import PixelLayout, layout_of
from runtime.video.geometry import MATRIX_NUMBERS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MAX_SIDE = 16384

ATTACHED_PICTURE = 0x400
# Exact, or made for editing at rates that show no artefacts.
LOSSLESS_CODECS = frozenset(
    {"rawvideo", "ffv1", "huffyuv", "ffvhuff", "utvideo", "magicyuv", "lagarith", "png", "apng"}
    | {"qtrle", "v210", "r210", "prores", "dnxhd", "cfhd", "jpeg2000"}
)
# H.264 of about CRF 17, where students for clean pictures and for compressed video are even.
CLEAN_BITS_PER_PIXEL = 0.25
DEINTERLACE = "deinterlace it first, for example: ffmpeg -i IN -vf bwdif -c:a copy OUT"

# Side data that says how HDR was mastered; PyAV cannot hand it to an encoder.
HDR_SIDE_DATA = frozenset(
    {
        "MASTERING_DISPLAY_METADATA",
        "CONTENT_LIGHT_LEVEL",
        "DYNAMIC_HDR_PLUS",
        "DYNAMIC_HDR_VIVID",
        "DOVI_METADATA",
        "DOVI_RPU_BUFFER",
    }
)


@dataclass(frozen=True)
class VideoInfo:
    """Facts about one video stream."""

    width: int
    height: int
    layout: PixelLayout
    codec: str
    time_base: Fraction
    rate: Fraction | None
    # From the header, or from duration and rate; None if neither is there.
    frames: int | None
    aspect: Fraction | None
    colors: ColorTags
    siting: Siting
    display_matrix: tuple[int, ...] | None
    # Time of the first frame in seconds.
    start: Fraction = Fraction(0)
    has_hdr_metadata: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frame as coded, before rotation."""
        return self.width, self.height


def probe(path: Path) -> VideoInfo:
    """Facts about the main video stream of a file.

    Raises OSError if the file cannot be read, ValueError if it is not a supported video.
    """
    container, stream = open_video(path)
    with container, av_errors(f"{path} cannot be decoded"):
        frame = next(container.decode(stream), None)
        if frame is None:
            raise ValueError(f"{path} holds no frame that can be decoded")
        return describe(path, stream, frame)


def shows_compression(path: Path) -> bool:
    """Whether artefacts are to be expected: a lossy codec, and few bits a pixel or unknown ones.

    Raises as :func:`probe`.
    """
    container, stream = open_video(path)
    with container:
        if stream.codec_context.name in LOSSLESS_CODECS:
            return False
        rate = fraction_of(stream.average_rate)
        pixels = stream.width * stream.height * (float(rate) if rate else 0.0)
        bits = stream.bit_rate or container.bit_rate
        return not bits or not pixels or bits / pixels < CLEAN_BITS_PER_PIXEL


def open_video(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a file with its main video stream; cover pictures do not count.

    Raises OSError if the file cannot be read, ValueError if it is not a video.
    """
    import av

    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError(f"{path} is an empty file")
    with av_errors(f"{path} is not a video that can be read"):
        # A playlist under a video's name must not reach the network.
        container = av.open(
            str(path.absolute()), container_options={"protocol_whitelist": "file"}, **text_options()
        )
    stream = container.streams.best("video")
    if stream is None or stream.codec_context is None or stream.disposition & ATTACHED_PICTURE:
        container.close()
        raise ValueError(f"{path} holds no video stream that can be decoded")
    return container, stream


def describe(path: Path | str, stream: VideoStream, frame: VideoFrame) -> VideoInfo:
    """Facts about a stream whose first frame is decoded.

    Raises ValueError for interlaced video, an unsupported pixel format or an absurd size.
    """
    if not (1 <= frame.width <= MAX_SIDE and 1 <= frame.height <= MAX_SIDE):
        raise ValueError(
            f"{path} has frames of {frame.width}x{frame.height}; at most {MAX_SIDE} is supported"
        )
    if frame.interlaced_frame:
        raise ValueError(f"{path} is interlaced, which would be upscaled wrongly; {DEINTERLACE}")
    time_base = fraction_of(stream.time_base)
    if time_base is None:
        raise ValueError(f"{path} has no time base")
    side_data = _side_data(frame)
    return VideoInfo(
        width=frame.width,
        height=frame.height,
        layout=layout_of(frame.format.name),
        codec=stream.codec_context.name,
        time_base=time_base,
        rate=fraction_of(stream.average_rate) or fraction_of(stream.guessed_rate),
        frames=_frame_count(stream),
        aspect=fraction_of(stream.sample_aspect_ratio),
        colors=tags_of(frame, stream.codec_context),
        siting=siting_of(frame, stream.codec_context.name),
        display_matrix=_display_matrix(side_data),
        start=(frame.pts or 0) * time_base,
        has_hdr_metadata=bool(HDR_SIDE_DATA & side_data.keys()),
    )


@contextmanager
def av_errors(context: str) -> Iterator[None]:
    """Turn what FFmpeg reports into OSError (files) or ValueError (content), as one line."""
    from av.error import FFmpegError

    try:
        yield
    except FFmpegError as error:
        kind = OSError if isinstance(error, OSError) else ValueError
        raise kind(f"{context}: {error.strerror}") from error


def text_options() -> dict[str, Any]:
    """How ``av.open`` passes text tags through unharmed, whatever their encoding."""
    import av

    # From version 19 on this is what PyAV does, and the option is gone.
    is_default = int(av.__version__.split(".")[0]) >= 19
    return {} if is_default else {"metadata_errors": "surrogateescape"}


def fraction_of(value: Any) -> Fraction | None:
    """A rational of PyAV as a Fraction; None if it is absent or 0."""
    return Fraction(value.numerator, value.denominator) if value else None


def _frame_count(stream: VideoStream) -> int | None:
    if stream.frames > 0:
        return stream.frames
    rate = fraction_of(stream.average_rate)
    if rate is None:
        return None
    if stream.duration and stream.time_base:
        return round(stream.duration * stream.time_base * rate)
    container: Any = stream.container
    return round(container.duration * rate / 1_000_000) if container.duration else None


def _side_data(frame: VideoFrame) -> dict[str, bytes]:
    try:
        items = [frame.side_data[index] for index in range(len(frame.side_data))]  # type: ignore
        return {item.type.name: bytes(item) for item in items}
    except ValueError:  # kinds that this PyAV has no name for
        return {}


def _display_matrix(side_data: dict[str, bytes]) -> tuple[int, ...] | None:
    data = side_data.get("DISPLAYMATRIX", b"")
    if len(data) != 4 * MATRIX_NUMBERS:
        return None
    matrix: tuple[int, ...] = struct.unpack(f"={MATRIX_NUMBERS}i", data)
    return matrix
