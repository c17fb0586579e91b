from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from runtime.video.color import (
    SITINGS,
    ColorTags,
    Siting,
    apply_tags,
    chroma_phase,
    guessed_matrix,
    siting_of,
    tags_of,
)


def tagged(name: str = "yuv420p", **tags: int) -> Any:
    values = {"colorspace": 2, "color_primaries": 2, "color_trc": 2, "color_range": 0} | tags
    return SimpleNamespace(format=SimpleNamespace(name=name), **values)


def test_tags_of_the_frame_come_before_those_of_the_stream() -> None:
    frame, stream = tagged(colorspace=9), tagged(colorspace=1, color_primaries=1, color_range=1)
    assert tags_of(frame, stream) == ColorTags(9, 1, 2, 1)


def test_jpeg_pixel_format_means_full_range() -> None:
    assert tags_of(tagged("yuvj420p"), tagged()).sample_range == 2


def test_untagged_video_stays_untagged() -> None:
    context = tagged()
    apply_tags(tags_of(tagged(), tagged()), context)
    assert vars(context) == vars(tagged()) | {"format": context.format}


@pytest.mark.parametrize(
    ("codec", "location", "siting"),
    [
        ("h264", 0, Siting(is_left=True, is_top=False)),
        ("mjpeg", 0, Siting(is_left=False, is_top=False)),
        ("hevc", 3, Siting(is_left=True, is_top=True)),
        ("mjpeg", 1, Siting(is_left=True, is_top=False)),
        ("h264", 6, Siting(is_left=False, is_bottom=True)),
    ],
)
def test_siting_is_as_tagged_or_by_the_custom_of_the_codec(
    codec: str, location: int, siting: Siting
) -> None:
    got, reason = siting_of(SimpleNamespace(chroma_location=location), codec)  # type: ignore
    assert got == siting
    assert reason == ("as tagged" if location else f"by the custom of {codec}")


@pytest.mark.parametrize(
    ("subsampling", "is_cosited", "phase"), [(2, True, -0.25), (2, False, 0), (1, True, 0)]
)
def test_chroma_phase_is_a_quarter_sample_when_cosited(
    subsampling: int, is_cosited: bool, phase: float
) -> None:
    assert chroma_phase(subsampling, is_cosited) == phase


def test_chroma_at_the_last_luma_row_is_a_quarter_sample_below() -> None:
    assert chroma_phase(2, False, is_last=True) == 0.25


def test_rgb_is_full_range_of_matrix_0() -> None:
    tags = tags_of(tagged("bgr0", color_primaries=1), tagged())
    assert tags == ColorTags(matrix=0, primaries=1, transfer=2, sample_range=2)


@pytest.mark.parametrize(
    ("name", "number", "location"),
    [("left", 0, "left"), ("center", 1, "center"), ("topleft", 2, "top_left"), ("top", 3, "top")],
)
def test_sitings_have_a_name_and_a_number(name: str, number: int, location: str) -> None:
    siting = SITINGS[name]
    assert (siting.name, siting.number, siting.location) == (name, number, location)


@pytest.mark.parametrize(
    ("size", "matrix"), [((720, 576), "BT.601"), ((1280, 534), "BT.709"), ((900, 720), "BT.709")]
)
def test_players_guess_the_matrix_by_size(size: tuple[int, int], matrix: str) -> None:
    assert guessed_matrix(*size) == matrix
