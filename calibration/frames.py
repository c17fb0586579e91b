"""Frames that calibrate a network, luminance or RGB, and those held out to measure it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sr.data.color import luma_of
from edge_sr.data.image_io import IMAGE_SUFFIXES, list_images, read_image
from edge_sr.data.resample import modcrop
from runtime.video.convert import Converter, converted_tags
from runtime.video.frame import Frame
from runtime.video.pixels import LAYOUTS
from runtime.video.probe import VideoInfo
from runtime.video.reader import VideoReader

DEFAULT_FRAMES = Path(__file__).resolve().parent / "default_frames"
VIDEO_FRAMES = 32
HOLD_OUT_EVERY = 4
_SMALLEST_SIDE = 32
_LARGEST_SIDE = 1024  # activations of a larger frame would need gigabytes; its centre serves

NamedFrame = tuple[str, NDArray[np.uint8]]


@dataclass(frozen=True)
class CalibrationFrames:
    """Named uint8 frames: LR input as it is, and HR pictures whose sides divide by scale.

    HxW luminance or HxWx3 RGB.
    """

    calibrate: tuple[NamedFrame, ...]
    hold_out: tuple[NamedFrame, ...]
    digest: str


def load_calibration_frames(
    source: Path | None, *, scale: int, channels: str = "y"
) -> CalibrationFrames:
    """Read a folder of pictures or a video file; None takes the default set of this package.

    Every fourth frame is held out as HR; the rest calibrate as they are, but for their centre
    where a side is longer than 1024 px. ``channels`` is y for luminance or rgb. Raises OSError or
    ValueError if there is no frame, or too few to hold one out.
    """
    named = _frames_of(source or DEFAULT_FRAMES, is_rgb=channels == "rgb")
    frames = [(name, _centre(frame)) for name, frame in named]
    small = next((n for n, f in frames if min(f.shape[:2]) < _SMALLEST_SIDE * scale), None)
    if small is not None:
        raise ValueError(f"{small} is smaller than {_SMALLEST_SIDE * scale} px on a side")
    if len(frames) < 2:
        raise ValueError(f"{source} holds {len(frames)} frame; at least 2 are needed")
    digest = hashlib.sha256()
    for name, frame in frames:
        digest.update(f"{name} {frame.shape}\n".encode() + frame.tobytes())
    is_held_out = [index % HOLD_OUT_EVERY == HOLD_OUT_EVERY - 1 for index in range(len(frames))]
    if not any(is_held_out):
        is_held_out[-1] = True
    pairs = list(zip(frames, is_held_out, strict=True))
    return CalibrationFrames(
        calibrate=tuple(frame for frame, held in pairs if not held),
        hold_out=tuple((name, modcrop(frame, scale)) for (name, frame), held in pairs if held),
        digest=digest.hexdigest(),
    )


def _frames_of(source: Path, *, is_rgb: bool) -> list[NamedFrame]:
    if source.is_dir():
        convert = _rgb_uint8 if is_rgb else _luma_uint8
        return [(path.name, convert(read_image(path))) for path in list_images(source)]
    if not source.exists():
        raise FileNotFoundError(f"calibration source {source} does not exist")
    if source.suffix.lower() in IMAGE_SUFFIXES:
        raise ValueError(f"{source} is one picture; give a folder of pictures or a video")
    return _video_frames(source, is_rgb=is_rgb)


def _centre(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    top, left = (max(0, side - _LARGEST_SIDE) // 2 for side in frame.shape[:2])
    return frame[top : top + _LARGEST_SIDE, left : left + _LARGEST_SIDE]


def _luma_uint8(image: NDArray[Any]) -> NDArray[np.uint8]:
    return np.floor(np.clip(luma_of(image), 0, 255) + 0.5).astype(np.uint8)


def _rgb_uint8(image: NDArray[Any]) -> NDArray[np.uint8]:
    """HxWx3 in 8 bit; grey pictures have three equal channels."""
    rgb = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image[:, :, :3]
    return rgb if rgb.dtype == np.uint8 else np.rint(rgb / 257.0).astype(np.uint8)


def _video_frames(path: Path, *, is_rgb: bool) -> list[NamedFrame]:
    """At most VIDEO_FRAMES frames, spread evenly over the video."""
    frames: list[NamedFrame] = []
    with VideoReader(path) as reader:
        step = max(1, (reader.info.frames or 0) // VIDEO_FRAMES)
        convert = _to_rgb(reader.info) if is_rgb else _eight_bit
        for index, frame in enumerate(reader):
            if index % step == 0:
                frames.append((f"{path.name}#{index:06d}", convert(frame)))
            if len(frames) == VIDEO_FRAMES:
                break
    return frames


def _eight_bit(frame: Frame) -> NDArray[np.uint8]:
    luma = frame.planes[0] / 2.0 ** (frame.layout.bit_depth - 8)
    return np.clip(np.rint(luma), 0, 255).astype(np.uint8)


def _to_rgb(info: VideoInfo) -> Callable[[Frame], NDArray[np.uint8]]:
    """A conversion of the video's frames to HxWx3 by its own matrix, range and siting."""
    layout = LAYOUTS["gbrp"]
    colors = converted_tags(info.colors, info.layout, layout, None)
    converter = Converter(info, replace(info, layout=layout, colors=colors))

    def convert(frame: Frame) -> NDArray[np.uint8]:
        if frame.layout.planar_name != layout.planar_name:
            frame = converter.convert(frame)
        return np.dstack(frame.planes[:3])

    return convert
