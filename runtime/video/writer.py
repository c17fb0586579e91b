"""A video file with upscaled frames and the other streams of its source."""

from __future__ import annotations

import contextlib
import io
from fractions import Fraction
from math import gcd, lcm
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
from runtime.video.probe import ATTACHED_PICTURE, VideoInfo, av_errors, fraction_of, text_options
from runtime.video.segments import EncodedPacket, unwrapped
from runtime.video.source import COPIED_TYPES, Cover, SourceFile, stream_tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from av.packet import Packet
    from av.stream import Stream

MP4_SUFFIXES = frozenset({".mp4", ".m4v", ".mov"})
# x265 (4.2) gives as few frames as these arbitrary decoding times; they need no reordering.
MAX_UNORDERED = 2
MAX_TIMESCALE = 2**31 - 1


class VideoWriter:
    """Encodes frames as they come, in order; a context manager that finishes the file.

    ``source`` is the input whose other streams, covers, tags and chapters are copied.
    The file is complete only after a clean end of the ``with`` body.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        options: EncodeOptions | None = None,
        *,
        source: SourceFile | None = None,
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
        self.shift = source.time_shift(path.suffix) if source else Fraction(0)
        carried = source.carried(path.suffix) if source else []
        with av_errors(f"no {path.suffix} file can be written to {path.absolute().parent}"):
            self._container = av.open(
                str(path.absolute()),
                "w",
                container_options=_muxer_options(path.suffix, info, carried),
                **text_options(),
            )
        try:
            with av_errors(f"no {path.suffix} file can be written to {path.absolute().parent}"):
                self._copies: dict[int, Stream] = {}
                for stream in carried:
                    if source is not None and stream.index == source.main.index:
                        self._stream = self._add_video(info, options)
                    else:
                        self._add_copy(stream)
                if source is None:
                    self._stream = self._add_video(info, options)
                covers = self._take_all_else(source) if source else []
                # The header now, so that an unwritable output ends the run before it begins.
                self._container.start_encoding()
                self._check_ticks(info)
                for cover in covers:
                    self._mux_cover(cover)
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

        item: Any = unwrapped(packet.data) if packet.has_alpha else Packet(packet.data)
        item.time_base = self._time_base
        item.pts, item.dts, item.duration = packet.pts, dts, packet.duration
        item.is_keyframe = packet.is_key
        item.stream = self._stream
        self._move(item)
        with av_errors(f"a frame at {float(packet.pts * self._time_base):.3f} s cannot be written"):
            self._container.mux(item)

    @property
    def copied(self) -> set[int]:
        """Which streams of the source are copied."""
        return set(self._copies)

    def copy(self, packets: Iterable[Packet[Any]]) -> None:
        """Write packets of the source unchanged; those of streams left out are dropped."""
        for packet in packets:
            stream = self._copies.get(packet.stream_index)
            if stream is None:
                continue
            with av_errors(f"a packet of stream {packet.stream_index} cannot be copied"):
                packet.stream = stream
                self._move(packet)
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
        if not self._can_hold(stream):
            self._refuse(stream)
            return
        copy = self._container.add_stream_from_template(stream)
        copy.metadata.update(stream_tags(stream))
        copy.disposition = stream.disposition
        self._copies[stream.index] = copy

    def _check_ticks(self, info: VideoInfo) -> None:
        tick = fraction_of(self._stream.time_base)
        if tick is not None and (info.time_base / tick).denominator != 1:
            self.notes.append(
                f"{self._path.suffix} counts time in {tick} s, to which frame times are rounded; "
                "write .mp4 to keep them"
            )

    def _can_hold(self, stream: Stream) -> bool:
        """Whether a file of this kind with such a stream alone can be begun and ended."""
        import av
        from av.error import FFmpegError

        is_cover = bool(stream.disposition & ATTACHED_PICTURE)
        try:
            with av.open(io.BytesIO(), "w", format=self._container.format.name) as trial:
                copy = trial.add_stream_from_template(stream)
                if is_cover:
                    return True  # which no file has alone
                copy.time_base = stream.time_base
                trial.start_encoding()
                if stream.codec_context and stream.codec_context.name.startswith("pcm_"):
                    trial.mux(_silence(copy))  # whose channels are looked at in the end alone
        except (FFmpegError, ValueError):
            return False
        return True

    def _refuse(self, stream: Stream) -> None:
        codec = stream.codec_context.name if stream.codec_context else "unknown"
        what = f"{stream.type} stream {stream.index} ({codec})"
        if stream.type == "audio":
            raise ValueError(
                f"{self._path.suffix} cannot hold {what}; write .mkv, which holds most"
            )
        self.notes.append(f"{self._path.suffix} cannot hold {what}: left out")

    def _take_all_else(self, source: SourceFile) -> list[Cover]:
        """Tags, chapters and covers; returns the covers that are streams, to be written later."""
        self._container.metadata.update(source.tags())
        self._stream.metadata.update(stream_tags(source.main))
        self._stream.disposition = source.main.disposition
        chapters = source.chapters(self.shift)
        if chapters:
            self._container.set_chapters(chapters)
        covers = source.covers()
        waiting = [cover for cover in covers if self._add_cover(cover)]
        # What is refused has its note already; MP4 shows the track of its chapters as data.
        silent = COPIED_TYPES | ({"data"} if chapters else set())
        for stream in source.streams:
            is_kept = stream.index in {source.main.index, *self._copies}
            if not is_kept and stream.type not in silent and not self._is_attached(stream, covers):
                self.notes.append(f"{stream.type} stream {stream.index} is left out")
        return waiting

    def _is_attached(self, stream: Stream, covers: list[Cover]) -> bool:
        is_matroska = self._path.suffix.lower() == ".mkv"
        return is_matroska and any(cover.stream.index == stream.index for cover in covers)

    def _add_cover(self, cover: Cover) -> bool:
        """Whether a cover became a stream, whose packet is to be written."""
        suffix = self._path.suffix.lower()
        if suffix == ".mkv":
            self._container.add_attachment(cover.file_name, cover.media_type, cover.data)
        if suffix not in MP4_SUFFIXES:
            return False
        self._add_copy(cover.stream)
        return cover.stream.index in self._copies

    def _mux_cover(self, cover: Cover) -> None:
        from av.packet import Packet

        item: Any = Packet(cover.data)
        item.time_base = Fraction(1, 1000)
        item.pts = item.dts = 0
        item.is_keyframe = True
        item.stream = self._copies[cover.stream.index]
        self._container.mux(item)
        # Its only packet; what the source repeats is not copied.
        del self._copies[cover.stream.index]

    def _move(self, packet: Any) -> None:
        """Shift the times of a packet, exactly where a finer tick can."""
        if not self.shift:
            return
        tick = _common_tick(Fraction(packet.time_base), self.shift)
        ticks = int(Fraction(packet.time_base) / tick)
        if tick.denominator > MAX_TIMESCALE:
            tick, ticks = Fraction(packet.time_base), 1
        moved = round(self.shift / tick)
        times = {name: getattr(packet, name) for name in ("pts", "dts")}
        duration = packet.duration
        packet.time_base = tick
        for name, stamp in times.items():
            if stamp is not None:
                setattr(packet, name, stamp * ticks + moved)
        if duration:
            packet.duration = duration * ticks


def _silence(stream: Stream) -> Packet[Any]:
    """A packet of uncompressed sound; 480 bytes are whole samples of up to 32 channels."""
    from av.packet import Packet

    packet: Any = Packet(bytes(480 * 32))
    packet.stream = stream
    packet.pts = packet.dts = 0
    packet.duration = 1
    return packet  # type: ignore[no-any-return]


def _common_tick(one: Fraction, other: Fraction) -> Fraction:
    """The longest time of which both are multiples."""
    both = gcd(one.numerator * other.denominator, other.numerator * one.denominator)
    return Fraction(both, one.denominator * other.denominator)


def _muxer_options(suffix: str, info: VideoInfo, streams: Sequence[Stream]) -> dict[str, str]:
    # Nothing random, such as Matroska's numbers of segment and tracks: equal input, equal bytes.
    options = {} if suffix.lower() in MP4_SUFFIXES else {"fflags": "+bitexact"}
    denominator = info.time_base.denominator
    if suffix.lower() not in MP4_SUFFIXES or not 1 < denominator <= MAX_TIMESCALE:
        return options
    # Edit lists count in the movie's time scale: with the default of 1/1000 s they would shift
    # a stream that starts late, or whose first frame waits for reordering, by part of a tick.
    timescale = denominator
    for ticks in (_ticks_a_second(stream) for stream in streams):
        common = lcm(timescale, ticks)
        timescale = common if common <= MAX_TIMESCALE else timescale
    return {
        **options,
        "movie_timescale": str(timescale),
        "video_track_timescale": str(denominator),
    }


def _ticks_a_second(stream: Stream) -> int:
    """In which MP4 counts a copied stream: sound in samples."""
    context: Any = stream.codec_context
    if stream.type == "audio":
        return int(context.sample_rate or 1)
    return stream.time_base.denominator if stream.time_base else 1
