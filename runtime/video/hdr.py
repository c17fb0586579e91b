"""How HDR video was mastered: what a decoder says, and how encoders are told."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

Point = tuple[Fraction, Fraction]
_Format = Callable[[Fraction], str]

# ITU-T H.273: PQ and HLG.
HDR_TRANSFERS = frozenset({16, 18})
DYNAMIC_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "DYNAMIC_HDR_PLUS": "HDR10+",
        "DYNAMIC_HDR_VIVID": "HDR Vivid",
        "DOVI_METADATA": "Dolby Vision",
        "DOVI_RPU_BUFFER": "Dolby Vision",
    }
)

# AVMasteringDisplayMetadata: ten rationals and two flags.
_MASTERING = struct.Struct("=20i2i")
_LIGHT = struct.Struct("=2I")
# The first member of AVDOVIMetadata says where its AVDOVIRpuDataHeader lies.
_DOVI_OFFSET = struct.Struct("@N")
_DOVI_PROFILE, _DOVI_FULL_RANGE = 4, 10


@dataclass(frozen=True)
class MasteringDisplay:
    """The display that a film was graded on: CIE xy of its colours, luminance in cd/m2."""

    red: Point
    green: Point
    blue: Point
    white: Point
    darkest: Fraction
    brightest: Fraction


@dataclass(frozen=True)
class HdrMetadata:
    """What holds for a whole HDR10 video, with the names of what changes from frame to frame."""

    mastering: MasteringDisplay | None = None
    # Brightest pixel and brightest mean of a frame, in cd/m2.
    light: tuple[int, int] | None = None
    dynamic: tuple[str, ...] = ()

    @property
    def is_static(self) -> bool:
        """Whether there is anything that an encoder could be told."""
        return self.mastering is not None or self.light is not None

    def coded_mastering(self) -> str:
        """As H.264 and HEVC code it: units of 0.00002 and of 0.0001 cd/m2."""
        return self._mastering(lambda value: str(round(value * 50000)), _ten_thousandths)

    def decimal_mastering(self) -> str:
        """In plain decimals."""
        return self._mastering(lambda value: f"{float(value):.5f}", lambda v: f"{float(v):.4f}")

    def coded_light(self) -> str:
        """Both levels."""
        assert self.light is not None
        return ",".join(map(str, self.light))

    def _mastering(self, xy: _Format, luminance: _Format) -> str:
        display = self.mastering
        assert display is not None
        points = {"G": display.green, "B": display.blue, "R": display.red, "WP": display.white}
        places = "".join(f"{name}({xy(x)},{xy(y)})" for name, (x, y) in points.items())
        return f"{places}L({luminance(display.brightest)},{luminance(display.darkest)})"


def hdr_of(side_data: Mapping[str, bytes]) -> HdrMetadata | None:
    """What the side data of a frame says; None if that is nothing."""
    dynamic = dict.fromkeys(DYNAMIC_KINDS[kind] for kind in side_data if kind in DYNAMIC_KINDS)
    found = HdrMetadata(
        mastering=_mastering_of(side_data.get("MASTERING_DISPLAY_METADATA", b"")),
        light=_light_of(side_data.get("CONTENT_LIGHT_LEVEL", b"")),
        dynamic=tuple(dynamic),
    )
    return found if found != HdrMetadata() else None


def has_own_colors(side_data: Mapping[str, bytes]) -> bool:
    """Whether this is Dolby Vision whose base layer shows false colours without its metadata."""
    data = side_data.get("DOVI_METADATA", b"")
    if len(data) < _DOVI_OFFSET.size:
        return False
    header = data[_DOVI_OFFSET.unpack_from(data)[0] :]
    if len(header) <= _DOVI_FULL_RANGE:
        return False
    return header[_DOVI_PROFILE] == 0 and bool(header[_DOVI_FULL_RANGE])


def _mastering_of(data: bytes) -> MasteringDisplay | None:
    if len(data) < _MASTERING.size:
        return None
    *numbers, has_primaries, has_luminance = _MASTERING.unpack_from(data)
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    if not (has_primaries and has_luminance and all(divisor for _, divisor in pairs)):
        return None
    values = [Fraction(*pair) for pair in pairs]
    red, green, blue, white = zip(values[:8:2], values[1:8:2], strict=True)
    return MasteringDisplay(red, green, blue, white, darkest=values[8], brightest=values[9])


def _light_of(data: bytes) -> tuple[int, int] | None:
    if len(data) < _LIGHT.size:
        return None
    brightest, mean = _LIGHT.unpack_from(data)
    return (brightest, mean) if brightest or mean else None


def _ten_thousandths(value: Fraction) -> str:
    return str(round(value * 10000))
