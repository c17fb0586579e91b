"""A video file with upscaled frames and the other streams of its source."""

from __future__ import annotations

import contextlib
from math import lcm
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from runtime.video.encoder import (
    EncodeOptions,
    choose_codec,
    describe_video,
    encoder_options,
)
from runtime.video.frame import Frame, av_from_frame
from runtime.video.probe import VideoInfo, av_errors, fraction_of, text_options
from runtime.video.segments import EncodedPacket

if TYPE_CHECKING:
    from collections.abc import Iterable

    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

# What a muxer writes itself, or what was true of the source file alone.
DROPPED_TAGS = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id"}
)
STATISTICS_PREFIXES = ("bps", "number_of_", "_statistics_", "duration-")
MP4_SUFFIXES = frozenset({".mp4", ".m4v", ".mov"})
# x265 (4.2) gives as few frames as these arbitrary decoding times; they need no reordering.
MAX_UNORDERED = 2
MAX_TIMESCALE = 2**31 - 1


class VideoWriter:
    """Encodes frames as they come, in order; a context manager that finishes the file.

    ``source`` with ``stream_index`` is the input whose other streams, tags and chapters are copied.
    The file is complete only after a clean end of the ``with`` body.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        options: EncodeOptions | None = None,
        *,
        source: InputContainer | None = None,
        stream_index: int = 0,
    ) -> None:
        import av

        self.notes: list[str] = []
        self._path = path
        self._count = 0
        self._time_base = info.time_base
        options = options or EncodeOptions()
        self._info = info
        self._encoding = choose_codec(path.suffix, info, options)
        self.notes.extend(self._encoding.notes)
        streams = _carried_streams(source, path.suffix, stream_index)
        with av_errors(f"no {path.suffix} file can be written to {path.absolute().parent}"):
            self._container = av.open(
                str(path.absolute()),
                "w",
                container_options=_muxer_options(path.suffix, info, streams),
                **text_options(),
            )
        try:
            with av_errors(f"no {path.suffix} file can be written to {path.absolute().parent}"):
                self._copies: dict[int, Stream] = {}
                for stream in streams:
                    if stream is None:
                        self._stream = self._add_video(info, options)
                    else:
                        self._add_copy(stream)
                if source is not None:
                    self._take_tags(source, stream_index)
                # The header now, so that an unwritable output ends the run before it begins.
                self._container.start_encoding()
                self._check_ticks(info)
        except BaseException:
            self.abandon()
            raise

    @property
    def encoder(self) -> str:
        """Name of the encoder in use."""
        return self._encoding.encoder

    @property
    def extradata(self) -> bytes:
        """Codec headers; what is written encoded must have the same."""
        return bytes(self._stream.codec_context.extradata or b"")

    def write(self, frame: Frame) -> None:
        """Encode one frame, later than all before."""
        self._count += 1
        with av_errors(f"{self.encoder} fails at {frame.time_s:.3f} s"):
            coded = av_from_frame(frame, self._encoding.pixel_format, self._info.colors)
            self._container.mux(self._stream.encode(coded))

    def write_encoded(self, packet: EncodedPacket, dts: int) -> None:
        """Write a frame that another encoder of the same settings has encoded, at ``dts``."""
        from av.packet import Packet

        item: Any = Packet(packet.data)
        item.stream = self._stream
        item.time_base = self._time_base
        item.pts, item.dts, item.duration = packet.pts, dts, packet.duration
        item.is_keyframe = packet.is_key
        with av_errors(f"a frame at {float(packet.pts * self._time_base):.3f} s cannot be written"):
            self._container.mux(item)

    def copy(self, packets: Iterable[Packet[Any]]) -> None:
        """Write packets of the source unchanged; those of streams left out are dropped."""
        for packet in packets:
            stream = self._copies.get(packet.stream_index)
            if stream is None:
                continue
            with av_errors(f"a packet of stream {packet.stream_index} cannot be copied"):
                packet.stream = stream
                self._container.mux(packet)

    def finish(self) -> None:
        """Flush the encoder; write what closes the file."""
        with av_errors(f"the {self._path.suffix} file cannot be finished"):
            packets = self._stream.encode(None) if self._count else []
            if self._count <= MAX_UNORDERED:
                for packet in packets:
                    packet.dts = packet.pts
            self._container.mux(packets)
            self._container.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.abandon()
            return
        try:
            self.finish()
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Close what is not to be kept."""
        from av.error import FFmpegError

        # The file is thrown away, so what the muxer thinks of its state does not matter.
        with contextlib.suppress(FFmpegError, OSError, ValueError):
            self._container.close()

    def _add_video(self, info: VideoInfo, options: EncodeOptions) -> Any:
        stream = self._container.add_stream(
            self.encoder,
            rate=info.rate or 25,
            options=encoder_options(self._encoding, options, info),
        )
        stream.time_base = info.time_base
        context: Any = stream.codec_context
        describe_video(context, info, self._encoding)
        if self._encoding.codec == "hevc" and self._path.suffix.lower() in MP4_SUFFIXES:
            context.codec_tag = "hvc1"  # players of Apple take no other
        if info.display_matrix is not None:
            stream.set_display_matrix(info.display_matrix)
        with av_errors(f"{self.encoder} takes no {info.width}x{info.height} {context.pix_fmt}"):
            context.open()
        return stream

    def _add_copy(self, stream: Stream) -> None:
        try:
            copy = self._container.add_stream_from_template(stream)
        except ValueError as error:
            self._refuse(stream, error)
            return
        _copy_tags(stream, copy)
        self._copies[stream.index] = copy

    def _check_ticks(self, info: VideoInfo) -> None:
        tick = fraction_of(self._stream.time_base)
        if tick is not None and (info.time_base / tick).denominator != 1:
            self.notes.append(
                f"{self._path.suffix} counts time in {tick} s, to which frame times are rounded; "
                "write .mp4 to keep them"
            )

    def _refuse(self, stream: Stream, error: ValueError) -> None:
        codec = stream.codec_context.name if stream.codec_context else "unknown"
        what = f"{stream.type} stream {stream.index} ({codec})"
        if stream.type == "audio":
            raise ValueError(
                f"{self._path.suffix} cannot hold {what}; write .mkv, which holds most"
            ) from error
        self.notes.append(f"{self._path.suffix} cannot hold {what}: left out")

    def _take_tags(self, source: InputContainer, stream_index: int) -> None:
        self._container.metadata.update(_kept(source.metadata))
        _copy_tags(source.streams[stream_index], self._stream)
        chapters = source.chapters()
        if chapters:
            self._container.set_chapters(chapters)
        kept = {stream_index, *self._copies}
        # What is refused has its note already; MP4 shows the track of its chapters as data.
        silent = {"audio", "subtitle", *(["data"] if chapters else [])}
        for stream in source.streams:
            if stream.index not in kept and stream.type not in silent:
                self.notes.append(f"{stream.type} stream {stream.index} is left out")


