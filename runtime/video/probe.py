"""What a video file holds, read from its header and first frame."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from runtime.video.color import BY_CUSTOM, ColorTags, Siting, siting_of, tags_of
from runtime.video.geometry import MATRIX_NUMBERS
from runtime.video.hdr import HdrMetadata, has_own_colors, hdr_of
from runtime.video.pixels import PixelLayout, layout_of

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MAX_SIDE = 16384
# How FFmpeg knows playlists of concat, HLS and DASH, and descriptions of streams.
LIST_HEADS = (b"ffconcat", b"#EXTM3U", b"<MPD", b"<?xml", b"v=0")

ATTACHED_PICTURE = 0x400
# Side data of frames that no encoder here takes, as FFmpeg calls it.
LEFT_OUT = MappingProxyType(
    {
        "STEREO3D": "the frame packing of 3D video",
        "SPHERICAL": "the projection of spherical video",
        "ICC_PROFILE": "the ICC profile",
        "AMBIENT_VIEWING_ENVIRONMENT": "the ambient viewing environment",
    }
)
# How many kinds of side data FFmpeg may have gained since PyAV named them.
MAX_UNNAMED = 16
# Exact, or made for editing at rates that show no artefacts.
LOSSLESS_CODECS = frozenset(
    {"rawvideo", "ffv1", "huffyuv", "ffvhuff", "utvideo", "magicyuv", "lagarith", "png", "apng"}
    | {"qtrle", "v210", "r210", "prores", "dnxhd", "cfhd", "jpeg2000"}
    | {"gif", "zmbv", "flashsv", "flashsv2", "cscd", "tscc", "msrle"}
)
# H.264 of about CRF 17, where students for clean pictures and for compressed video are even.
CLEAN_BITS_PER_PIXEL = 0.25
DEINTERLACE = "pass --deinterlace"
INTERLACED_ORDERS = range(2, 6)
# Decoders that see the alpha of VP8 and VP9, which FFmpeg's own do not.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


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
    hdr: HdrMetadata | None = None
    # How the siting is known.
    siting_reason: str = BY_CUSTOM
    # What the frames carry and no output can, in words.
    left_out: tuple[str, ...] = ()

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
        decoder = decoder_of(stream)
        frames = (frame for packet in container.demux(stream) for frame in decoder.decode(packet))
        frame = next(frames, None)
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
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise ValueError(f"{path} is an empty file")
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(LIST_HEADS):
        raise ValueError(f"{path} is a list of other files, which is not followed")
    with av_errors(f"{path} is not a video that can be read"):
        # A video must not reach the network.
        container = av.open(
            str(path.absolute()), container_options={"protocol_whitelist": "file"}, **text_options()
        )
    # Motion JPEG is read as a pipe of pictures, too.
    if container.format.name.endswith("_pipe") and container.format.name != "jpeg_pipe":
        container.close()
        raise ValueError(f"{path} is a picture, not a video; give it the suffix of its format")
    stream = container.streams.best("video")
    if stream is None or stream.codec_context is None or stream.disposition & ATTACHED_PICTURE:
        container.close()
        raise ValueError(f"{path} holds no video stream that can be decoded")
    return container, stream


def decoder_of(stream: VideoStream) -> VideoCodecContext:
    """What decodes a stream: FFmpeg's choice, or another where that would lose alpha."""
    from av.codec.codec import UnknownCodecError
    from av.codec.context import CodecContext

    context = stream.codec_context
    name = ALPHA_DECODERS.get(context.name)
    # Once as a property of the track, once as a tag that copies of tags turn to capitals.
    modes = (stream.metadata.get(key) for key in ("alpha_mode", "ALPHA_MODE"))
    if name is None or "1" not in modes:
        return context
    try:
        decoder: Any = CodecContext.create(name, "r")
    except UnknownCodecError:
        return context
    decoder.extradata = context.extradata
    return decoder  # type: ignore[no-any-return]


def describe(
    path: Path | str, stream: VideoStream, frame: VideoFrame, *, is_deinterlaced: bool = False
) -> VideoInfo:
    """Facts about a stream whose first frame is decoded.

    Raises ValueError for interlaced video, Dolby Vision without a base layer of its own, an
    unsupported pixel format or an absurd size.
    """
    if not (1 <= frame.width <= MAX_SIDE and 1 <= frame.height <= MAX_SIDE):
        raise ValueError(
            f"{path} has frames of {frame.width}x{frame.height}; at most {MAX_SIDE} is supported"
        )
    # PyAV shows it from version 18.1 on.
    order = int(getattr(stream.codec_context, "field_order", 0))
    if not is_deinterlaced and (frame.interlaced_frame or order in INTERLACED_ORDERS):
        raise ValueError(f"{path} is interlaced, which would be upscaled wrongly; {DEINTERLACE}")
    time_base = fraction_of(stream.time_base)
    if time_base is None:
        raise ValueError(f"{path} has no time base")
    side_data = _side_data(frame)
    if has_own_colors(side_data):
        raise ValueError(
            f"{path} is Dolby Vision of profile 5, whose colours only its own metadata makes "
            "sense of; a file with an HDR10 base layer (profile 8) is needed"
        )
    codec = stream.codec_context.codec.canonical_name
    siting, siting_reason = siting_of(frame, codec)
    return VideoInfo(
        width=frame.width,
        height=frame.height,
        layout=layout_of(frame.format.name),
        codec=codec,
        time_base=time_base,
        rate=fraction_of(stream.average_rate) or fraction_of(stream.guessed_rate),
        frames=_frame_count(stream),
        aspect=fraction_of(stream.sample_aspect_ratio),
        colors=tags_of(frame, stream.codec_context),
        siting=siting,
        display_matrix=_display_matrix(side_data),
        start=(frame.pts or 0) * time_base,
        hdr=hdr_of(side_data),
        siting_reason=siting_reason,
        left_out=tuple(text for name, text in LEFT_OUT.items() if name in side_data),
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
        return _named_side_data(frame)
    except ValueError:  # a kind that this PyAV has no name for, which hides the others
        return _named_side_data(_without_unnamed(frame))


def _named_side_data(frame: VideoFrame) -> dict[str, bytes]:
    items = [frame.side_data[index] for index in range(len(frame.side_data))]  # type: ignore
    return {item.type.name: bytes(item) for item in items}


def _without_unnamed(frame: VideoFrame) -> VideoFrame:
    """The same frame with the kinds of side data alone that PyAV has names for."""
    from av.filter import Graph
    from av.sidedata.sidedata import Type

    graph = Graph()
    values: list[Any] = [kind.value for kind in Type]
    last = max(values)
    chain = [
        graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base,
        ),
        *(
            graph.add("sidedata", f"mode=delete:type={kind}")
            for kind in range(last + 1, last + 1 + MAX_UNNAMED)
        ),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*chain).configure()
    graph.vpush(frame)
    graph.vpush(None)
    return graph.vpull()


def _display_matrix(side_data: dict[str, bytes]) -> tuple[int, ...] | None:
    data = side_data.get("DISPLAYMATRIX", b"")
    if len(data) != 4 * MATRIX_NUMBERS:
        return None
    matrix: tuple[int, ...] = struct.unpack(f"={MATRIX_NUMBERS}i", data)
    return matrix
