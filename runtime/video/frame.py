"""One video frame as planes of samples, converted from and to PyAV's frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Plane = NDArray[Any]


@dataclass(frozen=True)
class Component:
    """Where the samples of one component lie: every ``step``-th of a row, from ``offset``."""

    buffer: int
    step: int = 1
    offset: int = 0


@dataclass(frozen=True)
class PixelLayout:
    """How a pixel format stores luma and chroma."""

    bit_depth: int
    # Luma samples per chroma sample, horizontally and vertically; (0, 0) for grey.
    subsampling: tuple[int, int]
    components: tuple[Component, ...]
    # P010 and its kin keep their bits at the top of a word.
    shift: int = 0

    @property
    def planar_name(self) -> str:
        """The planar format with the same samples, which is what the encoders take."""
        chroma = {(0, 0): "gray", (2, 2): "yuv420p", (2, 1): "yuv422p", (1, 1): "yuv444p"}
        suffix = "" if self.bit_depth == 8 else f"{self.bit_depth}le"
        return chroma[self.subsampling] + suffix

    def chroma_size(self, width: int, height: int) -> tuple[int, int]:
        """Size of the chroma planes of a frame of this size; odd sizes round up."""
        x, y = self.subsampling
        return -(-width // x), -(-height // y)


@dataclass(frozen=True)
class Frame:
    """One picture of a video: planes as decoded (Y, or Y, U, V) and its time."""

    planes: tuple[Plane, ...]
    layout: PixelLayout
    pts: int
    duration: int
    time_base: Fraction

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)


def _planar(bit_depth: int, x: int, y: int) -> PixelLayout:
    return PixelLayout(bit_depth, (x, y), (Component(0), Component(1), Component(2)))


def _semi_planar(bit_depth: int, x: int, y: int, *, u: int = 0, shift: int = 0) -> PixelLayout:
    chroma = (Component(1, 2, u), Component(1, 2, 1 - u))
    return PixelLayout(bit_depth, (x, y), (Component(0), *chroma), shift)


def _packed(y: int, u: int, v: int) -> PixelLayout:
    return PixelLayout(8, (2, 1), (Component(0, 2, y), Component(0, 4, u), Component(0, 4, v)))


LAYOUTS: Mapping[str, PixelLayout] = MappingProxyType(
    {
        "yuv420p": _planar(8, 2, 2),
        "yuv422p": _planar(8, 2, 1),
        "yuv444p": _planar(8, 1, 1),
        "yuvj420p": _planar(8, 2, 2),
        "yuvj422p": _planar(8, 2, 1),
        "yuvj444p": _planar(8, 1, 1),
        "yuv420p10le": _planar(10, 2, 2),
        "yuv422p10le": _planar(10, 2, 1),
        "yuv444p10le": _planar(10, 1, 1),
        "yuv420p12le": _planar(12, 2, 2),
        "yuv422p12le": _planar(12, 2, 1),
        "yuv444p12le": _planar(12, 1, 1),
        "nv12": _semi_planar(8, 2, 2),
        "nv21": _semi_planar(8, 2, 2, u=1),
        "nv16": _semi_planar(8, 2, 1),
        "nv24": _semi_planar(8, 1, 1),
        "p010le": _semi_planar(10, 2, 2, shift=6),
        "p210le": _semi_planar(10, 2, 1, shift=6),
        "p012le": _semi_planar(12, 2, 2, shift=4),
        "yuyv422": _packed(0, 1, 3),
        "uyvy422": _packed(1, 0, 2),
        "gray": PixelLayout(8, (0, 0), (Component(0),)),
        "gray10le": PixelLayout(10, (0, 0), (Component(0),)),
        "gray12le": PixelLayout(12, (0, 0), (Component(0),)),
    }
)


def layout_of(name: str) -> PixelLayout:
    """The layout of a pixel format; raises ValueError naming it if it is not supported."""
    layout = LAYOUTS.get(name)
    if layout is None:
        raise ValueError(
            f"pixel format {name} is not supported; YUV 4:2:0, 4:2:2, 4:4:4 or grey of 8, 10 or 12 "
            "bits is needed (convert with: ffmpeg -i IN -pix_fmt yuv420p OUT)"
        )
    return layout


def frame_from_av(source: VideoFrame, pts: int, time_base: Fraction) -> Frame:
    """Copy the planes of a decoded frame."""
    layout = layout_of(source.format.name)
    dtype = np.uint8 if layout.bit_depth == 8 else np.dtype("<u2")
    buffers = [_rows(plane, dtype) for plane in source.planes]
    planes = []
    for index, component in enumerate(layout.components):
        size = source.width, source.height
        width, height = size if index == 0 else layout.chroma_size(*size)
        samples = buffers[component.buffer][:height, component.offset :: component.step]
        plane = samples[:, :width] >> layout.shift if layout.shift else samples[:, :width].copy()
        planes.append(plane)
    return Frame(tuple(planes), layout, pts, source.duration or 0, time_base)


def av_from_frame(frame: Frame) -> VideoFrame:
    """Make a planar PyAV frame with the same samples and time."""
    from av.video.frame import VideoFrame

    height, width = frame.planes[0].shape
    target = VideoFrame(width, height, frame.layout.planar_name)
    for plane, samples in zip(target.planes, frame.planes, strict=True):
        assert samples.shape == (plane.height, plane.width), (samples.shape, frame.layout)
        _rows(plane, samples.dtype)[:, : plane.width] = samples
    target.pts = frame.pts
    target.duration = frame.duration
    target.time_base = frame.time_base
    return target


def _rows(plane: Any, dtype: Any) -> Plane:
    """The buffer of a PyAV plane as rows; the end of each row is padding."""
    item = np.dtype(dtype).itemsize
    rows = np.frombuffer(plane, dtype).reshape(plane.height, abs(plane.line_size) // item)
    # A negative line size means that the rows are stored bottom up.
    return rows[::-1] if plane.line_size < 0 else rows
