"""LR pictures as video has them: frames of short H.264 clips that pan over a picture.

What a viewer upscales went through an encoder. A still picture encoded alone shows its I-frames;
frames of a clip in motion also show what prediction, quantised residuals and deblocking leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from edge_sr.data.color import luma_of
from edge_sr.data.resample import downscale

FRAMES, SPEED = 8, 3
LOSSLESS = 0
MAX_CRF = 51

Grey = NDArray[np.uint8]


def compressed(frames: Sequence[Grey], crf: int) -> list[Grey]:
    """The frames, HxW luminance in 0..255, after H.264 at this constant rate factor.

    x264's preset medium in one thread, so that the same frames give the same result. ValueError
    for a ``crf`` outside of 0 to 51 or frames of different sizes.
    """
    if not 0 <= crf <= MAX_CRF:
        raise ValueError(f"H.264 CRF {crf} is not in 0 to {MAX_CRF}")
    if any(frame.shape != frames[0].shape for frame in frames):
        raise ValueError("frames of a clip must have one size")
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = frames[0].shape
    encoder.pix_fmt, encoder.framerate = "gray", 25
    encoder.options = {"crf": str(crf), "preset": "medium", "threads": "1"}
    decoder: Any = av.CodecContext.create("h264", "r")
    packets = []
    for time, grey in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(grey), format="gray")
        frame.pts = time
        packets += encoder.encode(frame)
    decoded = []
    for packet in [*packets, *encoder.encode(None), None]:
        decoded += decoder.decode(packet)
    return [_luma_plane(frame) for frame in decoded]


def _luma_plane(frame: Any) -> Grey:
    # As decoded: a conversion of the whole frame would take it for limited range.
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(frame.height, plane.line_size)
    return rows[:, : frame.width].copy()


def pan(image: NDArray[np.uint8], scale: int, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """A window's views of ``image`` as it moves by up to 3 pixels a frame, 8 of them.

    The window is a multiple of ``scale``; a picture with no room for it is seen at rest.
    """
    sides = image.shape[:2]
    moves, sizes = [], []
    for side in sides:
        fastest = min(SPEED, (side - side // 2) // (FRAMES - 1))
        speed = int(rng.integers(-fastest, fastest + 1))
        room = abs(speed) * (FRAMES - 1)
        sizes.append((side - room) // scale * scale)
        moves.append([speed * k if speed >= 0 else room + speed * k for k in range(FRAMES)])
    return [
        image[top : top + sizes[0], left : left + sizes[1]]
        for top, left in zip(*moves, strict=True)
    ]


def clip_pairs(
    image: NDArray[np.uint8], scale: int, crfs: Sequence[int], rng: np.random.Generator
) -> list[tuple[Grey, NDArray[np.float64]]]:
    """LR and HR luminance of one frame of a clip for each ``crf``, drawn at random.

    Video has both ranges: every second clip has black at 0 and white at 255 instead of 16 and 235.
    """
    views = pan(image, scale, rng)
    is_full_range = bool(rng.integers(2))

    def luma(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        limited = luma_of(picture)
        return np.clip((limited - 16) * 255 / 219, 0, 255) if is_full_range else limited

    lr = [np.rint(luma(downscale(view, scale))).astype(np.uint8) for view in views]
    pairs = []
    for crf in crfs:
        chosen = int(rng.integers(FRAMES))
        pairs.append((compressed(lr, crf)[chosen], luma(views[chosen])))
    return pairs
