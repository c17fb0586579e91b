"""What happens to the planes of one frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from runtime.resample import resize_plane
from runtime.video.color import chroma_phase
from runtime.video.convert import Converter
from runtime.video.frame import Frame, Plane
from runtime.video.probe import VideoInfo
from runtime.video.rgb import Floats, PlaneColors, common_matrix, rounded_samples
from runtime.ycbcr import rgb_from_ycbcr, ycbcr_from_rgb

# What upscalers of whole frames know: grey, 4:2:0, 4:2:2, 4:4:4.
FRAME_SUBSAMPLINGS = frozenset({(0, 0), (2, 2), (2, 1), (1, 1)})


# A frame before the network, in whose planes lies what the network takes, and the planes that the
# network does not make, in their final size.
Prepared = tuple[Frame, tuple[Plane, ...]]


class PlaneUpscaler(Protocol):
    """What the pipeline needs of ``runtime.Upscaler``."""

    @property
    def channels(self) -> str:
        """What the network takes: ``y``, luminance, or ``rgb``."""
        ...

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
        """An HxW plane, ``scale`` times larger: of ``bit_depth`` bits, or float32 in 0..255."""
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

    def upscale_rgb(self, picture: Plane) -> Plane:
        """HxWx3 RGB, ``scale`` times larger: uint8, or float32 in 0..255."""
        ...


class FrameStages(Protocol):
    """A frame's way through the pipeline: before the network, through it, and after it."""

    @property
    def source(self) -> VideoInfo:
        """What frames are read."""
        ...

    def prepare(self, frame: Frame) -> Prepared:
        """What the network takes of a decoded frame, and the rest in its final size."""
        ...

    def upscale(self, prepared: Prepared) -> Frame:
        """Through the network."""
        ...

    def finish(self, frame: Frame) -> Frame:
        """The wanted size and pixel format."""
        ...


def frame_stages(source: VideoInfo, target: VideoInfo, upscaler: PlaneUpscaler) -> FrameStages:
    """The way of frames of ``source`` through a network of luminance or of RGB to ``target``.

    Raises ValueError if frames cannot be turned into the RGB that the network takes.
    """
    if upscaler.channels == "y":
        return FrameUpscaler(source, target, upscaler)
    matrix = common_matrix(source, target)
    return RgbFrameUpscaler(
        source,
        target,
        upscaler,
        PlaneColors.of(source, matrix),
        PlaneColors.of(target, matrix),
    )


@dataclass(frozen=True)
class FrameUpscaler:
    """The planes of each frame on their way through the three stages of the pipeline.

    Luma alone goes through the network. RGB is split into luma and chroma in float for that, and
    joined again; alpha is resized like centred chroma, or left out where the target has none.
    """

    source: VideoInfo
    target: VideoInfo
    upscaler: PlaneUpscaler

    @property
    def takes_frames(self) -> bool:
        """Whether the upscaler makes the final chroma planes, too."""
        layout = self.source.layout
        width, height = (side * self.upscaler.scale for side in self.source.size)
        return (
            self.upscaler.takes_frames
            and self.target.size == (width, height)
            and not layout.is_rgb
            and layout.subsampling in FRAME_SUBSAMPLINGS
            and not self.source.siting.is_bottom
        )

    def prepare(self, frame: Frame) -> Prepared:
        """What the network does not make, in the final size, beside what it needs of the frame."""
        layout = self.source.layout
        colors, alpha = frame.planes[: layout.color_count], frame.planes[layout.color_count :]
        if not self.target.layout.has_alpha:
            layout, alpha = layout.without_alpha(), ()
        alpha = tuple(map(self._resize_alpha, alpha))
        if layout.is_rgb:
            colors = split_rgb(colors, layout.bit_depth)
        frame = replace(frame, planes=colors, layout=layout)
        if self.takes_frames:
            return frame, alpha
        return frame, (*map(self._resize_chroma, colors[1:]), *alpha)

    def upscale(self, prepared: Prepared) -> Frame:
        """Luma through the network."""
        frame, others = prepared
        depth = frame.layout.bit_depth
        if not self.takes_frames:
            luma = self.upscaler.upscale_luma(frame.planes[0], bit_depth=depth)
            return replace(frame, planes=(luma, *others))
        planes = self.upscaler.upscale_frame(
            frame.planes,
            bit_depth=depth,
            subsampling=frame.layout.subsampling,
            location=self.source.siting.location,
        )
        return replace(frame, planes=(*planes, *others))

    def finish(self, frame: Frame) -> Frame:
        """Luma to the final size, where the network gave another; then the wanted pixel format."""
        luma, *others = frame.planes
        layout = frame.layout
        if luma.shape[::-1] != self.target.size:
            luma = self._rounded(resize_plane(luma, *self.target.size))
        planes = (luma, *others)
        if layout.is_rgb:
            planes = (*join_rgb(planes[:3], layout.bit_depth), *planes[3:])
        frame = replace(frame, planes=planes)
        return frame if self._converter is None else self._converter.convert(frame)

    @cached_property
    def _converter(self) -> Converter | None:
        layout = self.source.layout
        if not self.target.layout.has_alpha:
            layout = layout.without_alpha()
        if layout.planar_name == self.target.layout.planar_name:
            return None
        return Converter(replace(self.source, layout=layout), self.target)

    def _resize_alpha(self, plane: Plane) -> Plane:
        resized = resize_plane(plane, *self.target.size)
        return rounded_samples(resized, self.source.layout.bit_depth)

    def _resize_chroma(self, plane: Plane) -> Plane:
        layout, siting = self.source.layout, self.source.siting
        width, height = layout.chroma_size(*self.target.size)
        # The last sample of an odd size serves fewer pixels; the grid goes on past it.
        full_width = _grid(plane.shape[1], self.source.width, self.target.width)
        full_height = _grid(plane.shape[0], self.source.height, self.target.height)
        resized = resize_plane(
            plane,
            full_width,
            full_height,
            phase_x=chroma_phase(layout.subsampling[0], siting.is_left),
            phase_y=chroma_phase(layout.subsampling[1], siting.is_top, is_last=siting.is_bottom),
        )
        return self._rounded(resized[:height, :width])

    def _rounded(self, plane: Plane) -> Plane:
        layout = self.source.layout
        return plane if layout.is_rgb else rounded_samples(plane, layout.bit_depth)


