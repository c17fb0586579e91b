from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from runtime.video.color import ColorTags, Siting
from runtime.video.encoder import (
    ENCODERS,
    EncodeOptions,
    check_encoder,
    choose_codec,
    encoder_options,
    encoder_threads,
    open_encoder,
)
from runtime.video.frame import LAYOUTS
from runtime.video.probe import VideoInfo


def info(siting: Siting | None = None) -> VideoInfo:
    return VideoInfo(
        width=320,
        height=180,
        layout=LAYOUTS["yuv420p"],
        codec="h264",
        time_base=Fraction(1, 25),
        rate=Fraction(25),
        frames=None,
        aspect=None,
        colors=ColorTags(),
        siting=siting or Siting(),
        display_matrix=None,
    )


@pytest.mark.parametrize(
    ("suffix", "layout", "codec"),
    [
        (".mp4", "yuv420p", "h264"),
        (".MKV", "yuv420p10le", "hevc"),
        (".mov", "p010le", "hevc"),
        (".m4v", "yuv420p10le", "h264"),
        (".webm", "yuv420p", "vp9"),
    ],
)
def test_codec_follows_container_and_depth(suffix: str, layout: str, codec: str) -> None:
    assert choose_codec(suffix, LAYOUTS[layout]) == codec


def test_unknown_container_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"cannot write video as \.avi; use one of \.mp4"):
        choose_codec(".avi", LAYOUTS["yuv420p"])


def test_codec_that_the_container_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\.webm holds vp9, not h264"):
        choose_codec(".webm", LAYOUTS["yuv420p"], "h264")


def test_missing_encoder_is_named() -> None:
    with pytest.raises(ValueError, match="no encoder libx265"):
        check_encoder("hevc", LAYOUTS["yuv420p"], None, (2, 2))


def test_encoder_that_would_lose_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="libvpx-vp9 takes no yuv420p10le"):
        check_encoder("vp9", LAYOUTS["yuv420p10le"], ["yuv420p"], (2, 2))


def test_odd_size_is_refused_with_the_even_one_to_pass() -> None:
    with pytest.raises(ValueError, match="pass --size 482x362"):
        check_encoder("h264", LAYOUTS["yuv420p"], ["yuv420p"], (483, 363))


@pytest.mark.parametrize(
    ("codec", "layout"), [("vp9", "yuv420p"), ("h264", "yuv444p"), ("h264", "gray")]
)
def test_odd_size_is_accepted_where_it_can_be_written(codec: str, layout: str) -> None:
    check_encoder(codec, LAYOUTS[layout], [LAYOUTS[layout].planar_name], (483, 363))


def test_options_default_to_high_quality() -> None:
    options = encoder_options("h264", EncodeOptions(), info())
    assert options == {"crf": "16", "preset": "medium"}


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_siting_other_than_left_is_tagged(codec: str) -> None:
    siting = Siting(is_left=False, is_top=False)
    options = encoder_options(codec, EncodeOptions(), info(siting))
    key = {"h264": "x264-params", "hevc": "x265-params"}[codec]
    assert options[key].endswith("chromaloc=1")


@pytest.mark.parametrize(("codec", "crf"), [("h264", 52), ("hevc", -1), ("vp9", 64)])
def test_crf_out_of_range_is_refused(codec: str, crf: float) -> None:
    with pytest.raises(ValueError, match=r"crf -?\d+ is not in 0\.\."):
        encoder_options(codec, EncodeOptions(crf=crf), info())


@pytest.mark.parametrize("codec", ENCODERS)
def test_encoder_is_the_same_on_every_machine(codec: str) -> None:
    context = open_encoder(codec, replace(info(), width=1280, height=720), EncodeOptions())
    assert context.thread_count == 8
    # x265 would write which CPU it runs on.
    assert b"cpuid" not in bytes(context.extradata or b"")


def test_small_frames_have_fewer_encoder_threads() -> None:
    assert [encoder_threads(height) for height in (48, 360, 720, 2160)] == [1, 5, 8, 8]
