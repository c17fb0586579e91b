"""Which encoder writes a video, in which pixel format, with which options."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from runtime.video.candidates import (
    ALPHA_SUFFIXES,
    ENCODERS,
    HARDWARE,
    VIDEO_SUFFIXES,
    Encoding,
    candidates,
    formats_of,
    is_listed,
)
from runtime.video.color import BY_CUSTOM, Siting, apply_tags
from runtime.video.encoder_options import (
    DEFAULT_CRF,
    HDR_ENCODERS,
    MAX_CRF,
    PRESETS,
    hardware_options,
    software_options,
)
from runtime.video.hdr import HDR_TRANSFERS
from runtime.video.pixels import LAYOUTS, PixelLayout
from runtime.video.probe import VideoInfo, av_errors

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

# x265 4.2 writes past its buffers when a frame is wider than one block of 32 and narrower than 64.
X265_UNSAFE_WIDTHS = range(33, 64)
ANY_SIZE_CODECS = ("av1", "vp9", "ffv1")
# What to offer where a pixel format has no encoder, the nearest first.
OFFERED_FORMATS = ("yuv420p", "yuv420p10le", "yuv422p10le", "yuva420p", "yuva444p10le", "gbrap")


@dataclass(frozen=True)
class EncodeOptions:
    """What the user may choose; None leaves it to the codec."""

    crf: float | None = None
    preset: str | None = None
    codec: str = "auto"
    encoder: str = "auto"
    pixel_format: str = "keep"
    alpha: str = "keep"


@lru_cache(maxsize=16)
def choose_codec(suffix: str, info: VideoInfo, options: EncodeOptions) -> Encoding:
    """What writes ``info`` to an output of this suffix: the first that can, by really opening it.

    H.264 for 8 bits, HEVC for more or HDR, VP9 in webm, unless the user wants another. Raises
    ValueError, with what would help, if nothing can.
    """
    suffix = suffix.lower()
    codecs = _codecs(suffix, info, options.codec)
    if info.layout.has_alpha and suffix not in ALPHA_SUFFIXES:
        raise ValueError(
            f"{suffix} holds no alpha, which the input has; write {_listed(ALPHA_SUFFIXES)}, or "
            "pass --alpha drop"
        )
    refusals: dict[str, str] = {}
    for candidate in candidates(codecs, info.layout, options.encoder):
        reason = check_encoder(candidate, info, options)
        if reason is None:
            replaced = _replacement(candidate, refusals, info, options)
            notes = (*replaced, *_option_notes(candidate, info, options))
            return replace(candidate, notes=notes)
        refusals[candidate.encoder] = reason
    advice = _advice(suffix, info, options)
    raise ValueError(_summary(refusals, info, options) + (f"; {advice}" if advice else ""))


def check_encoder(encoding: Encoding, info: VideoInfo, options: EncodeOptions) -> str | None:
    """Why an encoder cannot write this video; None if it can, for which it is opened once."""
    from av.error import FFmpegError

    formats = formats_of(encoding.encoder)
    if formats is None:
        return f"this build of PyAV has no encoder {encoding.encoder}"
    what = f"{info.width}x{info.height} {info.layout.planar_name}"
    if not encoding.pixel_format:
        return f"{encoding.encoder} takes no {info.layout.planar_name}"
    if encoding.encoder == "libx265" and info.width in X265_UNSAFE_WIDTHS:
        return f"{encoding.encoder} takes no {what}"
    context = _configured(encoding, info, options)
    try:
        context.open()
    except FFmpegError as error:
        if encoding.is_hardware:
            return f"{encoding.encoder} cannot be opened here: {error.strerror}"
        return f"{encoding.encoder} takes no {what}"
    return None


def open_encoder(encoding: Encoding, info: VideoInfo, options: EncodeOptions) -> VideoCodecContext:
    """An encoder by itself, with its headers in ``extradata``.

    Raises ValueError naming what it does not take.
    """
    from av.codec.context import Flags

    context = _configured(encoding, info, options)
    context.flags |= Flags.global_header
    what = f"{info.width}x{info.height} {encoding.pixel_format}"
    with av_errors(f"{encoding.encoder} takes no {what}"):
        context.open()
    return context


def describe_video(context: VideoCodecContext, info: VideoInfo, encoding: Encoding) -> None:
    """Tell an encoder, before it is opened, what its frames are like."""
    from av.codec.context import Flags

    if encoding.encoder == "libsvtav1":
        # It talks on the terminal, and takes its level from the environment alone.
        os.environ.setdefault("SVT_LOG", "0")
    context.width, context.height = info.size
    context.pix_fmt = encoding.pixel_format
    context.time_base = info.time_base
    context.flags |= Flags.frame_duration
    if info.aspect is not None:
        context.sample_aspect_ratio = info.aspect
    apply_tags(info.colors, context)


def encoder_options(encoding: Encoding, options: EncodeOptions, info: VideoInfo) -> dict[str, str]:
    """Options of the encoder, as FFmpeg names them. Raises ValueError for a crf out of range."""
    crf = _crf(encoding.codec, options.crf)
    preset = options.preset or "medium"
    if encoding.is_hardware:
        chosen = hardware_options(encoding.encoder, crf, preset, info)
    else:
        chosen = software_options(encoding.encoder, crf, preset, info)
    is_told = info.siting != Siting() or not info.siting_reason.startswith(BY_CUSTOM)
    if info.layout.subsampling == (2, 2) and is_told:
        # Left is what a decoder takes without a tag.
        chosen["chroma_sample_location"] = info.siting.name
    return chosen


def _configured(encoding: Encoding, info: VideoInfo, options: EncodeOptions) -> VideoCodecContext:
    """An encoder that is not open yet."""
    from av.codec.context import CodecContext

    context: VideoCodecContext = CodecContext.create(encoding.encoder, "w")  # type: ignore
    context.framerate = info.rate or Fraction(25)
    context.options = encoder_options(encoding, options, info)
    describe_video(context, info, encoding)
    return context


def _codecs(suffix: str, info: VideoInfo, wanted: str) -> tuple[str, ...]:
    """The codecs to try, in order."""
    allowed = VIDEO_SUFFIXES.get(suffix)
    if allowed is None:
        raise ValueError(
            f"cannot write video as {suffix or 'a file without suffix'}; "
            f"use one of {' '.join(VIDEO_SUFFIXES)}"
        )
    if wanted != "auto":
        if wanted not in allowed:
            raise ValueError(f"{suffix} holds {_listed(allowed)}, not {wanted}")
        return (wanted,)
    is_deep = info.layout.bit_depth > 8 or info.colors.transfer in HDR_TRANSFERS
    return tuple(sorted(allowed, key=lambda codec: codec != "hevc")) if is_deep else allowed


def _crf(codec: str, crf: float | None) -> float:
    if codec not in MAX_CRF:
        return 0
    if crf is None:
        return DEFAULT_CRF[codec]
    if not 0 <= crf <= MAX_CRF[codec]:
        raise ValueError(f"crf {crf:g} is not in 0..{MAX_CRF[codec]} of {codec}")
    return crf


def _replacement(
    chosen: Encoding, refusals: Mapping[str, str], info: VideoInfo, options: EncodeOptions
) -> list[str]:
    if not refusals:
        return []
    return [f"{chosen.encoder} is used, as {_summary(refusals, info, options)}"]


def _summary(refusals: Mapping[str, str], info: VideoInfo, options: EncodeOptions) -> str:
    if len(refusals) == 1 or options.encoder in HARDWARE:
        return "; ".join(refusals.values())
    what = f"{info.width}x{info.height} {info.layout.planar_name}"
    return f"none of {', '.join(refusals)} takes {what}"


def _option_notes(chosen: Encoding, info: VideoInfo, options: EncodeOptions) -> Iterator[str]:
    """What the encoder leaves out."""
    if options.crf is not None and chosen.codec not in MAX_CRF:
        yield f"--crf means nothing to {chosen.encoder}"
    if options.preset is not None and chosen.codec not in MAX_CRF:
        yield f"--preset means nothing to {chosen.encoder}"
    hdr = info.hdr
    if hdr is None:
        return
    if hdr.is_static and chosen.encoder not in HDR_ENCODERS:
        yield (
            f"{chosen.encoder} cannot carry HDR mastering metadata, which is left out; the colour "
            "tags are kept"
        )
    for name in hdr.dynamic:
        yield f"the dynamic metadata of {name} is left out; the base layer is kept"


def _advice(suffix: str, info: VideoInfo, options: EncodeOptions) -> str:
    """What would help; empty if nothing is known to."""
    if options.encoder in HARDWARE:
        return "pass --encoder auto"
    layout = info.layout
    advice = []
    if is_listed(suffix, layout, options.codec):
        x, y = (max(step, 1) for step in layout.subsampling)
        width, height = info.width - info.width % x, info.height - info.height % y
        advice += [f"--size {width}x{height}"] if (width, height) != info.size else []
        others = [name for name in VIDEO_SUFFIXES if is_listed(name, layout, *ANY_SIZE_CODECS)]
    else:
        advice += [f"--pixel-format {name}" for name in _offers(suffix, layout, options.codec)[:1]]
        others = [name for name in VIDEO_SUFFIXES if is_listed(name, layout, options.codec)]
    if options.codec != "auto":
        advice.append("another --codec")
    if layout.has_alpha:
        advice.append("--alpha drop")
    told = [f"pass {_listed(advice)}"] if advice else []
    others = [name for name in others if name != suffix]
    return " or ".join([*told, *([f"write {_listed(others)}"] if others else [])])


def _offers(suffix: str, layout: PixelLayout, codec: str) -> list[str]:
    """Pixel formats that can be written, with alpha if the wanted one has it."""
    return [
        name
        for name in OFFERED_FORMATS
        if LAYOUTS[name].has_alpha == layout.has_alpha and is_listed(suffix, LAYOUTS[name], codec)
    ]


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


__all__ = [
    "DEFAULT_CRF",
    "ENCODERS",
    "HARDWARE",
    "MAX_CRF",
    "PRESETS",
    "VIDEO_SUFFIXES",
    "EncodeOptions",
    "Encoding",
    "check_encoder",
    "choose_codec",
    "describe_video",
    "encoder_options",
    "open_encoder",
]
