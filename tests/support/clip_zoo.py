"""Small clips of every kind, made with PyAV and, where that is too polite, by patching bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SAMPLE_RATE = 48000
PARAMETER_SETS = {"preset": "ultrafast", "bf": "2", "crf": "12"}
VPX = {"crf": "4", "b": "2M", "deadline": "realtime"}
OPTIONS: dict[str, dict[str, str]] = {"libvpx": VPX, "libvpx-vp9": VPX}
VTT = "WEBVTT\n\n00:00.040 --> 00:00.200\nhello\n\n00:00.200 --> 00:00.360 line:0\nworld\n"
SRT = "1\n00:00:00,040 --> 00:00:00,200\nhello\n\n2\n00:00:00,200 --> 00:00:00,360\nw\u00f6rld\n\n"
ASS = (
    "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
    "Style: Default,Arial,20\n\n[Events]\nFormat: Layer, Start, End, Style, Text\n"
    "Dialogue: 0,0:00:00.04,0:00:00.20,Default,hello\n"
    "Dialogue: 0,0:00:00.20,0:00:00.36,Default,{\\b1}world\n"
)


@dataclass(frozen=True)
class Sound:
    """One audio stream: a tone."""

    codec: str = "aac"
    language: str = ""
    title: str = ""
    disposition: int = 0
    layout: str = "mono"
    # Seconds before the first sample.
    start: float = 0.0
    # As long as the pictures if it is 0.
    seconds: float = 0.0
    rate: int = SAMPLE_RATE


@dataclass(frozen=True)
class Text:
    """One subtitle stream of two lines."""

    codec: str = "subrip"
    language: str = ""
    title: str = ""
    disposition: int = 0


@dataclass(frozen=True)
class Spec:
    """What a clip is made of; frame times are in ``time_base``."""

    suffix: str = ".mp4"
    codec: str = "libx264"
    pixels: str = "yuv420p"
    size: tuple[int, int] = (64, 48)
    rate: Fraction = Fraction(25)
    time_base: Fraction | None = None
    pts: tuple[int, ...] = tuple(range(10))
    durations: tuple[int, ...] = ()
    options: dict[str, str] = field(default_factory=lambda: dict(PARAMETER_SETS))
    muxer: dict[str, str] = field(default_factory=dict)
    aspect: Fraction | None = None
    # matrix, primaries, transfer, range
    colors: tuple[int, int, int, int] = (2, 2, 2, 0)
    matrix: tuple[int, ...] = ()
    sounds: tuple[Sound, ...] = ()
    texts: tuple[Text, ...] = ()
    # Name, type, bytes
    attachments: tuple[tuple[str, str, bytes], ...] = ()
    cover: bool = False
    # Start and end in milliseconds, title
    chapters: tuple[tuple[int, int, str], ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    video_tags: dict[str, str] = field(default_factory=dict)
    disposition: int = 0


def make(folder: Path, spec: Spec, name: str = "in") -> Path:
    """Write a clip with a moving pattern."""
    path = folder / f"{name}{spec.suffix}"
    base = spec.time_base or 1 / spec.rate
    inputs: list[Any] = []
    with av.open(str(path), "w", container_options=dict(spec.muxer)) as container:
        video = _add_video(container, spec, base)
        sounds = [_add_sound(container, sound) for sound in spec.sounds]
        texts = [_add_text(container, folder, text, inputs) for text in spec.texts]
        for attachment in spec.attachments:
            container.add_attachment(*attachment)
        cover = _add_cover(container) if spec.cover else None
        container.metadata.update(spec.tags)
        if spec.chapters:
            container.set_chapters([_chapter(i, *c) for i, c in enumerate(spec.chapters)])
        container.start_encoding()
        if cover:
            container.mux(cover)
        for sound, stream in zip(spec.sounds, sounds, strict=True):
            container.mux(_sound_packets(stream, sound, float(len(spec.pts) / spec.rate)))
        for packets in texts:
            container.mux(packets)
        for index in range(len(spec.pts)):
            container.mux(video.encode(_frame(spec, index, base)))
        packets = video.encode(None)
        if len(spec.pts) <= 2:
            for packet in packets:
                packet.dts = packet.pts
        container.mux(packets)
    for item in inputs:
        item.close()
    return path


def picture(index: int, size: tuple[int, int]) -> np.ndarray:
    """A smooth pattern that is another one in every frame: YUV 4:4:4."""
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    wave = np.sin((x + 5 * index) / 5.0) * np.cos((y - 3 * index) / 7.0)
    luma = 120 + 70 * wave + 15 * np.sin(index * 1.3)
    blue = 128 + 50 * np.sin(x / 9.0 + index)
    red = 128 + 50 * np.cos(y / 9.0 + index)
    return np.rint(np.stack([luma, blue, red])).astype(np.uint8)


def _add_video(container: Any, spec: Spec, base: Fraction) -> Any:
    is_x264 = spec.codec.startswith("libx264")
    options = OPTIONS.get(spec.codec, {}) | (dict(spec.options) if is_x264 else {})
    if spec.codec == "libx265":
        params = spec.options.get("x265-params", "log-level=none")
        options = {"preset": "ultrafast", "x265-params": params, "crf": "12"}
    stream = container.add_stream(spec.codec, rate=spec.rate, options=options)
    stream.time_base = base
    context = stream.codec_context
    context.width, context.height = spec.size
    context.pix_fmt, context.time_base = spec.pixels, base
    context.flags |= av.codec.context.Flags.frame_duration
    if not options:
        context.bit_rate = 4_000_000
    if spec.aspect:
        context.sample_aspect_ratio = spec.aspect
    matrix, primaries, transfer, sample_range = spec.colors
    context.colorspace, context.color_primaries = matrix, primaries
    context.color_trc, context.color_range = transfer, sample_range
    if spec.matrix:
        stream.set_display_matrix(list(spec.matrix))
    stream.metadata.update(spec.video_tags)
    if spec.disposition:
        stream.disposition = spec.disposition
    return stream


def _frame(spec: Spec, index: int, base: Fraction) -> Any:
    frame = av.VideoFrame.from_ndarray(
        picture(index, spec.size), format="yuv444p", channel_last=False
    )
    if spec.pixels != "yuv444p":
        frame = frame.reformat(format=spec.pixels)
    # What some codecs store comes from their frames.
    matrix, primaries, transfer, sample_range = spec.colors
    frame.colorspace, frame.color_primaries = matrix, primaries
    frame.color_trc, frame.color_range = transfer, sample_range
    frame.pts, frame.time_base = spec.pts[index], base
    if spec.durations:
        frame.duration = spec.durations[index]
    return frame


def _add_sound(container: Any, sound: Sound) -> Any:
    options = {"strict": "experimental"} if sound.codec == "vorbis" else {}
    stream = container.add_stream(sound.codec, rate=sound.rate, options=options)
    stream.codec_context.layout = sound.layout
    stream.codec_context.bit_rate = 128_000
    stream.metadata.update(_named(sound))
    if sound.disposition:
        stream.disposition = sound.disposition
    return stream


def _sound_packets(stream: Any, sound: Sound, seconds: float) -> list[Any]:
    context = stream.codec_context
    context.open(strict=False)
    step = context.frame_size or 1024
    total = int((sound.seconds or seconds) * sound.rate)
    packets: list[Any] = []
    for start in range(0, total, step):
        at = np.arange(start, min(start + step, total))
        tone = (np.sin(at * 0.05) * 8000).astype(np.int16)
        channels = len(context.layout.channels)
        samples = np.ascontiguousarray(np.tile(tone, (channels, 1)))
        frame = av.AudioFrame.from_ndarray(samples, format="s16p", layout=sound.layout)
        frame.sample_rate, frame.pts = sound.rate, start + round(sound.start * sound.rate)
        frame.time_base = Fraction(1, sound.rate)
        resampler = av.AudioResampler(context.format.name, sound.layout, sound.rate, step)
        for item in resampler.resample(frame) + resampler.resample(None):
            item.pts = frame.pts
            packets += stream.encode(item)
    return packets + stream.encode(None)


def _add_text(container: Any, folder: Path, text: Text, inputs: list[Any]) -> list[Any]:
    """A subtitle stream, and its packets for later."""
    if text.codec == "mov_text":
        stream = container.add_mux_stream("mov_text")
        stream.time_base = Fraction(1, 1000)
        packets = [_tx3g("hello", 40, 160), _tx3g("w\u00f6rld", 200, 160)]
    else:
        names = {"subrip": ("t.srt", SRT.encode()), "ass": ("t.ass", ASS.encode())}
        names["webvtt"] = ("t.vtt", VTT.encode())
        names["hdmv_pgs_subtitle"] = ("t.sup", presentation_graphics())
        name, data = names[text.codec]
        (folder / name).write_bytes(data)
        source = av.open(str(folder / name))
        inputs.append(source)
        stream = container.add_stream_from_template(source.streams[0])
        packets = [packet for packet in source.demux() if packet.dts is not None]
        (folder / name).unlink()
    for packet in packets:
        packet.stream = stream
    stream.metadata.update(_named(text))
    if text.disposition:
        stream.disposition = text.disposition
    return packets


def _named(item: Sound | Text) -> dict[str, str]:
    tags = {"language": item.language, "title": item.title}
    return {key: value for key, value in tags.items() if value}


def _tx3g(text: str, start_ms: int, duration_ms: int) -> Any:
    data = text.encode()
    packet = av.Packet(struct.pack(">H", len(data)) + data)
    packet.time_base = Fraction(1, 1000)
    packet.pts = packet.dts = start_ms
    packet.duration = duration_ms
    return packet


def _add_cover(container: Any) -> Any:
    """A picture of the whole file; Matroska keeps it as an attachment."""
    if container.format.name == "matroska":
        container.add_attachment("cover.png", "image/png", cover_png())
        return None
    stream = container.add_stream("png", rate=1)
    stream.codec_context.width, stream.codec_context.height = 16, 16
    stream.codec_context.pix_fmt = "rgb24"
    stream.disposition = av.stream.Disposition.attached_pic
    packet = av.Packet(cover_png())
    packet.stream, packet.pts, packet.dts = stream, 0, 0
    return packet


def cover_png() -> bytes:
    """A small grey picture."""
    context = av.CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt = 16, 16, "rgb24"
    context.time_base = Fraction(1, 1)
    pixels = np.full((16, 16, 3), 90, np.uint8)
    (packet,) = context.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24"))
    return bytes(packet)


def _chapter(number: int, start_ms: int, end_ms: int, title: str) -> dict[str, Any]:
    times = {"start": start_ms, "end": end_ms, "time_base": Fraction(1, 1000)}
    return {"id": number + 1, "metadata": {"title": title}, **times}


def presentation_graphics() -> bytes:
    """A bitmap subtitle of 8x4 pixels, shown from 0.04 to 0.2 s: a .sup file."""
    window = struct.pack(">BBHHHH", 1, 0, 0, 0, 8, 4)
    palette = struct.pack(">BB", 0, 0) + bytes((1, 200, 128, 128, 255))
    rows = b"".join(b"\x00\x88\x01\x00\x00" for _ in range(4))
    item = struct.pack(">HBB", 0, 0, 0xC0) + (len(rows) + 4).to_bytes(3, "big")
    item += struct.pack(">HH", 8, 4) + rows
    shown = struct.pack(">HHBHBBBB", 64, 48, 0x10, 0, 0x80, 0, 0, 1)
    shown += struct.pack(">HBBHH", 0, 0, 0, 0, 0)
    hidden = struct.pack(">HHBHBBBB", 64, 48, 0x10, 1, 0x00, 0, 0, 0)
    first = [(0x16, shown), (0x17, window), (0x14, palette), (0x15, item), (0x80, b"")]
    last = [(0x16, hidden), (0x17, window), (0x80, b"")]
    pieces = [(3600, *piece) for piece in first] + [(18000, *piece) for piece in last]
    return b"".join(
        b"PG" + struct.pack(">IIBH", pts, 0, kind, len(body)) + body for pts, kind, body in pieces
    )
