"""What encoders there are for a container, and the pixel formats that they take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from runtime.video.pixels import LAYOUTS, PixelLayout

ENCODERS: Mapping[str, str] = MappingProxyType(
    {
        "h264": "libx264",
        "hevc": "libx265",
        "av1": "libsvtav1",
        "vp9": "libvpx-vp9",
        "ffv1": "ffv1",
        "prores": "prores_ks",
        "qtrle": "qtrle",
        "png": "png",
    }
)
RGB_ENCODERS: Mapping[str, str] = MappingProxyType({"h264": "libx264rgb"})
HARDWARE = ("nvenc", "qsv", "vaapi", "v4l2m2m", "videotoolbox", "amf")
# The first codec that can is taken; those at the end are for what the others cannot hold.
VIDEO_SUFFIXES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        ".mp4": ("h264", "hevc", "av1", "vp9"),
        ".m4v": ("h264",),
        ".mov": ("h264", "hevc", "prores", "qtrle", "png"),
        ".mkv": ("h264", "hevc", "av1", "vp9", "ffv1", "prores"),
        ".webm": ("vp9", "av1"),
    }
)
ALPHA_SUFFIXES = (".mov", ".mkv", ".webm")
# Formats that encoders list and then refuse, or write without their alpha.
FALSE_CLAIMS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "libx265": frozenset({"yuva420p", "yuva420p10le"}),
        "libvpx-vp9": frozenset({"gbrap", "yuva422p", "yuva444p"}),
    }
)


@dataclass(frozen=True)
class Encoding:
    """An encoder with the pixel format that it takes, and what the user should know of them."""

    codec: str
    encoder: str
    pixel_format: str
    notes: tuple[str, ...] = ()

    @property
    def is_hardware(self) -> bool:
        """Whether a device encodes."""
        return self.encoder.endswith(HARDWARE)


def candidates(codecs: tuple[str, ...], layout: PixelLayout, wanted: str) -> Iterator[Encoding]:
    """An encoder of each codec: of a kind of hardware, or software for all else."""
    for codec in codecs:
        if wanted in HARDWARE:
            encoder = f"{codec}_{wanted}"
        elif layout.is_rgb:
            encoder = RGB_ENCODERS.get(codec, ENCODERS[codec])
        else:
            encoder = ENCODERS[codec]
        yield Encoding(codec, encoder, _format_for(encoder, layout))


def is_listed(suffix: str, layout: PixelLayout, *codecs: str) -> bool:
    """Whether a software encoder of a container, of these codecs or ``auto``, lists this format."""
    if layout.has_alpha and suffix not in ALPHA_SUFFIXES:
        return False
    held = tuple(name for name in VIDEO_SUFFIXES[suffix] if name in codecs or "auto" in codecs)
    return any(item.pixel_format for item in candidates(held, layout, "auto"))


def _format_for(encoder: str, layout: PixelLayout) -> str:
    """The pixel format by which an encoder takes samples as they are; empty if there is none."""
    if layout.is_rgb and encoder.endswith(HARDWARE):
        return ""  # they take RGB and write YUV
    listed = formats_of(encoder)
    if listed == () and not layout.has_alpha:
        return layout.planar_name  # it does not say; opening it will
    names = [
        name
        for name in listed or ()
        if name in LAYOUTS
        and LAYOUTS[name].planar_name == layout.planar_name
        and name not in FALSE_CLAIMS.get(encoder, ())
    ]
    return layout.planar_name if layout.planar_name in names else next(iter(names), "")


@lru_cache(maxsize=64)
def formats_of(encoder: str) -> tuple[str, ...] | None:
    """Pixel formats that an encoder lists; None if this build lacks it."""
    from av.codec.codec import Codec, UnknownCodecError

    try:
        return tuple(item.name for item in Codec(encoder, "w").video_formats or ())
    except UnknownCodecError:
        return None
