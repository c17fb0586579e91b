"""Colour tags of a frame, with where its chroma samples lie.

The numbers are those of ITU-T H.273, which FFmpeg uses as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

UNSPECIFIED = 2
MATRICES: Mapping[str, int] = MappingProxyType({"bt709": 1, "bt601": 6, "bt2020": 9})
RANGE_UNSPECIFIED, RANGE_LIMITED, RANGE_FULL = 0, 1, 2

# Codecs whose 4:2:0 chroma lies between four luma samples, as in JPEG and MPEG-1. All others are
# taken as MPEG-2, H.264, HEVC, VP9 and AV1 are by default: left, level with even luma columns.
CENTRED_CODECS = frozenset({"mjpeg", "mpeg1video", "theora", "vp3", "h261", "h263", "flv"})

# FFmpeg's AVChromaLocation: (is_left, is_top). Encoders count the same from 0.
CHROMA_LOCATIONS = {1: (True, False), 2: (False, False), 3: (True, True), 4: (False, True)}


@dataclass(frozen=True)
class ColorTags:
    """How sample values become colours; passed through as they came."""

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    sample_range: int = RANGE_UNSPECIFIED


@dataclass(frozen=True)
class Siting:
    """Whether chroma shares the column (left), the row (top) of a luma sample or lies between."""

    is_left: bool = True
    is_top: bool = False

    @property
    def location(self) -> str:
        """The name that upscalers of whole frames know it by."""
        if self.is_top:
            return "top_left" if self.is_left else "top"
        return "left" if self.is_left else "center"


def tags_of(frame: VideoFrame, context: VideoCodecContext) -> ColorTags:
    """The colour tags of a decoded frame; what it leaves open is taken from the stream."""
    sample_range = frame.color_range or context.color_range
    if frame.format.name.startswith("yuvj"):
        sample_range = RANGE_FULL
    return ColorTags(
        matrix=_first_specified(frame.colorspace, context.colorspace),
        primaries=_first_specified(frame.color_primaries, context.color_primaries),
        transfer=_first_specified(frame.color_trc, context.color_trc),
        sample_range=int(sample_range),
    )


def apply_tags(tags: ColorTags, context: VideoCodecContext) -> None:
    """Tell an encoder, before it is opened, which tags to write."""
    context.colorspace = tags.matrix
    context.color_primaries = tags.primaries
    context.color_trc = tags.transfer
    context.color_range = tags.sample_range


def siting_of(frame: VideoFrame, codec: str) -> Siting:
    """Where the chroma of a decoded frame lies: as tagged, else by the custom of its codec."""
    # PyAV shows the tag from version 19 on.
    tagged = CHROMA_LOCATIONS.get(int(getattr(frame, "chroma_location", 0)))
    if tagged is not None:
        return Siting(*tagged)
    return Siting(is_left=codec not in CENTRED_CODECS)


def guessed_matrix(width: int, height: int) -> str:
    """Which matrix common players assume for untagged video of this size."""
    return "BT.709" if width >= 1280 or height > 576 else "BT.601"


def chroma_phase(subsampling: int, is_cosited: bool) -> float:
    """How far chroma samples sit from the centre of the luma samples they serve, in chroma samples.

    0 in the middle of them; -0.25 at the first of two luma samples.
    """
    return 1 / (2 * subsampling) - 0.5 if is_cosited else 0.0


def _first_specified(*values: int) -> int:
    return next((int(value) for value in values if value not in (0, UNSPECIFIED)), UNSPECIFIED)
