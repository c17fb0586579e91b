"""What a clip holds, stream by stream, in exact seconds."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.float32]
Chapter = tuple[Fraction, Fraction, str]

ATTACHED_PICTURE = 0x400
LIMITED_RANGE, FULL_RANGE = 1, 2
# Their clocks start anywhere; what a viewer sees starts with the first packet.
FREE_CLOCKS = frozenset({"mpegts", "mpeg"})
SIDE_DATA = (
    "MASTERING_DISPLAY_METADATA",
    "CONTENT_LIGHT_LEVEL",
    "DYNAMIC_HDR_PLUS",
    "DOVI_METADATA",
    "AMBIENT_VIEWING_ENVIRONMENT",
    "STEREO3D",
    "SPHERICAL",
)


@dataclass(frozen=True)
class Packet:
    """One packet of a copied stream; times in seconds, None where the file has none."""

    time: Fraction | None
    duration: Fraction
    data: bytes


@dataclass(frozen=True)
class StreamFacts:
    """One stream that is not the upscaled one."""

    index: int
    kind: str
    codec: str
    time_base: Fraction
    tags: Mapping[str, str]
    disposition: int
    # Sample rate, channels; width and height of a cover.
    shape: tuple[Any, ...]
    packets: tuple[Packet, ...]


@dataclass(frozen=True)
class VideoFacts:
    """The video stream that is shown."""

    index: int
    codec: str
    time_base: Fraction
    tags: Mapping[str, str]
    disposition: int
    # By name; all must be alike in both clips but for size and matrix, which are scaled.
    size: tuple[int, int]
    look: Mapping[str, Any]
    matrix: tuple[int, ...]
    times: tuple[Fraction | None, ...]
    # When the last packet ends; None where the file stores no durations.
    end: Fraction | None
    damaged: int
    captioned: int
    # Whether the chroma of the first frame is that of grey.
    neutral: bool


@dataclass(frozen=True)
class ClipFacts:
    """All that is compared but the pictures."""

    path: Path
    format: str
    start: Fraction
    tags: Mapping[str, str]
    chapters: tuple[Chapter, ...]
    video: VideoFacts
    others: tuple[StreamFacts, ...]


def open_clip(path: Path) -> Any:
    """Open a file. ValueError if it is none that PyAV reads."""
    options: dict[str, Any] = {"container_options": {"protocol_whitelist": "file"}}
    if int(av.__version__.split(".")[0]) < 19:
        options["metadata_errors"] = "surrogateescape"
    try:
        return av.open(str(path), **options)
    except av.FFmpegError as error:
        raise ValueError(f"{path} cannot be opened: {error.strerror}") from error


def main_video(path: Path, wanted: tuple[int, int] | None = None) -> int:
    """Index of the video stream that is shown, or of the one of the wanted size."""
    with open_clip(path) as container:
        shown = [s for s in container.streams.video if not s.disposition & ATTACHED_PICTURE]
        best = container.streams.best("video")
        shown.sort(key=lambda stream: stream is not best)
        sized = [s for s in shown if wanted in (None, (s.width, s.height))]
        if not (sized or shown):
            raise ValueError(f"{path} has no video stream")
        return int((sized or shown)[0].index)


def read_facts(path: Path, index: int) -> ClipFacts:
    """Read all packets, decode the video stream ``index``. ValueError if that cannot be done."""
    with open_clip(path) as container:
        main = container.streams[index]
        packets: dict[int, list[Packet]] = {stream.index: [] for stream in container.streams}
        frames = _Frames()
        stamps: list[Fraction] = []
        ends: list[Fraction] = []
        for packet in container.demux():
            if packet.dts is None and packet.size == 0:
                if packet.stream.index == index:
                    frames.add(packet)
                continue
            read = _packet(packet)
            if packet.stream.index != index:
                packets[packet.stream.index].append(read)
                continue
            frames.add(packet)
            if not packet.is_discard and read.time is not None:
                stamps.append(read.time)
                if packet.duration:
                    ends.append(read.time + read.duration)
        first = frames.first
        if first is None:
            raise ValueError(f"{path} has no frame that can be decoded")
        times = tuple(frames.times)
        if container.format.name == "avi":
            # It counts packets in the order of decoding; frames are shown in order of time.
            times = tuple(sorted(stamps)[: len(times)])
        video = VideoFacts(
            index=index,
            codec=main.codec_context.name,
            time_base=Fraction(main.time_base),
            tags=dict(main.metadata),
            disposition=int(main.disposition),
            size=(first.width, first.height),
            look=_look(first, main) | ({"alpha": True} if frames.alpha else {}),
            matrix=_matrix(first),
            times=times,
            end=max(ends) if ends and len(ends) == len(stamps) else None,
            damaged=frames.damaged,
            captioned=frames.captioned,
            neutral=_is_neutral(first),
        )
        return ClipFacts(
            path=path,
            format=container.format.name,
            start=Fraction(container.start_time or 0, 1_000_000),
            tags=dict(container.metadata),
            chapters=tuple(_chapter(chapter) for chapter in container.chapters()),
            video=video,
            others=tuple(
                _stream(stream, packets[stream.index])
                for stream in container.streams
                if stream.index != index
            ),
        )


def lumas(path: Path, index: int) -> Iterator[Luma]:
    """Luminance of every frame in grey levels from 0 to 255, whatever its depth."""
    with open_clip(path) as container:
        stream = container.streams[index]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            yield _luma(frame)


class _Frames:
    """What is kept of the frames as they are decoded."""

    def __init__(self) -> None:
        self.first: Any = None
        self.times: list[Fraction | None] = []
        self.damaged = self.captioned = self.alpha = 0

    def add(self, packet: Any) -> None:
        # VP8 and VP9 keep alpha in a stream within the stream.
        self.alpha += packet.has_sidedata("matroska_block_additional")
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self.damaged += 1
            return
        for frame in frames:
            self.first = self.first or frame
            stamp = frame.dts if frame.pts is None else frame.pts
            base = Fraction(frame.time_base) if frame.time_base else None
            self.times.append(None if stamp is None or base is None else stamp * base)
            self.damaged += bool(frame.is_corrupt)
            self.captioned += "A53_CC" in _side_data(frame)


def _packet(packet: Any) -> Packet:
    base = Fraction(packet.time_base) if packet.time_base else Fraction(0)
    stamp = packet.dts if packet.pts is None else packet.pts
    return Packet(
        None if stamp is None else stamp * base, (packet.duration or 0) * base, bytes(packet)
    )


def _stream(stream: Any, packets: list[Packet]) -> StreamFacts:
    context = stream.codec_context
    shape: tuple[Any, ...] = ()
    if stream.type == "audio":
        shape = (context.sample_rate, len(context.layout.channels))
    if stream.type == "video":
        shape = (context.width, context.height)
    if stream.type == "attachment":
        packets = [Packet(None, Fraction(0), bytes(stream.data))]
    return StreamFacts(
        index=stream.index,
        kind="cover" if stream.disposition & ATTACHED_PICTURE else stream.type,
        codec=context.name if context else "",
        time_base=Fraction(stream.time_base) if stream.time_base else Fraction(0),
        tags=dict(stream.metadata),
        disposition=int(stream.disposition),
        shape=shape,
        packets=tuple(packets),
    )


def _chapter(chapter: Any) -> Chapter:
    base = Fraction(chapter["time_base"])
    return chapter["start"] * base, chapter["end"] * base, chapter["metadata"].get("title", "")


def _look(frame: Any, stream: Any) -> dict[str, Any]:
    context, pixels = stream.codec_context, frame.format
    colours = [c for c in pixels.components if not c.is_alpha]
    aspect = stream.sample_aspect_ratio
    side_data = _side_data(frame)
    is_full = pixels.is_rgb or pixels.name.startswith("yuvj")
    sample_range = frame.color_range or context.color_range or LIMITED_RANGE
    return {
        "bit depth": colours[0].bits,
        "colour model": "RGB" if pixels.is_rgb else "grey" if len(colours) == 1 else "YUV",
        "chroma": (pixels.chroma_width(64), pixels.chroma_height(64)) if colours[1:] else (),
        "alpha": len(colours) < len(pixels.components),
        "matrix": _specified(frame.colorspace, context.colorspace),
        "primaries": _specified(frame.color_primaries, context.color_primaries),
        "transfer": _specified(frame.color_trc, context.color_trc),
        "range": FULL_RANGE if is_full else int(sample_range),
        "aspect": Fraction(aspect.numerator, aspect.denominator) if aspect else Fraction(1),
        "interlaced": bool(frame.interlaced_frame),
    } | {name: side_data.get(name) for name in SIDE_DATA}


def _specified(*values: int) -> int:
    return next((int(value) for value in values if value not in (0, 2)), 2)


def _side_data(frame: Any) -> dict[str, bytes]:
    found = {}
    for index in range(len(frame.side_data)):
        try:
            item = frame.side_data[index]
        except ValueError:  # a kind that this PyAV has no name for
            continue
        found[item.type.name] = bytes(item)
    return found


def _matrix(frame: Any) -> tuple[int, ...]:
    data = _side_data(frame).get("DISPLAYMATRIX", b"")
    return struct.unpack("=9i", data) if len(data) == 36 else ()


def _is_neutral(frame: Any) -> bool:
    if frame.format.is_rgb:
        return False
    chroma = frame.reformat(format="yuv444p").to_ndarray()[1:]
    return bool(np.abs(chroma.astype(int) - 128).max() <= 2)


def _luma(frame: Any) -> Luma:
    bits = frame.format.components[0].bits
    name = frame.format.name
    is_plain = name.startswith(("yuv4", "yuvj", "yuva", "gray", "nv")) and "be" not in name
    if not is_plain or bits not in (8, 10, 12):
        frame, bits = frame.reformat(format="yuv444p16le"), 16
    plane = frame.planes[0]
    item = np.dtype("u1" if bits == 8 else "<u2")
    rows = np.frombuffer(plane, item).reshape(plane.height, -1)[: frame.height, : frame.width]
    luma: Luma = rows.astype(np.float32) / 2 ** (bits - 8)
    return luma
