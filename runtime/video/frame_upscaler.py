"""What happens to the planes of one frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from runtime.resample import resize_plane
from runtime.video.color import chroma_phase
from runtime.video.frame import Frame, Plane
from runtime.video.probe import VideoInfo


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
class FrameUpscaler:
    """The planes of each frame on their way through the three stages of the pipeline."""

    source: VideoInfo
    target: VideoInfo
    upscaler: PlaneUpscaler

    @property
    def takes_frames(self) -> bool:
        """Whether the upscaler makes the final chroma planes, too."""
        width, height = (side * self.upscaler.scale for side in self.source.size)
        return self.upscaler.takes_frames and self.target.size == (width, height)

    def resize_chroma(self, frame: Frame) -> tuple[Frame, tuple[Plane, ...]]:
        """Chroma planes of the final size, beside the frame."""
        if self.takes_frames:
            return frame, ()
        return frame, tuple(map(self._resize_chroma, frame.planes[1:]))

    def upscale(self, prepared: tuple[Frame, tuple[Plane, ...]]) -> Frame:
        """Luma through the network."""
        frame, chroma = prepared
        depth = frame.layout.bit_depth
        if not self.takes_frames:
            luma = self.upscaler.upscale_luma(frame.planes[0], bit_depth=depth)
            return replace(frame, planes=(luma, *chroma))
        planes = self.upscaler.upscale_frame(
            frame.planes,
            bit_depth=depth,
            subsampling=frame.layout.subsampling,
            location=self.source.siting.location,
        )
        return replace(frame, planes=planes)

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