def _carried_streams(
    source: InputContainer | None, suffix: str, stream_index: int
) -> list[Stream | None]:
    """The streams to copy in their order, with None in the place of the upscaled one."""
    if source is None:
        return [None]
    kinds = {"audio", "subtitle"}
    if suffix.lower() == ".mkv":
        kinds.add("attachment")  # fonts of the subtitles
    return [
        None if stream.index == stream_index else stream
        for stream in source.streams
        if stream.type in kinds or stream.index == stream_index
    ]


def _muxer_options(suffix: str, info: VideoInfo, streams: list[Stream | None]) -> dict[str, str]:
    # Nothing random, such as Matroska's numbers of segment and tracks: equal input, equal bytes.
    options = {"fflags": "+bitexact"}
    denominator = info.time_base.denominator
    if suffix.lower() not in MP4_SUFFIXES or not 1 < denominator <= MAX_TIMESCALE:
        return options
    # Edit lists count in the movie's time scale: with the default of 1/1000 s they would shift
    # a video that starts late, or whose first frame waits for reordering, by part of a tick.
    timescale = denominator
    for stream in streams:
        if stream is not None and stream.time_base:
            common = lcm(timescale, stream.time_base.denominator)
            timescale = common if common <= MAX_TIMESCALE else timescale
    return {
        **options,
        "movie_timescale": str(timescale),
        "video_track_timescale": str(denominator),
    }


def _copy_tags(source: Stream, target: Stream) -> None:
    target.metadata.update(_kept(source.metadata))
    target.disposition = source.disposition


def _kept(tags: dict[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in tags.items()
        if key.lower() not in DROPPED_TAGS and not key.lower().startswith(STATISTICS_PREFIXES)
    }
