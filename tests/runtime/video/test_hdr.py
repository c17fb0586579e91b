from __future__ import annotations

import importlib
import struct
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from video_support import Clip, NearestUpscaler, make_clip

from runtime.video import EncodeOptions, VideoOptions, probe, upscale_video
from runtime.video.hdr import HdrMetadata, MasteringDisplay, has_own_colors, hdr_of

# The function of the same name hides it in its package.
probe_module = importlib.import_module("runtime.video.probe")
PQ, HLG = (9, 9, 16, 1), (9, 9, 18, 1)
DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
HDR10 = {
    "preset": "ultrafast",
    "x265-params": f"log-level=none:master-display={DISPLAY}:max-cll=1000,400",
}
MASTERING = MasteringDisplay(
    red=(Fraction(68, 100), Fraction(32, 100)),
    green=(Fraction(265, 1000), Fraction(69, 100)),
    blue=(Fraction(15, 100), Fraction(6, 100)),
    white=(Fraction(3127, 10000), Fraction(329, 1000)),
    darkest=Fraction(5, 1000),
    brightest=Fraction(1000),
)


def hdr10_clip(path: Path) -> Path:
    clip = Clip(
        width=64, height=48, pixel_format="yuv420p10le", codec="libx265", options=HDR10, colors=PQ
    )
    return make_clip(path, clip)


def dovi(profile: int, *, is_full_range: bool) -> dict[str, bytes]:
    header = bytearray(64)
    header[4], header[10] = profile, is_full_range
    return {"DOVI_METADATA": struct.pack("@N", 24) + bytes(16) + bytes(header)}


def numbers(display: MasteringDisplay) -> list[float]:
    points = (*display.red, *display.green, *display.blue, *display.white)
    return [float(value) for value in (*points, display.darkest, display.brightest)]


def test_static_metadata_is_read(tmp_path: Path) -> None:
    info = probe(hdr10_clip(tmp_path / "a.mp4"))
    assert info.hdr == HdrMetadata(mastering=MASTERING, light=(1000, 400))


def test_static_metadata_is_told_as_each_encoder_wants_it() -> None:
    hdr = HdrMetadata(mastering=MASTERING, light=(1000, 400))
    assert hdr.coded_mastering() == DISPLAY
    assert hdr.decimal_mastering() == (
        "G(0.26500,0.69000)B(0.15000,0.06000)R(0.68000,0.32000)WP(0.31270,0.32900)"
        "L(1000.0000,0.0050)"
    )
    assert hdr.coded_light() == "1000,400"


@pytest.mark.parametrize(
    ("suffix", "codec", "tolerance"),
    [(".mp4", "auto", 0), (".mkv", "hevc", 0), (".m4v", "h264", 0), (".webm", "av1", 1e-4)],
)
def test_static_metadata_reaches_the_file(
    tmp_path: Path, suffix: str, codec: str, tolerance: float
) -> None:
    source = hdr10_clip(tmp_path / "a.mp4")
    encode = EncodeOptions(preset="ultrafast", codec=codec)
    result = upscale_video(
        source, tmp_path / f"b{suffix}", NearestUpscaler(), VideoOptions(encode=encode)
    )
    info = probe(tmp_path / f"b{suffix}")
    assert info.hdr is not None
    assert info.hdr.mastering is not None
    assert info.hdr.light == (1000, 400)
    assert numbers(info.hdr.mastering) == pytest.approx(numbers(MASTERING), rel=tolerance, abs=1e-4)
    assert (info.colors.matrix, info.colors.primaries, info.colors.transfer) == PQ[:3]
    assert not any("HDR" in note for note in result.notes)


def test_encoder_that_cannot_carry_it_says_so(tmp_path: Path) -> None:
    source = hdr10_clip(tmp_path / "a.mp4")
    encode = EncodeOptions(codec="ffv1")
    result = upscale_video(
        source, tmp_path / "b.mkv", NearestUpscaler(), VideoOptions(encode=encode)
    )
    assert "ffv1 cannot carry HDR mastering metadata" in result.notes[0]


def test_hlg_stays_hlg(tmp_path: Path) -> None:
    clip = Clip(
        width=64,
        height=48,
        pixel_format="yuv420p10le",
        codec="libx265",
        options={"preset": "ultrafast", "x265-params": "log-level=none"},
        colors=HLG,
    )
    source = make_clip(tmp_path / "a.mp4", clip)
    encode = EncodeOptions(preset="ultrafast")
    upscale_video(source, tmp_path / "b.mp4", NearestUpscaler(), VideoOptions(encode=encode))
    colors = probe(tmp_path / "b.mp4").colors
    assert (colors.matrix, colors.primaries, colors.transfer, colors.sample_range) == HLG


def test_nothing_said_is_none() -> None:
    assert hdr_of({}) is None
    assert (
        hdr_of({"MASTERING_DISPLAY_METADATA": bytes(88), "CONTENT_LIGHT_LEVEL": bytes(8)}) is None
    )
    assert hdr_of({"MASTERING_DISPLAY_METADATA": b"short"}) is None


def test_dynamic_metadata_is_named_once() -> None:
    got = hdr_of({"DOVI_METADATA": b"", "DOVI_RPU_BUFFER": b"", "DYNAMIC_HDR_PLUS": b""})
    assert got == HdrMetadata(dynamic=("Dolby Vision", "HDR10+"))


@pytest.mark.parametrize(
    ("side_data", "expected"),
    [
        (dovi(0, is_full_range=True), True),
        (dovi(0, is_full_range=False), False),
        (dovi(1, is_full_range=False), False),
        ({"DOVI_METADATA": b""}, False),
        ({"DOVI_METADATA": struct.pack("@N", 500)}, False),
        ({}, False),
    ],
)
def test_dolby_vision_of_profile_5_is_told_apart(
    side_data: dict[str, bytes], expected: bool
) -> None:
    assert has_own_colors(side_data) == expected


def test_dolby_vision_of_profile_5_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "a.mp4", Clip(pts=(0,)))
    side_data = dovi(0, is_full_range=True)
    monkeypatch.setattr(probe_module, "_side_data", lambda frame: side_data)
    with pytest.raises(ValueError, match=r"a\.mp4 is Dolby Vision of profile 5"):
        probe(path)


def test_unnamed_side_data_does_not_hide_the_rest(tmp_path: Path) -> None:
    """A JPEG with Exif: its orientation becomes a display matrix, beside a kind without a name."""
    context: Any = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = 32, 32, "yuvj420p"
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame(32, 32, "yuvj420p")
    for plane in frame.planes:
        np.frombuffer(plane, np.uint8)[:] = 90
    jpeg = b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))
    entry = struct.pack("<HHHII", 1, 0x0112, 3, 1, 6) + bytes(4)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry
    app1 = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path = tmp_path / "a.mjpeg"
    path.write_bytes(jpeg[:2] + app1 + jpeg[2:])
    assert probe(path).display_matrix is not None


def test_frames_without_side_data_have_none() -> None:
    assert probe_module._side_data(SimpleNamespace(side_data=())) == {}
