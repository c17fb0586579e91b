"""Before/after cut-outs of held-out pictures for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.heads import with_uint8_io
from export.scores import HeldOut, Picture, bicubic_picture, picture_psnr
from export.session import GraphRunner

CROP_SIDE = 120
MOST_CROPS = 3


@dataclass(frozen=True)
class View:
    """One version of a cut-out, and the PSNR of the whole picture it is from (None: the truth)."""

    title: str
    pixels: Picture
    psnr: float | None


@dataclass(frozen=True)
class Crop:
    """The same place in every version of one picture."""

    name: str
    x: int
    y: int
    views: tuple[View, ...]


def crops_of(
    twins: Mapping[str, onnx.ModelProto], pairs: Sequence[HeldOut], scale: int
) -> list[Crop]:
    """Cut-outs where the network changes most against bicubic, from evenly spread pictures."""
    chosen = pairs[:: max(1, len(pairs) // MOST_CROPS)][:MOST_CROPS]
    runners = {name: GraphRunner(with_uint8_io(twin)) for name, twin in twins.items()}
    crops = []
    for pair in chosen:
        versions: dict[str, Picture] = {"bicubic": bicubic_picture(pair.lr, scale)}
        versions |= {name: run.picture(pair.lr) for name, run in runners.items()}
        y, x, side = busiest_square(versions["bicubic"], versions["fp32"], CROP_SIDE)
        views = [
            View(name, picture[y : y + side, x : x + side], picture_psnr(picture, pair.hr, scale))
            for name, picture in versions.items()
        ]
        views.append(View("original", pair.hr[y : y + side, x : x + side], None))
        crops.append(Crop(pair.name, x, y, tuple(views)))
    return crops


def busiest_square(first: NDArray[Any], second: NDArray[Any], side: int) -> tuple[int, int, int]:
    """Top, left and side of the square in which two pictures differ most."""
    side = min(side, *first.shape[:2])
    error = (first.astype(np.float64) - second.astype(np.float64)) ** 2
    error = error if error.ndim == 2 else error.sum(axis=2)
    sums = np.pad(error.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    y, x = np.unravel_index(int(np.argmax(inside)), inside.shape)
    return int(y), int(x), side
