"""Aligned LR and HR luminance patches, drawn from pictures that were decoded once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_sr.data.color import luma_of
from edge_sr.data.image_io import read_image
from edge_sr.data.resample import downscale, modcrop

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class PicturePair:
    """One picture as float32 luminance in [0, 1]: ``hr`` HxW, ``lr`` H/scale x W/scale."""

    name: str
    lr: Plane
    hr: Plane


def load_pair(path: Path, scale: int) -> PicturePair:
    """Decode, crop to a multiple of ``scale`` and downscale as the public benchmarks were made.

    The LR picture is the 8-bit RGB bicubic downscale; luminance is taken afterwards, in float.
    """
    image = read_image(path)
    if image.dtype == np.uint16:
        image = np.floor(image / 257.0 + 0.5).astype(np.uint8)
    image = modcrop(image[:, :, :3] if image.ndim == 3 else image, scale)
    hr = luma_of(image).astype(np.float32) / np.float32(255)
    lr = luma_of(downscale(image, scale)).astype(np.float32) / np.float32(255)
    return PicturePair(path.name, lr, hr)


def load_pairs(paths: Sequence[Path], scale: int, *, threads: int = 4) -> list[PicturePair]:
    """All pictures in the order of ``paths``."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda path: load_pair(path, scale), paths))


class PatchSampler:
    """Random aligned crops; batch ``i`` depends on the seed and ``i`` alone.

    Every crop position of the data set is equally likely. Each patch is flipped and transposed at
    random (the dihedral group of 8). ``patch_size`` is the side of the LR patch in pixels.
    """

    def __init__(
        self,
        pairs: Sequence[PicturePair],
        scale: int,
        *,
        patch_size: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self.pairs = [p for p in pairs if min(p.lr.shape) >= patch_size]
        if not self.pairs:
            raise ValueError(
                f"no picture is at least {patch_size * scale} px on both sides; "
                "give larger pictures or a smaller --patch-size"
            )
        self.scale, self.patch_size = scale, patch_size
        self.batch_size, self.seed = batch_size, seed
        positions = [
            (p.lr.shape[0] - patch_size + 1) * (p.lr.shape[1] - patch_size + 1) for p in self.pairs
        ]
        self._cumulative = np.cumsum(positions)

    def batch(self, iteration: int) -> tuple[Plane, Plane]:
        """LR [B, 1, p, p] and HR [B, 1, scale*p, scale*p] of one iteration."""
        rng = np.random.default_rng([self.seed, iteration])
        size, scale = self.patch_size, self.scale
        lr = np.empty((self.batch_size, 1, size, size), np.float32)
        hr = np.empty((self.batch_size, 1, size * scale, size * scale), np.float32)
        draws = rng.integers(self._cumulative[-1], size=self.batch_size)
        symmetries = rng.integers(8, size=self.batch_size)
        for row, (draw, symmetry) in enumerate(zip(draws, symmetries, strict=True)):
            which = int(np.searchsorted(self._cumulative, draw, side="right"))
            before = self._cumulative[which - 1] if which else 0
            pair = self.pairs[which]
            y, x = divmod(int(draw - before), pair.lr.shape[1] - size + 1)
            lr[row, 0] = transform(pair.lr[y : y + size, x : x + size], int(symmetry))
            hr[row, 0] = transform(
                pair.hr[y * scale : (y + size) * scale, x * scale : (x + size) * scale],
                int(symmetry),
            )
        return lr, hr


def transform(patch: Plane, symmetry: int) -> Plane:
    """One of the 8 symmetries of the square: bit 0 flips, bit 1 flips up, bit 2 transposes."""
    patch = patch[:, ::-1] if symmetry & 1 else patch
    patch = patch[::-1] if symmetry & 2 else patch
    return patch.T if symmetry & 4 else patch
