"""Synthetic pictures with edges and texture, so that a network has something to learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_sr.data.image_io import write_image


def synthetic_luma(height: int, width: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """HxW uint8: discs, bars and waves of random place and size."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    plane = 110 + 40 * np.sin(x / rng.uniform(3, 9) + y / rng.uniform(3, 9))
    for _ in range(12):
        cy, cx, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(3, 14)
        plane[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = rng.uniform(10, 245)
        if rng.random() < 0.5:
            plane[np.abs(x - cx + 0.7 * (y - cy)) < 1.5] = rng.uniform(10, 245)
    return np.clip(np.rint(plane), 0, 255).astype(np.uint8)


def synthetic_rgb(height: int, width: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """HxWx3 uint8 of three related planes."""
    planes = [synthetic_luma(height, width, seed=seed + i).astype(np.float64) for i in range(3)]
    grey = planes[0]
    return np.dstack([np.rint(0.7 * grey + 0.3 * p) for p in planes]).astype(np.uint8)


def write_pictures(folder: Path, count: int, *, height: int = 64, width: int = 72) -> Path:
    """A folder of ``count`` colour PNGs."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        write_image(folder / f"{index:02d}.png", synthetic_rgb(height, width, seed=index))
    return folder
