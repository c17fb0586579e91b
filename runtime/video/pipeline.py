"""A video file in, the same video with more pixels out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from runtime.atomic import written_beside
from runtime.video.color import (
    BY_CUSTOM,
    BY_USER,
    SITINGS,
    UNSPECIFIED,
    Siting,
    guessed_matrix,
)
from runtime.video.convert import converted_tags, wanted_layout
from runtime.video.deinterlace import Deinterlace
from runtime.video.encoder import EncodeOptions, choose_codec
from runtime.video.frame import Frame, Plane
from runtime.video.frame_upscaler import FrameUpscaler, PlaneUpscaler
from runtime.video.geometry import output_aspect, scale_matrix
from runtime.video.probe import VideoInfo, probe
from runtime.video.reader import OnError, VideoReader
from runtime.video.relay import run_stages
from runtime.video.writer import VideoWriter

# A frame on its way, with the packets that came before it.
_Carried = tuple[tuple[Frame, tuple[Plane, ...]] | None, tuple[Any, ...]]

MAX_ROUNDING_S = Fraction(1, 1000)


@dataclass(frozen=True)
class VideoOptions:
    """How a video is upscaled."""

    # Final width and height; None keeps the upscaler's.
    size: tuple[int, int] | None = None
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    on_error: OnError = "stop"
    # ITU-T H.273 matrix to write where the input names none; None leaves that open.
    matrix: int | None = None
    # Where chroma lies, by FFmpeg's name; None is as tagged or by custom.
    chroma_location: str | None = None
    deinterlace: Deinterlace = "off"


@dataclass(frozen=True)
class VideoResult:
    """What was written."""

    frames: int
    skipped: int
    width: int
    height: int
    encoder: str
    seconds: float
    notes: tuple[str, ...]
    # Where chroma was taken to lie, and why; None if it has as many samples as luma.
    chroma_location: str | None = None


def upscale_video(
    source: Path,
    target: Path,
    upscaler: PlaneUpscaler,
    options: VideoOptions | None = None,
    *,
    on_start: Callable[[VideoInfo], None] = lambda info: None,
    on_frame: Callable[[], None] = lambda: None,
) -> VideoResult:
    """Upscale the main video stream; sound, subtitles, times, tags and chapters stay as they are.

    ``target`` appears whole or not at all. Raises OSError or ValueError with one clear line.
    ``on_start`` is told what is read, ``on_frame`` that one more frame is written.
    """
    options = options or VideoOptions()
    start = time.monotonic()
    with VideoReader(source, on_error=options.on_error, deinterlace=options.deinterlace) as reader:
        before = located(reader.info, options.chroma_location)
        info = output_info(before, upscaler.scale, options)
        choose_codec(target.suffix, info, options.encode)
        on_start(before)
        work = FrameUpscaler(before, info, upscaler)
        with written_beside(target) as partial:
            with VideoWriter(
                partial,
                info,
                options.encode,
                source=reader.container,
                stream_index=reader.stream_index,
            ) as writer:
                frames = _run(reader, work, writer, on_frame)
            moved = probe(partial).start - info.start
        notes = (*_notes(before, info, moved), *writer.notes, *reader.notes)
        return VideoResult(
            frames,
            reader.skipped,
            *info.size,
            writer.encoder,
            time.monotonic() - start,
            notes,
            _chroma_location(before, info),
        )


def located(info: VideoInfo, location: str | None) -> VideoInfo:
    """What is read, with its chroma where the user says it lies."""
    if location is None and not info.layout.is_subsampled:
        return replace(info, siting=Siting(), siting_reason=f"{BY_CUSTOM} most codecs")
    if location is None:
        return info
    return replace(info, siting=SITINGS[location], siting_reason=BY_USER)


def output_info(info: VideoInfo, scale: int, options: VideoOptions) -> VideoInfo:
    """What an upscaled video is like."""
    width, height = options.size or (info.width * scale, info.height * scale)
    matrix, colors = info.display_matrix, info.colors
    layout = wanted_layout(info.layout, options.encode.pixel_format, options.encode.alpha)
    if options.matrix is not None and colors.matrix == UNSPECIFIED:
        colors = replace(colors, matrix=options.matrix)
    colors = converted_tags(colors, info.layout, layout, options.matrix)
    return replace(
        info,
        width=width,
        height=height,
        layout=layout,
        colors=colors,
        aspect=output_aspect(info.aspect, info.size, (width, height)),
        display_matrix=matrix and tuple(scale_matrix(matrix, info.size, (width, height))),
    )


def _run(
    reader: VideoReader, work: FrameUpscaler, writer: VideoWriter, on_frame: Callable[[], None]
) -> int:
    count = 0

    def produce() -> Iterator[_Carried]:
        for item in reader:
            prepared = None if item.frame is None else work.resize_chroma(item.frame)
            yield prepared, item.packets

    def transform(carried: _Carried) -> tuple[Frame | None, tuple[Any, ...]]:
        prepared, packets = carried
        return None if prepared is None else work.upscale(prepared), packets

    def write(result: tuple[Frame | None, tuple[Any, ...]]) -> None:
        nonlocal count
        frame, packets = result
        writer.copy(packets)
        if frame is not None:
            writer.write(work.finish(frame))
            count += 1
            on_frame()

    workers = work.upscaler.max_concurrency
    run_stages(produce(), transform, write, workers=workers)
    return count


def _notes(source: VideoInfo, target: VideoInfo, moved: Fraction) -> list[str]:
    """What a viewer should know about the output."""
    notes = []
    if abs(moved) > MAX_ROUNDING_S:
        # A lead-in of the sound; MP4 hides it by an edit list, Matroska cannot.
        notes.append(
            f"all times moved by {float(moved):+.3f} s, as a copied stream begins before 0, which "
            "this container cannot hold; write .mp4 to keep them"
        )
    before, after = guessed_matrix(*source.size), guessed_matrix(*target.size)
    is_open = target.colors.matrix == UNSPECIFIED and source.layout.color_count == 3
    if is_open and before != after:
        notes.append(
            f"the input names no colour matrix; players take {before} for {source.width}x"
            f"{source.height}, {after} for {target.width}x{target.height}: name it with "
            "--color-matrix"
        )
    return notes


def _chroma_location(source: VideoInfo, target: VideoInfo) -> str | None:
    if not (source.layout.is_subsampled or target.layout.is_subsampled):
        return None
    return f"{source.siting.name}, {source.siting_reason}"
