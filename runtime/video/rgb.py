"""RGB of the planes of a frame, and back: matrix, range and place of chroma.

All of it is arithmetic on code values, non-linear as the transfer made them, HDR included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.video.chroma import chroma_from_luma_grid, chroma_on_luma_grid
from runtime.video.color import MATRICES, RANGE_FULL, UNSPECIFIED, Siting, guessed_matrix
from runtime.video.frame import Plane
from runtime.video.pixels import GREY, PixelLayout
from runtime.video.probe import VideoInfo

Floats = NDArray[np.floating[Any]]

# Shares of red and blue in luma, by the matrix numbers of ITU-T H.273.
LUMA_SHARES: Mapping[int, tuple[float, float]] = MappingProxyType(
    {
        1: (0.2126, 0.0722),
        4: (0.30, 0.11),
        5: (0.299, 0.114),
        6: (0.299, 0.114),
        7: (0.212, 0.087),
        9: (0.2627, 0.0593),
    }
)
# For grey, whose three equal channels are the same by any matrix.
GREY_MATRIX = MATRICES["bt601"]


def matrix_of(info: VideoInfo) -> int:
    """The matrix of a video's colours; what common players guess where it names none.

    Raises ValueError for one that is not a plain luma and chroma matrix.
    """
    matrix = info.colors.matrix
    if matrix == UNSPECIFIED:
        return MATRICES[guessed_matrix(*info.size).lower().replace(".", "")]
    if matrix not in LUMA_SHARES:
        raise ValueError(
            f"colour matrix {matrix} of ITU-T H.273 cannot be turned into RGB here; convert the "
            "video to BT.709 first"
        )
    return matrix


def common_matrix(source: VideoInfo, target: VideoInfo) -> int:
    """The matrix for frames of ``source`` that go through RGB to ``target``.

    The source's own; where it names none, the one that the target is tagged with, else a guess.
    Raises ValueError as :func:`matrix_of`.
    """
    if source.layout.subsampling == GREY:
        return GREY_MATRIX
    if source.layout.is_rgb:
        return GREY_MATRIX if target.layout.is_rgb else matrix_of(target)
    if source.colors.matrix == UNSPECIFIED and target.colors.matrix in LUMA_SHARES:
        return target.colors.matrix
    return matrix_of(source)


@dataclass(frozen=True)
class PlaneColors:
    """What the colour planes of a layout, alpha left aside, are in RGB.

    RGB is HxWx3 float32 in 0..255; values of colours that RGB does not have lie outside, and are
    kept. Of planes that are RGB of 8 bits it is uint8, as they are. Grey is three equal channels.
    An open range is limited.
    """

    layout: PixelLayout
    matrix: int
    is_full: bool
    siting: Siting

    @classmethod
    def of(cls, info: VideoInfo, matrix: int) -> PlaneColors:
        """Those of a video, by a matrix of :data:`LUMA_SHARES`."""
        is_full = info.colors.sample_range == RANGE_FULL
        return cls(info.layout, matrix, is_full, info.siting)

    def rgb(self, planes: tuple[Plane, ...]) -> Plane:
        """Planes as decoded to RGB."""
        import cv2

        if self.layout.is_rgb:
            rgb = np.asarray(cv2.merge(planes))
            return rgb if self.layout.bit_depth == 8 else rgb * np.float32(1 / self._rgb_unit)
        luma = planes[0].astype(np.float32)
        if self.layout.subsampling == GREY:
            grey = (luma - np.float32(self._zeros[0])) * np.float32(255 / self._spans[0])
            return np.asarray(cv2.merge([grey] * 3))
        size = luma.shape[1], luma.shape[0]
        chroma = (
            chroma_on_luma_grid(plane, self.layout.subsampling, self.siting, size)
            for plane in planes[1:]
        )
        return _transformed(np.asarray(cv2.merge([luma, *chroma])), self._to_rgb)

    def planes(self, rgb: Plane) -> tuple[Plane, ...]:
        """RGB to planes, rounded half to even and clamped."""
        import cv2

        depth = self.layout.bit_depth
        if self.layout.is_rgb:
            if rgb.dtype != np.uint8 or depth > 8:
                rgb = rounded_samples(rgb * np.float32(self._rgb_unit), depth)
            return tuple(map(np.asarray, cv2.split(rgb)))
        levels = rgb.astype(np.float32, copy=False)
        luma = rounded_samples(_transformed(levels, self._from_rgb[:1]), depth)
        if self.layout.subsampling == GREY:
            return (luma,)
        # Plane by plane, since memory that large is given back to the system each time.
        return luma, *(self._chroma(levels, row) for row in self._from_rgb[1:])

    def _chroma(self, rgb: Floats, row: NDArray[np.float64]) -> Plane:
        full = _transformed(rgb, row[None])
        chroma = chroma_from_luma_grid(full, self.layout.subsampling, self.siting)
        return rounded_samples(chroma, self.layout.bit_depth)

    @property
    def _rgb_unit(self) -> float:
        """Code values of RGB per level of 0..255."""
        return (2.0**self.layout.bit_depth - 1) / 255

    @property
    def _zeros(self) -> NDArray[np.float64]:
        """Code values of black and of no colour."""
        unit = 2.0 ** (self.layout.bit_depth - 8)
        return np.array([0.0 if self.is_full else 16 * unit, 128 * unit, 128 * unit])

    @property
    def _spans(self) -> NDArray[np.float64]:
        """Code values from black to white, and between the extremes of chroma."""
        if self.is_full:
            return np.full(3, 2.0**self.layout.bit_depth - 1)
        return np.array([219.0, 224.0, 224.0]) * 2.0 ** (self.layout.bit_depth - 8)

    @cached_property
    def _from_rgb(self) -> NDArray[np.float64]:
        """3x4: RGB in 0..255 and 1 to code values."""
        scaled = _matrix(self.matrix) * (self._spans / 255)[:, None]
        return np.column_stack([scaled, self._zeros])

    @cached_property
    def _to_rgb(self) -> NDArray[np.float64]:
        """3x4: code values and 1 to RGB."""
        inverse = np.linalg.inv(self._from_rgb[:, :3])
        return np.column_stack([inverse, -inverse @ self._zeros])


def rounded_samples(values: NDArray[Any], bit_depth: int) -> Plane:
    """Float code values to samples of a depth: rounded half to even, clamped."""
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    rounded = np.rint(values)
    samples: Plane = np.clip(rounded, 0, 2**bit_depth - 1, out=rounded).astype(dtype)
    return samples


def _matrix(number: int) -> NDArray[np.float64]:
    """3x3: RGB to luma and the two colour differences, blue's first."""
    red, blue = LUMA_SHARES[number]
    luma = np.array([red, 1 - red - blue, blue])
    return np.array(
        [
            luma,
            (np.array([0, 0, 1]) - luma) / (2 * (1 - blue)),
            (np.array([1, 0, 0]) - luma) / (2 * (1 - red)),
        ]
    )


def _transformed(pixels: Floats, matrix: NDArray[np.float64]) -> Floats:
    import cv2

    return np.asarray(cv2.transform(pixels, matrix.astype(np.float32)))
