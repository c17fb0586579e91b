"""Synthetic pictures of what photographs lack: text, pixel art, stripes, dither, noise.

A network that has seen photographs alone may answer a one-pixel checkerboard or white noise with
values far outside of the picture's. These pictures, among the others, keep it sane there. Their
letters are OpenCV's own, so that another version of it may draw other pixels.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sr.data.patches import PicturePair, pair_of

Grey = NDArray[np.uint8]
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;?!"))


def pattern_pairs(
    scale: int, count: int, *, side: int, seed: int, channels: str = "y"
) -> list[PicturePair]:
    """``count`` pairs of ``side`` LR pixels, made anew from the seed.

    In ``rgb`` the grey levels become the way from one random colour to another.
    """
    pairs = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        hr = _KINDS[index % len(_KINDS)](rng, side, scale)
        picture = _coloured(rng, hr) if channels == "rgb" else hr
        pairs.append(pair_of(picture, f"pattern {index}", scale, channels=channels))
    return pairs


def _coloured(rng: np.random.Generator, grey: Grey) -> Grey:
    first, last = rng.integers(256, size=(2, 3))
    mixed: NDArray[np.float64] = first + (last - first) * (grey[:, :, None] / 255)
    return np.rint(mixed).astype(np.uint8)


def _levels(rng: np.random.Generator, values: NDArray[Any]) -> Grey:
    """Values of 0 to 1 between two grey levels at least a quarter of the range apart."""
    low = rng.uniform(0, 0.75)
    high = rng.uniform(low + 0.25, 1)
    if rng.random() < 0.4:
        low, high = 0.0, 1.0
    if rng.random() < 0.5:
        values = 1 - values
    return np.rint(255 * (low + (high - low) * values)).astype(np.uint8)


def _enlarged(values: NDArray[Any], scale: int) -> NDArray[Any]:
    """Pixel art: each value a square of the size of an LR pixel."""
    return np.kron(values, np.ones((scale, scale)))


def _noise(rng: np.random.Generator, side: int, scale: int) -> Grey:
    values = rng.random((side, side))
    if rng.random() < 0.5:
        values = (values < rng.uniform(0.1, 0.9)).astype(np.float64)
    return _levels(rng, _enlarged(values, scale))


def _grain(rng: np.random.Generator, side: int, scale: int) -> Grey:
    y, x = np.mgrid[0:side, 0:side] / side
    slope = rng.uniform(-1, 1, 2)
    values = 0.5 + 0.4 * (slope[0] * (y - 0.5) + slope[1] * (x - 0.5))
    values = values + rng.normal(0, rng.uniform(0.02, 0.3), values.shape)
    return _levels(rng, _enlarged(values.clip(0, 1), scale))


def _stripes(rng: np.random.Generator, side: int, scale: int) -> Grey:
    y, x = np.mgrid[0:side, 0:side]
    period, width = int(rng.integers(2, 9)), int(rng.integers(1, 5))
    along = (x, y, x + y, x - y)[int(rng.integers(4))]
    values = (along % period < min(width, period - 1)).astype(np.float64)
    return _levels(rng, _enlarged(values, scale))


def _checkers(rng: np.random.Generator, side: int, scale: int) -> Grey:
    y, x = np.mgrid[0:side, 0:side]
    cell = rng.integers(1, 5, 2)
    values = ((y // cell[0] + x // cell[1]) % 2).astype(np.float64)
    return _levels(rng, _enlarged(values, scale))


def _dots(rng: np.random.Generator, side: int, scale: int) -> Grey:
    y, x = np.mgrid[0:side, 0:side]
    period = rng.integers(2, 7, 2)
    values = ((y % period[0] == 0) & (x % period[1] == 0)).astype(np.float64)
    return _levels(rng, _enlarged(values, scale))


def _blocks(rng: np.random.Generator, side: int, scale: int) -> Grey:
    cell = int(rng.integers(1, 7))
    cells = -(-side // cell)
    values = np.kron(
        rng.integers(0, int(rng.integers(2, 5)), (cells, cells)), np.ones((cell, cell))
    )
    values = values[:side, :side] / max(1.0, float(values.max()))
    return _levels(rng, _enlarged(values, scale))


def _text(rng: np.random.Generator, side: int, scale: int) -> Grey:
    size = side * scale
    canvas = np.zeros((size, size), np.uint8)
    line = cv2.LINE_AA if rng.random() < 0.8 else cv2.LINE_8
    y = 0
    while y < size:
        height = rng.uniform(0.25, 0.9) * scale / 2
        y += int(30 * height)
        words = "".join(rng.choice(_LETTERS, 60))
        font = _FONTS[int(rng.integers(len(_FONTS)))]
        thickness = int(rng.integers(1, 1 + scale))
        cv2.putText(canvas, words, (-4, y), font, height, 255, thickness, line)
    return _levels(rng, canvas / 255)


def _shapes(rng: np.random.Generator, side: int, scale: int) -> Grey:
    size = side * scale
    canvas = np.full((size, size), int(rng.integers(256)), np.uint8)
    for _ in range(int(rng.integers(5, 40))):
        grey, line = int(rng.integers(256)), cv2.LINE_AA if rng.random() < 0.8 else cv2.LINE_8
        points = rng.integers(0, size, (int(rng.integers(2, 6)), 2)).astype(np.int32)
        if len(points) == 2:
            ends = [tuple(int(v) for v in point) for point in points]
            cv2.line(canvas, ends[0], ends[1], grey, int(rng.integers(1, 3 * scale)), line)
        else:
            cv2.fillPoly(canvas, [points], grey, line)
    return canvas


_KINDS = (_noise, _grain, _stripes, _checkers, _dots, _blocks, _text, _text, _shapes)
