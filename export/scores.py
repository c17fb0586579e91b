"""Held-out pictures, and how near to them an upscaler comes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_sr.data.color import luma_from_rgb
from edge_sr.data.resample import downscale, modcrop, upscale
from edge_sr.metrics import psnr
from export.heads import with_uint8_io
from export.session import GraphRunner

# HxW luminance, or HxWx3 RGB.
Picture = NDArray[np.uint8]
PictureUpscaler = Callable[[Picture], Picture]


@dataclass(frozen=True)
class HeldOut:
    """A picture kept from calibration: ground truth and its downscaled version, both in 8 bit."""

    name: str
    lr: Picture
    hr: Picture

    def centre(self, side: int) -> HeldOut:
        """The centre of the picture, at most ``side`` LR pixels wide and high."""
        scale = self.hr.shape[0] // self.lr.shape[0]
        top, left = ((length - min(length, side)) // 2 for length in self.lr.shape[:2])
        hr = self.hr[scale * top : scale * (top + side), scale * left : scale * (left + side)]
        return HeldOut(self.name, self.lr[top : top + side, left : left + side], hr)


@dataclass(frozen=True)
class Quality:
    """Mean PSNR of a precision on the held-out pictures; a positive drop is loss against fp32."""

    psnr: float
    drop_db: float
    per_picture: Mapping[str, float]


def signless(value: float, digits: int = 4) -> float:
    """Rounded, and never minus zero."""
    return round(value, digits) + 0.0


def held_out_pairs(frames: Sequence[tuple[str, Picture]], scale: int) -> tuple[HeldOut, ...]:
    """Pictures taken as HR and downscaled as the evaluation protocols do."""
    pairs: list[HeldOut] = []
    for name, frame in frames:
        hr = modcrop(frame, scale)
        if min(hr.shape[:2]) < 4 * scale:
            raise ValueError(
                f"held-out picture {name} of {frame.shape[1]}x{frame.shape[0]} is too small "
                f"to measure at scale {scale}"
            )
        is_taken = any(pair.name == name for pair in pairs)
        unique = f"{name} ({len(pairs)})" if is_taken else name
        pairs.append(HeldOut(unique, downscale(hr, scale), hr))
    return tuple(pairs)


def picture_psnr(sr: Picture, hr: Picture, scale: int) -> float:
    """PSNR in dB of 8-bit pictures, ``scale`` pixels shaved.

    RGB is compared on its luminance in float (protocol C of :mod:`edge_sr.metrics.protocols`).
    """
    if hr.ndim == 3:
        return psnr(luma_from_rgb(sr), luma_from_rgb(hr), shave=scale)
    return psnr(sr, hr, shave=scale)


def picture_scores(
    upscale_picture: PictureUpscaler, pairs: Sequence[HeldOut], scale: int
) -> dict[str, float]:
    """PSNR in dB per held-out picture."""
    return {pair.name: picture_psnr(upscale_picture(pair.lr), pair.hr, scale) for pair in pairs}


def bicubic_picture(lr: Picture, scale: int) -> Picture:
    """MATLAB bicubic: luminance in its 8-bit mode, RGB in double precision as in protocol C."""
    if lr.ndim == 2:
        return np.asarray(upscale(lr, scale))
    return levels_of(upscale(lr.astype(np.float64), scale))


def bicubic_scores(pairs: Sequence[HeldOut], scale: int) -> dict[str, float]:
    """What plain bicubic reaches on the same pictures."""
    return picture_scores(lambda lr: bicubic_picture(lr, scale), pairs, scale)


def levels_of(grey: NDArray[Any]) -> Picture:
    """Grey levels as the byte graphs return them: clamped, rounded half to even."""
    levels: Picture = np.rint(np.clip(grey, 0, 255)).astype(np.uint8)
    return levels


def graph_scores(
    twin: onnx.ModelProto, pairs: Sequence[HeldOut], scale: int, *, threads: int = 0
) -> dict[str, float]:
    """Scores of a float grey-level graph with the byte ends it will have in the bundle."""
    return picture_scores(GraphRunner(with_uint8_io(twin), threads=threads).picture, pairs, scale)


def quality_of(scores: Mapping[str, float], reference: Mapping[str, float]) -> Quality:
    """Mean score and its distance from fp32's."""
    psnr_db = mean(scores)
    return Quality(psnr_db, mean(reference) - psnr_db, dict(scores))


def mean(scores: Mapping[str, float]) -> float:
    """Mean over pictures."""
    return math.fsum(scores.values()) / len(scores)
