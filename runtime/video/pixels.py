"""Pixel formats: where the samples of each component lie in memory.

The names are FFmpeg's. A format is planar, semi-planar or packed; whatever it is, its samples are
those of one planar format, and writing them there and back loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

GREY, FULL_CHROMA = (0, 0), (1, 1)


@dataclass(frozen=True)
class Component:
    """Where the samples of one component lie: every ``step``-th of a row, from ``offset``."""

    buffer: int
    step: int = 1
    offset: int = 0


@dataclass(frozen=True)
class PixelLayout:
    """How a pixel format stores Y, or Y, U, V, or R, G, B, then alpha if there is any."""

    bit_depth: int
    # Luma samples per chroma sample, horizontally and vertically; (0, 0) for grey.
    subsampling: tuple[int, int]
    components: tuple[Component, ...]
    # P010 and its kin keep their bits at the top of a word.
    shift: int = 0
    is_rgb: bool = False
    has_alpha: bool = False
    is_big_endian: bool = False

    @property
    def planar_name(self) -> str:
        """The format with the same samples in planes of their own, low byte first."""
        suffix = "" if self.bit_depth == 8 else f"{self.bit_depth}le"
        if self.is_rgb:
            return f"gbr{'a' if self.has_alpha else ''}p{suffix}"
        if self.subsampling == GREY:
            return f"ya{suffix or 8}" if self.has_alpha else f"gray{suffix}"
        family = "yuva" if self.has_alpha else "yuv"
        return f"{family}{_SUBSAMPLING_NAMES[self.subsampling]}p{suffix}"

    @property
    def color_count(self) -> int:
        """Components that are not alpha."""
        return len(self.components) - self.has_alpha

    def without_alpha(self) -> PixelLayout:
        """The layout of the same colours alone."""
        return replace(self, components=self.components[: self.color_count], has_alpha=False)

    @property
    def is_subsampled(self) -> bool:
        """Whether chroma has fewer samples than luma."""
        return max(self.subsampling) > 1

    def chroma_size(self, width: int, height: int) -> tuple[int, int]:
        """Size of the chroma planes of a frame of this size; odd sizes round up."""
        x, y = self.subsampling
        return -(-width // x), -(-height // y)


# Formats whose samples do not lie at whole bytes, and the format that takes them as they are;
# samples of 5 and 6 bits are spread over 8.
UNPACKED: Mapping[str, str] = MappingProxyType(
    {
        "pal8": "bgra",
        "monob": "gray",
        "monow": "gray",
        "uyyvyy411": "yuv411p",
        "rgb8": "rgb24",
        "bgr8": "rgb24",
        "rgb444le": "rgb24",
        "bgr444le": "rgb24",
        "rgb555le": "rgb24",
        "bgr555le": "rgb24",
        "rgb565le": "rgb24",
        "bgr565le": "rgb24",
        "x2rgb10le": "gbrp10le",
        "x2bgr10le": "gbrp10le",
        "xv30le": "yuv444p10le",
        "v30xle": "yuv444p10le",
    }
)

_SUBSAMPLINGS = {
    "420": (2, 2),
    "422": (2, 1),
    "444": FULL_CHROMA,
    "440": (1, 2),
    "411": (4, 1),
    "410": (4, 4),
}
_SUBSAMPLING_NAMES = {sizes: name for name, sizes in _SUBSAMPLINGS.items()}
_DEEP = (9, 10, 12, 14, 16)
# Which depths of more than 8 bits FFmpeg has.
_DEPTHS = {
    "yuv420p": _DEEP,
    "yuv422p": _DEEP,
    "yuv444p": _DEEP,
    "yuv440p": (10, 12),
    "yuv411p": (),
    "yuv410p": (),
    "yuva420p": (9, 10, 16),
    "yuva422p": (9, 10, 12, 16),
    "yuva444p": (9, 10, 12, 16),
    "gray": _DEEP,
    "gbrp": _DEEP,
    "gbrap": (10, 12, 14, 16),
}


def layout_of(name: str) -> PixelLayout:
    """The layout of a pixel format; raises ValueError naming it if it is not supported."""
    layout = LAYOUTS.get(UNPACKED.get(name, name))
    if layout is None:
        raise ValueError(
            f"pixel format {name} is not supported; YUV, grey or RGB of 8 to 16 bits is needed "
            "(convert with: ffmpeg -i IN -pix_fmt yuv420p OUT)"
        )
    return layout


def _planar(name: str, depth: int) -> PixelLayout:
    has_alpha = name in ("gbrap", "yuva420p", "yuva422p", "yuva444p")
    if name == "gray":
        return PixelLayout(depth, GREY, (Component(0),))
    if name.startswith("gbr"):
        buffers = (2, 0, 1, 3) if has_alpha else (2, 0, 1)
        parts = tuple(map(Component, buffers))
        return PixelLayout(depth, FULL_CHROMA, parts, is_rgb=True, has_alpha=has_alpha)
    subsampling = _SUBSAMPLINGS[name.removeprefix("yuv").removeprefix("a").removesuffix("p")]
    parts = tuple(map(Component, range(4 if has_alpha else 3)))
    return PixelLayout(depth, subsampling, parts, has_alpha=has_alpha)


def _semi_planar(depth: int, x: int, y: int, *, u: int = 0, shift: int = 0) -> PixelLayout:
    chroma = (Component(1, 2, u), Component(1, 2, 1 - u))
    return PixelLayout(depth, (x, y), (Component(0), *chroma), shift)


def _halved(depth: int, y: int, u: int, v: int, *, shift: int = 0) -> PixelLayout:
    """4:2:2 in groups of four samples, two of them luma."""
    parts = (Component(0, 2, y), Component(0, 4, u), Component(0, 4, v))
    return PixelLayout(depth, (2, 1), parts, shift)


def _packed(order: str, depth: int, *, shift: int = 0) -> PixelLayout:
    """A group of samples per pixel, in this order of letters; ``x`` holds nothing."""
    wanted = "rgba" if "r" in order else "ya" if "u" not in order else "yuva"
    parts = (Component(0, len(order), order.index(part)) for part in wanted if part in order)
    return PixelLayout(
        depth,
        GREY if wanted == "ya" else FULL_CHROMA,
        tuple(parts),
        shift,
        is_rgb="r" in order,
        has_alpha="a" in order,
    )


def _bytes_formats() -> Iterator[tuple[str, PixelLayout]]:
    """All formats of 8 bits."""
    for name in _DEPTHS:
        yield name, _planar(name, 8)
    for name in ("420", "422", "444", "440", "411"):
        yield f"yuvj{name}p", _planar(f"yuv{name}p", 8)
    yield "nv12", _semi_planar(8, 2, 2)
    yield "nv21", _semi_planar(8, 2, 2, u=1)
    yield "nv16", _semi_planar(8, 2, 1)
    yield "nv24", _semi_planar(8, 1, 1)
    yield "nv42", _semi_planar(8, 1, 1, u=1)
    yield "yuyv422", _halved(8, 0, 1, 3)
    yield "yvyu422", _halved(8, 0, 3, 1)
    yield "uyvy422", _halved(8, 1, 0, 2)
    for order in ("rgba", "bgra", "argb", "abgr"):
        yield order, _packed(order, 8)
        empty = order.replace("a", "x")
        yield empty.replace("x", "0"), _packed(empty, 8)
    for name, order in (("rgb24", "rgb"), ("bgr24", "bgr"), ("vyu444", "vyu")):
        yield name, _packed(order, 8)
    for order in ("vuya", "vuyx", "ayuv", "uyva"):
        yield order, _packed(order, 8)
    yield "ya8", _packed("ya", 8)


def _word_formats() -> Iterator[tuple[str, PixelLayout]]:
    """All formats of two bytes per sample, without the end that names the order of the bytes."""
    for name, depths in _DEPTHS.items():
        for depth in depths:
            yield f"{name}{depth}", _planar(name, depth)
    for depth in (10, 12):
        for name in ("yuv444p", "gbrp"):
            yield f"{name}{depth}msb", replace(_planar(name, depth), shift=16 - depth)
    for depth in (10, 12, 16):
        shift = 16 - depth
        yield f"p0{depth}", _semi_planar(depth, 2, 2, shift=shift)
        yield f"p2{depth}", _semi_planar(depth, 2, 1, shift=shift)
        yield f"p4{depth}", _semi_planar(depth, 1, 1, shift=shift)
        yield f"y2{depth}", _halved(depth, 0, 1, 3, shift=shift)
    yield "nv20", _semi_planar(10, 2, 1)
    yield "xv36", _packed("uyvx", 12, shift=4)
    yield "xv48", _packed("uyvx", 16)
    yield "ayuv64", _packed("ayuv", 16)
    yield "ya16", _packed("ya", 16)
    for order, name in (("rgb", "rgb48"), ("bgr", "bgr48"), ("rgba", "rgba64"), ("bgra", "bgra64")):
        yield name, _packed(order, 16)


def _all_formats() -> Iterator[tuple[str, PixelLayout]]:
    yield from _bytes_formats()
    for name, layout in _word_formats():
        yield f"{name}le", layout
        yield f"{name}be", replace(layout, is_big_endian=True)


LAYOUTS: Mapping[str, PixelLayout] = MappingProxyType(dict(_all_formats()))
