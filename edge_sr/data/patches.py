"""Aligned LR and HR patches, drawn from pictures that were decoded once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sr.data.color import luma_of
from edge_sr.data.compression import LOSSLESS, clip_pairs
from edge_sr.data.image_io import read_image
from edge_sr.data.resample import downscale, modcrop

Plane = NDArray[np.float32]
CHANNELS = ("y", "rgb")


@dataclass(frozen=True)
class PicturePair:
    """One picture, HR scale times as large as LR, as ``channels`` says.

    ``y``: luminance, float32 HxW in [0, 1]. ``rgb``: uint8 HxWx3, a quarter of the memory.
    ``shrink`` is how many times smaller HR is than the file. ``target`` is a teacher's picture of
    LR, of HR's size and kind, where one is imitated.
    """

    name: str
    lr: NDArray[Any]
    hr: NDArray[Any]
    shrink: int = 1
    target: NDArray[Any] | None = None

    @property
    def pictures(self) -> tuple[NDArray[Any], ...]:
        """LR, HR and, if there is one, the target."""
        return (self.lr, self.hr) if self.target is None else (self.lr, self.hr, self.target)

    @property
    def channels(self) -> str:
        """``y`` or ``rgb``."""
        return CHANNELS[self.lr.ndim - 2]

    @property
    def samples(self) -> int:
        """Channels of a picture: 1 or 3."""
        return 1 if self.lr.ndim == 2 else 3


def load_pair(path: Path, scale: int, *, shrink: int = 1, channels: str = "y") -> PicturePair:
    """Decode one picture and make its pair, see :func:`pair_of`."""
    return pair_of(read_image(path), path.name, scale, shrink=shrink, channels=channels)


def pair_of(
    image: NDArray[Any], name: str, scale: int, *, shrink: int = 1, channels: str = "y"
) -> PicturePair:
    """Crop to a multiple of ``scale`` and downscale as the public benchmarks were made.

    The LR picture is the 8-bit RGB bicubic downscale; luminance is taken afterwards, in float. Grey
    pictures have three equal channels in ``rgb``. ``shrink`` makes HR itself a downscale: more
    detail per pixel, less noise and blur. Raises ValueError if the picture is too small.
    """
    hr = modcrop(_shrunk(image, shrink), scale)
    lr = downscale(hr, scale)
    if channels == "rgb":
        return PicturePair(name, _three_channels(lr), _three_channels(hr), shrink)
    return PicturePair(name, _unit(luma_of(lr)), _unit(luma_of(hr)), shrink)


def _three_channels(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def planes_of(picture: NDArray[Any]) -> Plane:
    """A pair's ``lr`` or ``hr``, or a part of it, as a network takes it: [C, H, W] in [0, 1]."""
    return picture[None] if picture.ndim == 2 else _unit(np.moveaxis(picture, 2, 0))


def _shrunk(image: NDArray[Any], shrink: int) -> NDArray[np.uint8]:
    """8 bits without alpha, at 1/shrink of the size."""
    if image.dtype == np.uint16:
        image = np.floor(image / 257.0 + 0.5).astype(np.uint8)
    image = image[:, :, :3] if image.ndim == 3 else image
    return downscale(modcrop(image, shrink), shrink) if shrink > 1 else image


def _unit(levels: NDArray[Any]) -> Plane:
    return levels.astype(np.float32) / np.float32(255)


def load_pairs(
    paths: Sequence[Path],
    scale: int,
    *,
    shrinks: Sequence[int] = (1,),
    crfs: Sequence[int] = (LOSSLESS,),
    channels: str = "y",
    threads: int = 4,
) -> list[PicturePair]:
    """All pictures in the order of ``paths``, each decoded once, at every shrink and every CRF.

    What leaves less than one LR pixel of a picture is passed over. ``crfs`` are those of
    H.264 (:mod:`edge_sr.data.compression`), of luminance alone; 0 is LR as :func:`pair_of` makes
    it. ValueError for a CRF with ``rgb``.
    """
    lossy = [crf for crf in crfs if crf != LOSSLESS]
    if lossy and channels == "rgb":
        raise ValueError("H.264 training clips are luminance; an RGB network cannot take them")

    def pairs_of(numbered: tuple[int, Path]) -> list[PicturePair]:
        index, path = numbered
        image = read_image(path)
        pairs = []
        for shrink in shrinks:
            if min(image.shape[:2]) < shrink * scale:
                continue
            if LOSSLESS in crfs:
                pairs.append(pair_of(image, path.name, scale, shrink=shrink, channels=channels))
            rng = np.random.default_rng([index, shrink])
            for lr, hr in clip_pairs(_shrunk(image, shrink), scale, lossy, rng) if lossy else []:
                pairs.append(PicturePair(path.name, _unit(lr), _unit(hr), shrink))
        return pairs

    with ThreadPoolExecutor(threads) as pool:
        return [pair for pairs in pool.map(pairs_of, enumerate(paths)) for pair in pairs]


