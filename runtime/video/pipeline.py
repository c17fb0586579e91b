"""A video file in, the same video with more pixels out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from runtime.atomic import written_beside
from runtime.resample import resize_plane
from runtime.video.color import UNSPECIFIED, chroma_phase, guessed_matrix
from runtime.video.encoder import EncodeOptions, choose_codec
from runtime.video.frame import Frame, Plane
from runtime.video.geometry import output_aspect, scale_matrix
from runtime.video.probe import VideoInfo, probe
from runtime.video.reader import Item, OnError, VideoReader
from runtime.video.relay import run_stages
from runtime.video.writer import VideoWriter

MAX_ROUNDING_S = Fraction(1, 1000)


class PlaneUpscaler(Protocol):
    """What the pipeline needs of ``runtime.Upscaler``."""

    @property
    def scale(self) -> int:
        """Upscaling factor."""
        ...

    @property
    def takes_frames(self) -> bool:
        """Whether ``upscale_frame`` works, which then does chroma faster than it is done here."""
        ...

    @property
    def max_concurrency(self) -> int:
        """Calls that may run at the same time, from threads of their own."""
        ...

    def upscale_luma(self, plane: Plane, *, bit_depth: int) -> Plane:
        """An HxW plane, ``scale`` times larger."""
        ...

    def upscale_frame(
        self,
        planes: tuple[Plane, ...],
        *,
        bit_depth: int,
        subsampling: tuple[int, int],
        location: str,
    ) -> tuple[Plane, ...]:
        """All planes, ``scale`` times larger."""
        ...


@dataclass(frozen=True)
class VideoOptions:
    """How a video is upscaled."""

    # Final width and height; None keeps the upscaler's.
    size: tuple[int, int] | None = None
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    on_error: OnError = "stop"
    # ITU-T H.273 matrix to write where the input names none; None leaves that open.
    matrix: int | None = None


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
    with VideoReader(source, on_error=options.on_error) as reader:
        info = output_info(reader.info, upscaler.scale, options)
        choose_codec(target.suffix, info.layout, options.encode.codec)
        on_start(reader.info)
        work = _FrameWork(reader.info, info, upscaler)
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
        notes = (*_notes(reader.info, info, moved), *writer.notes, *reader.notes)
        seconds = time.monotonic() - start
        return VideoResult(frames, reader.skipped, *info.size, writer.encoder, seconds, notes)


def output_info(info: VideoInfo, scale: int, options: VideoOptions) -> VideoInfo:
    """What an upscaled video is like."""
    width, height = options.size or (info.width * scale, info.height * scale)
    matrix, colors = info.display_matrix, info.colors
    if options.matrix is not None and colors.matrix == UNSPECIFIED:
        colors = replace(colors, matrix=options.matrix)
    return replace(
        info,
        width=width,
        height=height,
        colors=colors,
        aspect=output_aspect(info.aspect, info.size, (width, height)),
        display_matrix=matrix and tuple(scale_matrix(matrix, info.size, (width, height))),
    )


def _run(
    reader: VideoReader, work: _FrameWork, writer: VideoWriter, on_frame: Callable[[], None]
) -> int:
    count = 0

    def write(result: tuple[Frame | None, tuple[Any, ...]]) -> None:
        nonlocal count
        frame, packets = result
        writer.copy(packets)
        if frame is not None:
            writer.write(work.resize_luma(frame))
            count += 1
            on_frame()

    workers = work.upscaler.max_concurrency
    run_stages(map(work.resize_chroma, reader), work.upscale, write, workers=workers)
    return count


@dataclass(frozen=True)
class _FrameWork:
    """What happens to the planes of each frame, split over the stages of the pipeline."""

    source: VideoInfo
    target: VideoInfo
    upscaler: PlaneUpscaler

    @property
    def takes_frames(self) -> bool:
        """Whether the upscaler makes the final chroma planes, too."""
        width, height = (side * self.upscaler.scale for side in self.source.size)
        return self.upscaler.takes_frames and self.target.size == (width, height)

    def resize_chroma(self, item: Item) -> tuple[Item, tuple[Plane, ...]]:
        """Chroma planes of the final size, beside the frame."""
        if item.frame is None or self.takes_frames:
            return item, ()
        return item, tuple(map(self._resize_chroma, item.frame.planes[1:]))

    def upscale(
        self, prepared: tuple[Item, tuple[Plane, ...]]
    ) -> tuple[Frame | None, tuple[Any, ...]]:
        """Luma through the network."""
        item, chroma = prepared
        frame = item.frame
        if frame is None:
            return None, item.packets
        depth = frame.layout.bit_depth
        if not self.takes_frames:
            luma = self.upscaler.upscale_luma(frame.planes[0], bit_depth=depth)
            return replace(frame, planes=(luma, *chroma)), item.packets
        planes = self.upscaler.upscale_frame(
            frame.planes,
            bit_depth=depth,
            subsampling=frame.layout.subsampling,
            location=self.source.siting.location,
        )
        return replace(frame, planes=planes), item.packets

    def resize_luma(self, frame: Frame) -> Frame:
        """Luma to the final size, where that is not what the network gave."""
        luma, *chroma = frame.planes
        if luma.shape[::-1] == self.target.size:
            return frame
        resized = _rounded(resize_plane(luma, *self.target.size), frame.layout.bit_depth)
        return replace(frame, planes=(resized, *chroma))

    def _resize_chroma(self, plane: Plane) -> Plane:
        layout, siting = self.source.layout, self.source.siting
        width, height = layout.chroma_size(*self.target.size)
        # The last sample of an odd size serves half as many pixels; the grid goes on past it.
        full_width = _grid(plane.shape[1], self.source.width, self.target.width)
        full_height = _grid(plane.shape[0], self.source.height, self.target.height)
        resized = resize_plane(
            plane,
            full_width,
            full_height,
            phase_x=chroma_phase(layout.subsampling[0], siting.is_left),
            phase_y=chroma_phase(layout.subsampling[1], siting.is_top),
        )
        return _rounded(resized[:height, :width], layout.bit_depth)


def _grid(samples: int, source: int, target: int) -> int:
    """Samples of the enlarged chroma axis, with a last one that may reach past the frame."""
    return -(-samples * target // source)


def _rounded(plane: Plane, bit_depth: int) -> Plane:
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    return np.clip(np.rint(plane), 0, 2**bit_depth - 1).astype(dtype)


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
    is_open = target.colors.matrix == UNSPECIFIED and source.layout.subsampling[0]
    if is_open and before != after:
        notes.append(
            f"the input names no colour matrix; players take {before} for {source.width}x"
            f"{source.height}, {after} for {target.width}x{target.height}: name it with "
            "--color-matrix"
        )
    return notes
