"""Which encoder writes a video, with which options."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from runtime.video.color import Siting, apply_tags
from runtime.video.frame import PixelLayout
from runtime.video.probe import VideoInfo, av_errors

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

ENCODERS: Mapping[str, str] = MappingProxyType(
    {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9"}
)
VIDEO_SUFFIXES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        ".mp4": ("h264", "hevc", "vp9"),
        ".m4v": ("h264",),
        ".mov": ("h264", "hevc"),
        ".mkv": ("h264", "hevc", "vp9"),
        ".webm": ("vp9",),
    }
)
PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
)
# libvpx's own scale: 5 is its fastest with good quality, 0 its slowest.
VP9_SPEEDS: Mapping[str, int] = MappingProxyType(
    dict(zip(PRESETS, (5, 5, 5, 4, 4, 2, 1, 1, 0), strict=True))
)
# Encoders write other bytes with another number of threads, so it must not follow the machine's
# cores. A thread's lines bound how far x264 looks up and down.
MOST_ENCODER_THREADS = 8
LINES_PER_THREAD = 64
MAX_CRF: Mapping[str, int] = MappingProxyType({"h264": 51, "hevc": 51, "vp9": 63})


@dataclass(frozen=True)
class EncodeOptions:
    """What the user may choose."""

    crf: float = 16
    preset: str = "medium"
    codec: str = "auto"


def choose_codec(suffix: str, layout: PixelLayout, wanted: str = "auto") -> str:
    """The codec for an output suffix: as wanted, else VP9 in webm, H.264, HEVC for deep video.

    Raises ValueError if the container cannot hold it.
    """
    allowed = VIDEO_SUFFIXES.get(suffix.lower())
    if allowed is None:
        raise ValueError(
            f"cannot write video as {suffix or 'a file without suffix'}; "
            f"use one of {' '.join(VIDEO_SUFFIXES)}"
        )
    if wanted == "auto":
        is_deep = layout.bit_depth > 8
        return "hevc" if is_deep and "hevc" in allowed else allowed[0]
    if wanted not in allowed:
        raise ValueError(f"{suffix} holds {' or '.join(allowed)}, not {wanted}")
    return wanted


def check_encoder(
    codec: str, layout: PixelLayout, formats: Collection[str] | None, size: tuple[int, int]
) -> None:
    """Refuse what an encoder cannot take; ``formats`` are its own, None if it is absent."""
    name, width, height = ENCODERS[codec], *size
    if formats is None:
        raise ValueError(f"this build of PyAV has no encoder {name}; choose another with --codec")
    if layout.planar_name not in formats:
        raise ValueError(
            f"{name} takes no {layout.planar_name}, which keeps all bits of the input; "
            "choose another with --codec, or an .mkv or .mp4 output"
        )
    step_x, step_y = (max(step, 1) for step in layout.subsampling)
    if codec != "vp9" and (width % step_x or height % step_y):
        even = f"{width - width % step_x}x{height - height % step_y}"
        raise ValueError(
            f"{name} cannot write {width}x{height} with chroma at half the size; "
            f"pass --size {even}, or write .webm"
        )


def open_encoder(codec: str, info: VideoInfo, options: EncodeOptions) -> VideoCodecContext:
    """An encoder by itself, with its headers in ``extradata``.

    Raises ValueError naming what it does not take.
    """
    from av import CodecContext
    from av.codec.context import Flags

    context: Any = CodecContext.create(ENCODERS[codec], "w")
    context.options = encoder_options(codec, options, info)
    context.framerate = info.rate or 25
    context.flags |= Flags.global_header
    describe_video(context, info)
    with av_errors(f"{context.name} takes no {info.width}x{info.height} {context.pix_fmt}"):
        context.open()
    encoder: VideoCodecContext = context
    return encoder


def describe_video(context: VideoCodecContext, info: VideoInfo) -> None:
    """Tell an encoder, before it is opened, what its frames are like."""
    from av.codec.context import Flags

    context.width, context.height = info.size
    context.thread_count = encoder_threads(info.height)
    context.pix_fmt = info.layout.planar_name
    context.time_base = info.time_base
    context.flags |= Flags.frame_duration
    if info.aspect is not None:
        context.sample_aspect_ratio = info.aspect
    apply_tags(info.colors, context)


def encoder_threads(height: int) -> int:
    """Threads of an encoder, the same on every machine."""
    return max(1, min(height // LINES_PER_THREAD, MOST_ENCODER_THREADS))


def encoder_options(codec: str, options: EncodeOptions, info: VideoInfo) -> dict[str, str]:
    """Options of the encoder, as FFmpeg names them. Raises ValueError for a crf out of range."""
    if not 0 <= options.crf <= MAX_CRF[codec]:
        raise ValueError(f"crf {options.crf:g} is not in 0..{MAX_CRF[codec]} of {codec}")
    if codec == "vp9":
        return {
            "crf": f"{options.crf:g}",
            "b": "0",
            "deadline": "good",
            "cpu-used": str(VP9_SPEEDS[options.preset]),
            "row-mt": "1",
        }
    params = []
    if codec == "hevc":
        # No text about the CPU and its cores, which would tell one machine's output from another's.
        params += ["log-level=none", "info=0"]
    if info.siting != Siting():
        # Left is what a decoder takes without a tag.
        params.append(f"chromaloc={_location(info.siting)}")
    chosen = {"crf": f"{options.crf:g}", "preset": options.preset}
    if params:
        chosen["x264-params" if codec == "h264" else "x265-params"] = ":".join(params)
    return chosen


def _location(siting: Siting) -> int:
    """H.264 and HEVC's chroma_sample_loc_type."""
    return (0 if siting.is_left else 1) + (2 if siting.is_top else 0)