class PatchSampler:
    """Random aligned crops; batch ``i`` depends on the seed and ``i`` alone.

    Every ``shrink`` is equally likely, and of its pictures every crop position. Each patch goes
    through one of the first ``symmetries`` of :func:`transform`: 8 are the dihedral group, 2
    nothing and a horizontal flip. ``patch_size`` is the side of the LR patch in pixels.
    ``patterns`` are a share of the patches, in [0, 1), and what those are taken from instead.
    """

    def __init__(
        self,
        pairs: Sequence[PicturePair],
        scale: int,
        *,
        patch_size: int,
        batch_size: int,
        seed: int,
        patterns: tuple[float, Sequence[PicturePair]] = (0.0, ()),
        symmetries: int = 8,
    ) -> None:
        self.pairs = [p for p in pairs if min(p.lr.shape[:2]) >= patch_size]
        if not self.pairs:
            raise ValueError(
                f"no picture is at least {patch_size * scale} px on both sides; "
                "give larger pictures or a smaller --patch-size"
            )
        self.scale, self.patch_size = scale, patch_size
        self.batch_size, self.seed, self.symmetries = batch_size, seed, symmetries
        shrinks = sorted({pair.shrink for pair in self.pairs})
        self._photographs = [[p for p in self.pairs if p.shrink == n] for n in shrinks]
        self._groups = list(self._photographs)
        share, drawn = patterns
        self._shares = [(1 - share) / len(shrinks)] * len(shrinks)
        if share:
            self._groups.append(list(drawn))
            self._shares.append(share)
        self._ends = [np.cumsum([self._positions(p) for p in group]) for group in self._groups]
        self.pictures = [pair for group in self._groups for pair in group]
        self._starts = np.cumsum([0, *map(len, self._groups)])

    def counts(self) -> dict[int, int]:
        """How many pictures are large enough at each shrink."""
        return {group[0].shrink: len(group) for group in self._photographs}

    def _positions(self, pair: PicturePair) -> int:
        rows, columns = (int(side) - self.patch_size + 1 for side in pair.lr.shape[:2])
        return rows * columns

    def draws(self, iteration: int) -> NDArray[np.int64]:
        """A row for each patch: its picture in ``pictures``, LR row and column, and symmetry."""
        rng = np.random.default_rng([self.seed, iteration])
        groups = rng.choice(len(self._groups), size=self.batch_size, p=self._shares)
        places = rng.integers([self._ends[group][-1] for group in groups])
        symmetries = rng.integers(self.symmetries, size=self.batch_size)
        draws = np.empty((self.batch_size, 4), np.int64)
        for row, (group, place) in enumerate(zip(groups, places, strict=True)):
            ends = self._ends[group]
            which = int(np.searchsorted(ends, place, side="right"))
            before = ends[which - 1] if which else 0
            picture = self._starts[group] + which
            columns = self.pictures[picture].lr.shape[1] - self.patch_size + 1
            draws[row] = picture, *divmod(int(place - before), columns), symmetries[row]
        return draws

    def batch(self, iteration: int) -> tuple[Plane, ...]:
        """LR [B, C, p, p], HR [B, C, scale*p, scale*p] and such a target if the pairs have one.

        All in [0, 1].
        """
        draws = self.draws(iteration).tolist()
        batch = []
        for kind, side, factor in self.layers():
            patches = np.empty((self.batch_size, self.pairs[0].samples, side, side), np.float32)
            for row, (picture, y, x, symmetry) in enumerate(draws):
                y, x = y * factor, x * factor
                patch = self.pictures[picture].pictures[kind][y : y + side, x : x + side]
                patches[row] = planes_of(transform(patch, symmetry))
            batch.append(patches)
        return tuple(batch)

    def layers(self) -> list[tuple[int, int, int]]:
        """Of each part of a batch: its index in ``pictures``, a patch's side, and its scale."""
        factors = (1, self.scale, self.scale)[: len(self.pairs[0].pictures)]
        return [(kind, self.patch_size * factor, factor) for kind, factor in enumerate(factors)]


def transform(patch: NDArray[Any], symmetry: int) -> NDArray[Any]:
    """One of the 8 symmetries of the square: bit 0 flips, bit 1 flips up, bit 2 transposes."""
    patch = patch[:, ::-1] if symmetry & 1 else patch
    patch = patch[::-1] if symmetry & 2 else patch
    return patch.swapaxes(0, 1) if symmetry & 4 else patch
