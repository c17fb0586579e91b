from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from av.codec.context import CodecContext

from runtime.video import candidates, encoder
from runtime.video.color import BY_USER, SITINGS, ColorTags, Siting
from runtime.video.encoder import (
    ENCODERS,
    EncodeOptions,
    Encoding,
    check_encoder,
    choose_codec,
    encoder_options,
)
from runtime.video.encoder_options import PRESETS, hardware_options
from runtime.video.hdr import HdrMetadata
from runtime.video.pixels import LAYOUTS
from runtime.video.probe import VideoInfo

H264 = Encoding("h264", "libx264", "yuv420p")


def info(layout: str = "yuv420p", width: int = 320, height: int = 180, **facts: Any) -> VideoInfo:
    plain = VideoInfo(
        width=width,
        height=height,
        layout=LAYOUTS[layout],
        codec="h264",
        time_base=Fraction(1, 25),
        rate=Fraction(25),
        frames=None,
        aspect=None,
        colors=ColorTags(),
        siting=Siting(),
        display_matrix=None,
    )
    return replace(plain, **facts)


def chosen(suffix: str, what: VideoInfo, **options: Any) -> Encoding:
    return choose_codec(suffix, what, EncodeOptions(**options))


@pytest.mark.parametrize(
    ("suffix", "layout", "encoder", "pixel_format"),
    [
        (".mp4", "yuv420p", "libx264", "yuv420p"),
        (".mp4", "nv12", "libx264", "yuv420p"),
        (".MKV", "yuv420p10le", "libx265", "yuv420p10le"),
        (".mov", "p010le", "libx265", "yuv420p10le"),
        (".m4v", "yuv420p10be", "libx264", "yuv420p10le"),
        (".webm", "yuv420p", "libvpx-vp9", "yuv420p"),
        (".webm", "yuv420p10le", "libsvtav1", "yuv420p10le"),
        (".mp4", "yuv440p", "libvpx-vp9", "yuv440p"),
        (".mkv", "yuv411p", "ffv1", "yuv411p"),
        (".mkv", "yuv420p9le", "ffv1", "yuv420p9le"),
        (".mkv", "gray16le", "ffv1", "gray16le"),
        (".mkv", "yuv422p16be", "ffv1", "yuv422p16le"),
        (".mp4", "bgr24", "libx264rgb", "bgr0"),
        (".mp4", "gbrp10le", "libx265", "gbrp10le"),
        (".webm", "rgb0", "libvpx-vp9", "gbrp"),
        (".mkv", "rgb48le", "ffv1", "gbrp16le"),
        (".mkv", "rgba", "ffv1", "bgra"),
        (".mkv", "ya8", "ffv1", "ya8"),
        (".mov", "bgra", "qtrle", "argb"),
        (".mov", "rgba64le", "png", "rgba64be"),
        (".mov", "yuva444p10le", "prores_ks", "yuva444p10le"),
        (".webm", "yuva420p", "libvpx-vp9", "yuva420p"),
    ],
)
def test_encoder_follows_container_and_pixel_format(
    suffix: str, layout: str, encoder: str, pixel_format: str
) -> None:
    got = chosen(suffix, info(layout))
    assert (got.encoder, got.pixel_format) == (encoder, pixel_format)
    assert LAYOUTS[got.pixel_format].planar_name == LAYOUTS[layout].planar_name


@pytest.mark.parametrize(
    ("transfer", "encoder"), [(16, "libx265"), (18, "libx265"), (1, "libx264")]
)
def test_hdr_of_8_bits_takes_hevc(transfer: int, encoder: str) -> None:
    assert chosen(".mp4", info(colors=ColorTags(9, 9, transfer, 1))).encoder == encoder


def test_unknown_container_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"cannot write video as \.avi; use one of \.mp4"):
        chosen(".avi", info())


def test_codec_that_the_container_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\.webm holds vp9 or av1, not h264"):
        chosen(".webm", info(), codec="h264")


def test_missing_encoder_is_named() -> None:
    absent = Encoding("h264", "libnothing", "yuv420p")
    assert check_encoder(absent, info(), EncodeOptions()) == (
        "this build of PyAV has no encoder libnothing"
    )


