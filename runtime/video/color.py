"""Colour tags of a frame, with where its chroma samples lie.

The numbers are those of ITU-T H.273, which FFmpeg uses as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from runtime.video.pixels import layout_of

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

RGB_MATRIX, UNSPECIFIED = 0, 2
MATRICES: Mapping[str, int] = MappingProxyType({"bt709": 1, "bt601": 6, "bt2020": 9})
RANGE_UNSPECIFIED, RANGE_LIMITED, RANGE_FULL = 0, 1, 2

BY_TAG, BY_CUSTOM, BY_USER = "as tagged", "by the custom of", "by --chroma-location"

# Codecs whose 4:2:0 chroma lies between four luma samples, as in JPEG and MPEG-1. All others are
# taken as MPEG-2, H.264, HEVC, VP9 and AV1 are by default: left, level with even luma columns.
CENTRED_CODECS = frozenset({"mjpeg", "mpeg1video", "theora", "vp3", "h261", "h263", "flv"})


@dataclass(frozen=True)
class ColorTags:
    """How sample values become colours; passed through as they came."""

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    sample_range: int = RANGE_UNSPECIFIED


@dataclass(frozen=True)
class Siting:
    """Whether chroma shares the column (left), the row (top or bottom) of a luma sample.

    Otherwise it lies between. Top and bottom are those of the luma rows that it serves.
    """

    is_left: bool = True
    is_top: bool = False
    is_bottom: bool = False

    @property
    def name(self) -> str:
        """FFmpeg's name."""
        return next(name for name, siting in SITINGS.items() if siting == self)

    @property
    def location(self) -> str:
        """The name that upscalers of whole frames know it by; they know no bottom."""
        return self.name.replace("topleft", "top_left")

    @property
    def number(self) -> int:
        """H.264 and HEVC's chroma_sample_loc_type."""
        return list(SITINGS).index(self.name)


# In the order of chroma_sample_loc_type; FFmpeg's AVChromaLocation counts from 1.
SITINGS: Mapping[str, Siting] = MappingProxyType(
    {
        "left": Siting(is_left=True),
        "center": Siting(is_left=False),
        "topleft": Siting(is_left=True, is_top=True),
        "top": Siting(is_left=False, is_top=True),
        "bottomleft": Siting(is_left=True, is_bottom=True),
        "bottom": Siting(is_left=False, is_bottom=True),
    }
)


def tags_of(frame: VideoFrame, context: VideoCodecContext) -> ColorTags:
    """The colour tags of a decoded frame; what it leaves open is taken from the stream."""
    sample_range = frame.color_range or context.color_range
    is_rgb = layout_of(frame.format.name).is_rgb
    if frame.format.name.startswith("yuvj") or (is_rgb and not sample_range):
        sample_range = RANGE_FULL
    matrix = _first_specified(frame.colorspace, context.colorspace)
    return ColorTags(
        matrix=RGB_MATRIX if is_rgb else matrix,
        primaries=_first_specified(frame.color_primaries, context.color_primaries),
        transfer=_first_specified(frame.color_trc, context.color_trc),
        sample_range=int(sample_range),
    )


def apply_tags(tags: ColorTags, target: VideoCodecContext | VideoFrame) -> None:
    """Tell an encoder, before it is opened, which tags to write; or give them to a frame."""
    target.colorspace = tags.matrix
    target.color_primaries = tags.primaries
    target.color_trc = tags.transfer
    target.color_range = tags.sample_range


def siting_of(frame: VideoFrame, codec: str) -> tuple[Siting, str]:
    """Where the chroma of a decoded frame lies, and how that is known."""
    # PyAV shows the tag from version 19 on.
    tagged = int(getattr(frame, "chroma_location", 0))
    if 1 <= tagged <= len(SITINGS):
        return list(SITINGS.values())[tagged - 1], BY_TAG
    return Siting(is_left=codec not in CENTRED_CODECS), f"{BY_CUSTOM} {codec}"


def guessed_matrix(width: int, height: int) -> str:
    """Which matrix common players assume for untagged video of this size."""
    return "BT.709" if width >= 1280 or height > 576 else "BT.601"


def chroma_phase(subsampling: int, is_cosited: bool, *, is_last: bool = False) -> float:
    """How far chroma samples sit from the centre of the luma samples they serve, in chroma samples.

    0 in the middle of them; -0.25 at the first of two luma samples, 0.25 at the last.
    """
    if is_last:
        return 0.5 - 1 / (2 * subsampling)
    return 1 / (2 * subsampling) - 0.5 if is_cosited else 0.0


def _first_specified(*values: int) -> int:
    return next((int(value) for value in values if value not in (0, UNSPECIFIED)), UNSPECIFIED)