@dataclass(frozen=True)
class RgbFrameUpscaler:
    """The same three stages for a network of RGB, which makes chroma, too.

    Between the stages a frame's planes are one HxWx3 picture: float32 in 0..255, or uint8 where RGB
    of 8 bits goes straight through. ``source_colors`` and ``target_colors`` share a matrix, so that
    the target's pixel format is made of the network's RGB at once.
    """

    source: VideoInfo
    target: VideoInfo
    upscaler: PlaneUpscaler
    source_colors: PlaneColors
    target_colors: PlaneColors

    def prepare(self, frame: Frame) -> Prepared:
        """RGB of the whole frame, and alpha in its final size."""
        count = self.source.layout.color_count
        picture = self.source_colors.rgb(frame.planes[:count])
        return replace(frame, planes=(picture,)), self._alpha(frame.planes[count:])

    def upscale(self, prepared: Prepared) -> Frame:
        """RGB through the network."""
        frame, alpha = prepared
        return replace(frame, planes=(self.upscaler.upscale_rgb(frame.planes[0]), *alpha))

    def finish(self, frame: Frame) -> Frame:
        """RGB to the final size, where the network gave another; then to the target's planes."""
        picture, *alpha = frame.planes
        if picture.shape[1::-1] != self.target.size:
            picture = _resized_rgb(picture, *self.target.size)
        planes = (*self.target_colors.planes(picture), *alpha)
        return replace(frame, planes=planes, layout=self.target.layout)

    def _alpha(self, planes: tuple[Plane, ...]) -> tuple[Plane, ...]:
        """Alpha of the target's size and depth: none if it has none, opaque if the source has."""
        width, height = self.target.size
        before, after = self.source.layout.bit_depth, self.target.layout.bit_depth
        peak = 2**after - 1
        if not self.target.layout.has_alpha:
            return ()
        if not planes:
            return (np.full((height, width), peak, np.uint8 if after == 8 else np.uint16),)
        resized = resize_plane(planes[0], width, height) * np.float32(peak / (2**before - 1))
        return (rounded_samples(resized, after),)


def _resized_rgb(picture: Plane, width: int, height: int) -> Floats:
    """HxWx3 to another size."""
    channels = (resize_plane(picture[:, :, part], width, height) for part in range(3))
    return np.dstack(list(channels))


def split_rgb(planes: tuple[Plane, ...], bit_depth: int) -> tuple[Plane, ...]:
    """R, G, B to Y, Cb, Cr, float32 in 0..255."""
    rgb = np.stack(planes, axis=-1).astype(np.float32) * np.float32(255 / (2**bit_depth - 1))
    ycbcr = ycbcr_from_rgb(rgb)
    return tuple(np.ascontiguousarray(ycbcr[:, :, part]) for part in range(3))


def join_rgb(planes: tuple[Plane, ...], bit_depth: int) -> tuple[Plane, ...]:
    """The inverse, rounded and clamped."""
    rgb = rgb_from_ycbcr(np.stack(planes, axis=-1)) * np.float32((2**bit_depth - 1) / 255)
    rounded = rounded_samples(rgb, bit_depth)
    return tuple(np.ascontiguousarray(rounded[:, :, part]) for part in range(3))


def _grid(samples: int, source: int, target: int) -> int:
    """Samples of the enlarged chroma axis, with a last one that may reach past the frame."""
    return -(-samples * target // source)