@pytest.mark.parametrize(
    ("suffix", "layout", "options", "message"),
    [
        (
            ".mp4",
            "yuv411p",
            {},
            "none of libx264, libx265, libsvtav1, libvpx-vp9 takes 320x180 yuv411p; "
            "pass --pixel-format yuv420p or write .mkv",
        ),
        (".webm", "yuv420p10le", {"codec": "vp9"}, "libvpx-vp9 takes no yuv420p10le"),
        (
            ".mov",
            "yuva420p",
            {},
            "pass --pixel-format yuva444p10le or --alpha drop or write .mkv or .webm",
        ),
        (".webm", "rgba", {}, "pass --pixel-format yuva420p or --alpha drop or write .mov or .mkv"),
        (
            ".mov",
            "yuv420p",
            {"codec": "prores"},
            "pass --pixel-format yuv422p10le or another --codec$",
        ),
        (".mp4", "rgba", {}, r"\.mp4 holds no alpha.*write \.mov, \.mkv or \.webm.*--alpha drop"),
    ],
)
def test_what_no_encoder_keeps_is_refused_with_advice(
    suffix: str, layout: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        chosen(suffix, info(layout), **options)


def test_codec_that_cannot_take_the_size_is_replaced_with_a_note() -> None:
    got = chosen(".mp4", info(width=483, height=363))
    assert got.encoder == "libsvtav1"
    assert got.notes == ("libsvtav1 is used, as none of libx264, libx265 takes 483x363 yuv420p",)


@pytest.mark.parametrize(
    ("suffix", "options"), [(".mp4", {"codec": "h264"}), (".mov", {}), (".m4v", {})]
)
def test_size_that_nothing_can_take_is_refused_with_the_even_one(
    suffix: str, options: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="pass --size 482x362"):
        chosen(suffix, info(width=483, height=363), **options)


def test_widths_that_x265_is_not_safe_with_are_left_to_others() -> None:
    assert chosen(".mp4", info("yuv420p10le", 48, 32)).encoder == "libx264"
    with pytest.raises(ValueError, match="libx265 takes no 48x32 yuv420p"):
        chosen(".mp4", info(width=48, height=32), codec="hevc")


@pytest.mark.parametrize(
    ("suffix", "layout"), [(".webm", "yuv420p"), (".mp4", "yuv444p"), (".mp4", "gray")]
)
def test_odd_size_is_no_matter_where_it_can_be_written(suffix: str, layout: str) -> None:
    assert chosen(suffix, info(layout, 483, 363)).notes == ()


@pytest.mark.parametrize("kind", ["nvenc", "vaapi"])
def test_hardware_that_is_absent_is_one_clear_error(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (candidates, encoder):
        monkeypatch.setattr(module, "formats_of", lambda name: None)
    with pytest.raises(ValueError, match=f"no encoder h264_{kind}.*pass --encoder auto"):
        chosen(".mp4", info(), encoder=kind)


def test_hardware_that_cannot_be_opened_is_told_apart_from_software() -> None:
    got = Encoding("h264", "h264_v4l2m2m", "yuv420p")
    reason = check_encoder(got, info(), EncodeOptions())
    assert reason is not None
    assert reason.startswith(("h264_v4l2m2m cannot be opened here", "this build of PyAV has no"))


def test_hardware_takes_no_rgb_which_it_would_turn_into_yuv() -> None:
    with pytest.raises(ValueError, match="h264_nvenc"):
        chosen(".mp4", info("bgr0"), encoder="nvenc")


@pytest.mark.parametrize(
    ("name", "encoder", "expected"),
    [
        ("h264", "libx264", {"crf": "16", "preset": "medium", "threads": "4"}),
        ("av1", "libsvtav1", {"crf": "14", "preset": "6"}),
        ("prores", "prores_ks", {"profile": "4444", "threads": "4"}),
        ("h264", "h264_nvenc", {"rc": "vbr", "cq": "16", "b": "0", "preset": "p5"}),
    ],
)
def test_options_default_to_high_quality(name: str, encoder: str, expected: dict[str, str]) -> None:
    assert encoder_options(Encoding(name, encoder, "yuv420p"), EncodeOptions(), info()) == expected


@pytest.mark.parametrize(
    ("size", "threads"),
    [((16, 16), "4"), ((1280, 720), "4"), ((1920, 1080), "6"), ((2560, 1440), "8")],
)
def test_larger_frames_have_more_encoder_threads(size: tuple[int, int], threads: str) -> None:
    options = encoder_options(H264, EncodeOptions(), info("yuv420p", *size))
    assert options["threads"] == threads


@pytest.mark.parametrize("kind", ["nvenc", "qsv", "amf"])
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.parametrize("preset", PRESETS)
def test_options_of_hardware_are_ones_that_ffmpeg_knows(kind: str, codec: str, preset: str) -> None:
    name = f"{codec}_{kind}"
    if candidates.formats_of(name) is None:
        pytest.skip(f"this build has no {name}")
    context: Any = CodecContext.create(name, "w")
    if not hasattr(context, "supported_options"):
        pytest.skip("this PyAV does not list options")
    known = {option.name: option for option in context.supported_options.private}
    chosen = hardware_options(name, 20, preset, info())
    for key, value in chosen.items():
        if key in ("b", "global_quality"):
            continue
        choices = [choice.name for choice in known[key].choices or ()]
        assert value in choices or float(value) <= known[key].max


def test_options_without_meaning_are_noted() -> None:
    got = chosen(".mkv", info(), codec="ffv1", crf=10, preset="fast")
    assert got.notes == ("--crf means nothing to ffv1", "--preset means nothing to ffv1")


@pytest.mark.parametrize("name", SITINGS)
def test_siting_is_told_unless_it_is_what_decoders_take_anyway(name: str) -> None:
    siting = SITINGS[name]
    options = encoder_options(H264, EncodeOptions(), info(siting=siting))
    assert options.get("chroma_sample_location") == (None if name == "left" else name)
    told = info(siting=siting, siting_reason=BY_USER)
    assert encoder_options(H264, EncodeOptions(), told)["chroma_sample_location"] == name
    full = replace(told, layout=LAYOUTS["yuv444p"])
    assert "chroma_sample_location" not in encoder_options(H264, EncodeOptions(), full)


@pytest.mark.parametrize(("codec", "crf"), [("h264", 52), ("hevc", -1), ("vp9", 64), ("av1", 64)])
def test_crf_out_of_range_is_refused(codec: str, crf: float) -> None:
    encoding = Encoding(codec, ENCODERS[codec], "yuv420p")
    with pytest.raises(ValueError, match=r"crf -?\d+ is not in 0\.\."):
        encoder_options(encoding, EncodeOptions(crf=crf), info())


def test_metadata_that_changes_by_the_frame_is_noted_as_left_out() -> None:
    got = chosen(".mkv", info("yuv420p10le", hdr=HdrMetadata(dynamic=("HDR10+",))))
    assert got.notes == ("the dynamic metadata of HDR10+ is left out; the base layer is kept",)


ENCODE = """
import hashlib, os, sys
from fractions import Fraction
import av, numpy as np
sys.path[:0] = [os.getcwd(), "tests/runtime/video"]
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: int(sys.argv[1])]))
from test_encoder import info
from runtime.video.encoder import EncodeOptions, choose_codec, describe_video, encoder_options
for codec, layout in [pair.split("/") for pair in sys.argv[2:]]:
    what, options = info(layout, 320, 192), EncodeOptions(codec=codec, preset="fast")
    encoding = choose_codec(".mov" if codec == "prores" else ".mkv", what, options)
    context = av.CodecContext.create(encoding.encoder, "w")
    context.framerate = Fraction(25)
    context.options = encoder_options(encoding, options, what)
    describe_video(context, what, encoding)
    digest, rng = hashlib.sha256(), np.random.default_rng(1)
    noise = rng.integers(0, 60, (256, 384), np.uint8)
    for number in [*range(16), None]:
        frame = None
        if number is not None:
            frame = av.VideoFrame(320, 192, encoding.pixel_format)
            for plane in frame.planes:
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
                size = min(rows.shape[1], 320)
                rows[:] = 0
                rows[:, :size] = noise[number : number + plane.height, number : number + size]
                if "10" in encoding.pixel_format:
                    rows[:, 1::2] = 1
            frame.pts, frame.time_base = number, Fraction(1, 25)
        for packet in context.encode(frame):
            digest.update(bytes(packet))
    print(codec, digest.hexdigest())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_number_of_cores_does_not_change_the_bytes() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    cases = ["h264/yuv420p", "h264/gbrp", "hevc/yuv420p10le", "av1/yuv420p", "vp9/yuv420p"]
    cases += ["ffv1/yuv422p", "prores/yuv422p10le"]
    outputs = [
        subprocess.run(
            [sys.executable, "-c", ENCODE, count, *cases],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\n")
        for count in ("1", "16")
    ]
    assert len(outputs[0]) == len(cases) + 1
    assert outputs[0] == outputs[1]
