"""Whether every frame of a copy shows what the same frame of the clip shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from clip_check.facts import Luma, lumas

MIN_PSNR = 30.0
# A frame that looks clearly more like a neighbour than like its own place is a wrong one.
NEIGHBOUR_DB = 1.0
SMALL = 320


@dataclass(frozen=True)
class Pictures:
    """Lines about frames that differ; PSNR in dB over all frames and of the worst."""

    lines: tuple[str, ...]
    psnr: float
    worst: float


def compare_pictures(source: Path, old: int, target: Path, new: int) -> Pictures:
    """Compare all frames; those of the output are reduced to the size of the input."""
    lines = []
    before: list[Luma] = []
    after: list[Luma] = []
    error, worst, place = 0.0, np.inf, 0
    for number, (a, b) in enumerate(zip(lumas(source, old), lumas(target, new), strict=False), 1):
        reduced = cv2.resize(b, a.shape[::-1], interpolation=cv2.INTER_AREA)
        mean = float(np.mean((reduced - a) ** 2))
        error += mean
        if psnr(mean) < worst:
            worst, place = psnr(mean), number
        before.append(_small(a))
        after.append(_small(reduced))
    whole = psnr(error / max(len(before), 1))
    if whole < MIN_PSNR:
        lines.append(f"pictures: PSNR {whole:.1f} dB over all, {worst:.1f} dB in frame {place}")
    elif worst < MIN_PSNR - 5:
        lines.append(f"pictures: PSNR {worst:.1f} dB in frame {place}, {whole:.1f} dB over all")
    strange = [index + 1 for index in range(len(after)) if _is_strange(before, after, index)]
    if strange:
        text = f"{len(strange)} frames show a neighbour, first frame {strange[0]}"
        lines.append(f"pictures: {text}")
    return Pictures(tuple(lines), whole, worst)


def psnr(mean_square: float) -> float:
    """PSNR in dB for grey levels up to 255."""
    return float(10 * np.log10(255**2 / mean_square)) if mean_square else float("inf")


def _is_strange(before: list[Luma], after: list[Luma], index: int) -> bool:
    own = psnr(float(np.mean((before[index] - after[index]) ** 2)))
    for other in (index - 2, index - 1, index + 1, index + 2):
        if 0 <= other < len(before):
            theirs = psnr(float(np.mean((before[other] - after[index]) ** 2)))
            if theirs > own + NEIGHBOUR_DB:
                return True
    return False


def _small(plane: Luma) -> Luma:
    height, width = plane.shape
    factor = min(1.0, SMALL / max(width, height))
    if factor == 1.0:
        return plane
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
