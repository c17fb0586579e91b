"""One video frame as planes of samples, converted from and to PyAV's frames."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtime.video.color import ColorTags, apply_tags
from runtime.video.pixels import LAYOUTS, UNPACKED, PixelLayout, layout_of

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Plane = NDArray[Any]


@dataclass(frozen=True)
class Frame:
    """One picture of a video and its time.

    ``planes`` are Y, or Y, U, V, or R, G, B, then alpha if there is any, as decoded: uint8, or
    uint16 for more than 8 bits.
    """

    planes: tuple[Plane, ...]
    layout: PixelLayout
    pts: int
    duration: int
    time_base: Fraction

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)


def frame_from_av(source: VideoFrame, pts: int, time_base: Fraction) -> Frame:
    """Copy the samples of a decoded frame."""
    layout = layout_of(source.format.name)
    duration = source.duration or 0
    if source.format.name in UNPACKED:
        source = source.reformat(format=UNPACKED[source.format.name], threads=1)
    buffers = [_rows(plane, _stored_type(layout)) for plane in source.planes]
    planes = []
    for index, component in enumerate(layout.components):
        size = source.width, source.height
        width, height = layout.chroma_size(*size) if _is_chroma(index, layout) else size
        samples = buffers[component.buffer][:height, component.offset :: component.step]
        planes.append(_native(samples[:, :width], layout))
    return Frame(tuple(planes), layout, pts, duration, time_base)


def av_from_frame(
    frame: Frame, pixel_format: str | None = None, colors: ColorTags | None = None
) -> VideoFrame:
    """Make a PyAV frame with the same samples and time, planar or in a format of the same kind.

    ``colors`` is for encoders that take their tags from frames.
    """
    from av.video.frame import VideoFrame

    height, width = frame.planes[0].shape
    name = pixel_format or frame.layout.planar_name
    layout = LAYOUTS[name]
    assert layout.planar_name == frame.layout.planar_name, (name, frame.layout)
    target = VideoFrame(width, height, name)
    buffers = [_rows(plane, _stored_type(layout)) for plane in target.planes]
    for index, (component, samples) in enumerate(zip(layout.components, frame.planes, strict=True)):
        size = layout.chroma_size(width, height) if _is_chroma(index, layout) else (width, height)
        assert samples.shape == size[::-1], (samples.shape, frame.layout)
        rows = buffers[component.buffer][: size[1], component.offset :: component.step]
        rows[:, : size[0]] = samples << layout.shift if layout.shift else samples
    target.pts = frame.pts
    target.duration = frame.duration
    target.time_base = frame.time_base
    if colors is not None:
        apply_tags(colors, target)
    return target


def _is_chroma(index: int, layout: PixelLayout) -> bool:
    return layout.is_subsampled and index in (1, 2)


def _stored_type(layout: PixelLayout) -> np.dtype[Any]:
    if layout.bit_depth == 8:
        return np.dtype(np.uint8)
    return np.dtype(">u2" if layout.is_big_endian else "<u2")


def _native(samples: Plane, layout: PixelLayout) -> Plane:
    """A copy with the bits at the bottom of each word."""
    native = np.uint8 if layout.bit_depth == 8 else np.uint16
    if layout.shift:
        return (samples >> layout.shift).astype(native, copy=False)
    return np.ascontiguousarray(samples, native) if samples.dtype != native else samples.copy()


def _rows(plane: Any, dtype: np.dtype[Any]) -> Plane:
    """The buffer of a PyAV plane as rows; the end of each row is padding."""
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, abs(plane.line_size))
    rows = rows[:, : abs(plane.line_size) // dtype.itemsize * dtype.itemsize].view(dtype)
    # A negative line size means that the rows are stored bottom up.
    return rows[::-1] if plane.line_size < 0 else rows
