"""Read, upscale and write video with its sound, times and colours."""

from __future__ import annotations

from runtime.video.encoder import EncodeOptions
from runtime.video.frame import Frame
from runtime.video.pipeline import VideoOptions, VideoResult, upscale_video
from runtime.video.probe import VideoInfo, probe
from runtime.video.reader import VideoReader
from runtime.video.writer import VideoWriter

__all__ = [
    "EncodeOptions",
    "Frame",
    "VideoInfo",
    "VideoOptions",
    "VideoReader",
    "VideoResult",
    "VideoWriter",
    "probe",
    "upscale_video",
]
