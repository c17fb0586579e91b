"""Tiny video clips made with PyAV, and what is read back from a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SAMPLE_RATE = 48000
RATE = Fraction(25)


class NearestUpscaler:
    """An exact stand-in for the network: every sample repeated."""

    max_concurrency = 1

    def __init__(self, scale: int = 2, *, takes_frames: bool = False, channels: str = "y") -> None:
        self.scale, self.takes_frames, self.channels = scale, takes_frames, channels

    def upscale_luma(self, plane: np.ndarray, *, bit_depth: int = 8) -> np.ndarray:
        assert self.channels == "y"
        assert plane.dtype in (np.uint8 if bit_depth == 8 else np.uint16, np.float32)
        return plane.repeat(self.scale, axis=0).repeat(self.scale, axis=1)

    def upscale_rgb(self, picture: np.ndarray) -> np.ndarray:
        assert self.channels == "rgb"
        assert picture.dtype in (np.uint8, np.float32)
        assert picture.shape[2:] == (3,)
        return picture.repeat(self.scale, axis=0).repeat(self.scale, axis=1)

    def upscale_frame(
        self,
        planes: tuple[np.ndarray, ...],
        *,
        bit_depth: int,
        subsampling: tuple[int, int],
        location: str,
    ) -> tuple[np.ndarray, ...]:
        assert self.takes_frames
        return tuple(self.upscale_luma(plane, bit_depth=bit_depth) for plane in planes)


@dataclass(frozen=True)
class Clip:
    """What a test clip is made of; times are in ``time_base``."""

    width: int = 32
    height: int = 24
    pixel_format: str = "yuv420p"
    codec: str = "libx264"
    time_base: Fraction = 1 / RATE
    pts: tuple[int, ...] = tuple(range(12))
    durations: tuple[int, ...] = ()
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "bf": "2"})
    aspect: Fraction | None = None
    # matrix, primaries, transfer, range
    colors: tuple[int, int, int, int] = (2, 2, 2, 0)
    rotation: int = 0
    has_audio: bool = False
    has_subtitles: bool = False
    has_chapters: bool = False
    metadata: dict[str, str] = field(default_factory=dict)


# Every frame for itself, so that damage stays where it is.
INTRA = Clip(options={"preset": "ultrafast", "g": "1", "bf": "0"})


def make_clip(path: Path, clip: Clip) -> Path:
    """Write a clip with a moving pattern."""
    container = av.open(str(path), "w")
    stream = container.add_stream(clip.codec, rate=RATE, options=dict(clip.options))
    stream.time_base = clip.time_base
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = clip.width, clip.height, clip.pixel_format
    context.time_base = clip.time_base
    context.flags |= av.codec.context.Flags.frame_duration
    if clip.aspect:
        context.sample_aspect_ratio = clip.aspect
    context.colorspace, context.color_primaries, context.color_trc, context.color_range = (
        clip.colors
    )
    if clip.rotation:
        stream.set_display_rotation(clip.rotation)
    audio = _add_audio(container) if clip.has_audio else None
    subtitles = container.add_mux_stream("mov_text") if clip.has_subtitles else None
    if subtitles is not None:
        subtitles.time_base = Fraction(1, 1000)
    if clip.has_chapters:
        container.set_chapters([_chapter(0, 0, 200, "one"), _chapter(1, 200, 400, "two")])
    container.metadata.update(clip.metadata)
    if audio is not None:
        for packet in _audio_packets(audio, clip):
            container.mux(packet)
    if subtitles is not None:
        container.mux(_subtitle(subtitles, "hello", 0, 200))
    for index in range(len(clip.pts)):
        container.mux(stream.encode(_frame(clip, index)))
    container.mux(stream.encode(None))
    container.close()
    return path


@dataclass(frozen=True)
class Read:
    """What a file holds, in exact seconds."""

    times: list[Fraction]
    durations: list[Fraction]
    # Per copied stream: time and bytes of every packet.
    packets: dict[int, list[tuple[Fraction, bytes]]]
    frames: list[Any]
    stream: dict[str, Any]
    metadata: dict[str, str]
    chapters: list[Any]


def read_back(path: Path) -> Read:
    """Decode the video, take the packets of all else."""
    with av.open(str(path)) as container:
        video = container.streams.best("video")
        copied = [s for s in container.streams if s.type in ("audio", "subtitle")]
        packets: dict[int, list[tuple[Fraction, bytes]]] = {i: [] for i in range(len(copied))}
        frames = []
        for packet in container.demux([video, *copied]):
            if packet.stream is video:
                frames.extend(packet.decode())
            elif packet.dts is not None:
                stamp = Fraction(packet.pts * packet.time_base)
                packets[copied.index(packet.stream)].append((stamp, bytes(packet)))
        facts = {
            "time_base": video.time_base,
            "aspect": video.sample_aspect_ratio,
            "codec": video.codec_context.name,
            "size": (frames[0].width, frames[0].height),
            "format": frames[0].format.name,
            "rotation": frames[0].rotation,
            "colors": (
                frames[0].colorspace,
                frames[0].color_primaries,
                frames[0].color_trc,
                frames[0].color_range,
            ),
        }
        return Read(
            times=[frame.pts * frame.time_base for frame in frames],
            durations=[frame.duration * frame.time_base for frame in frames],
            packets=packets,
            frames=frames,
            stream=facts,
            metadata=dict(container.metadata),
            chapters=container.chapters(),
        )


def _frame(clip: Clip, index: int) -> av.VideoFrame:
    frame = av.VideoFrame(clip.width, clip.height, clip.pixel_format)
    depth = frame.format.components[0].bits
    for number, plane in enumerate(frame.planes):
        samples = np.frombuffer(plane, np.uint16 if depth > 8 else np.uint8)
        pattern = np.arange(samples.size) % max(plane.width, 1) * 3 + 5 * index + 40 * number
        samples[:] = (pattern % 200 + 20) << (depth - 8)
    frame.pts = clip.pts[index]
    frame.time_base = clip.time_base
    if clip.durations:
        frame.duration = clip.durations[index]
    return frame


def _add_audio(container: Any) -> Any:
    stream = container.add_stream("aac", rate=SAMPLE_RATE)
    stream.codec_context.layout = "mono"
    return stream


def _audio_packets(stream: Any, clip: Clip) -> list[Any]:
    length = int((clip.pts[-1] - clip.pts[0] + 1) * clip.time_base * SAMPLE_RATE)
    wave = (np.sin(np.arange(length) * 0.05) * 0.3).astype(np.float32)[None, :]
    packets = []
    for start in range(0, length, 1024):
        block = np.ascontiguousarray(wave[:, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, start
        packets.extend(stream.encode(frame))
    return [*packets, *stream.encode(None)]


def _subtitle(stream: Any, text: str, start_ms: int, duration_ms: int) -> Any:
    data = text.encode()
    packet = av.Packet(len(data).to_bytes(2, "big") + data)
    packet.stream = stream
    packet.time_base = Fraction(1, 1000)
    packet.pts = packet.dts = start_ms
    packet.duration = duration_ms
    return packet


def _chapter(number: int, start_ms: int, end_ms: int, title: str) -> dict[str, Any]:
    return {
        "id": number,
        "start": start_ms,
        "end": end_ms,
        "time_base": Fraction(1, 1000),
        "metadata": {"title": title},
    }


def remux_faststart(source: Path, target: Path) -> Path:
    """The same MP4 with its index in front, so that a cut loses samples alone."""
    options = {"movflags": "+faststart"}
    with (
        av.open(str(source)) as old,
        av.open(str(target), "w", container_options=options) as new,
    ):
        streams = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    return target


def damaged(path: Path, number: int) -> Path:
    """The same file with the head of one video packet made impossible, counted from 0."""
    with av.open(str(path)) as container:
        offset = [packet.pos for packet in container.demux(video=0)][number]
    assert offset is not None
    data = bytearray(path.read_bytes())
    data[offset : offset + 8] = b"\xff" * 8
    path.write_bytes(data)
    return path
