from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from bundle_support import make_tiny_bundle
from video_support import NearestUpscaler

from runtime import Upscaler
from runtime.resample import upscale_bicubic
from runtime.video.color import SITINGS, ColorTags, Siting
from runtime.video.frame import Frame
from runtime.video.frame_upscaler import FrameUpscaler, PlaneUpscaler, join_rgb, split_rgb
from runtime.video.pixels import LAYOUTS
from runtime.video.probe import VideoInfo


def info(layout: str, width: int = 14, height: int = 10, siting: str = "left") -> VideoInfo:
    return VideoInfo(
        width=width,
        height=height,
        layout=LAYOUTS[layout],
        codec="ffv1",
        time_base=Fraction(1, 25),
        rate=None,
        frames=None,
        aspect=None,
        colors=ColorTags(),
        siting=SITINGS[siting],
        display_matrix=None,
    )


def noise(layout: str, width: int = 14, height: int = 10) -> Frame:
    form, rng = LAYOUTS[layout], np.random.default_rng(5)
    dtype = np.uint8 if form.bit_depth == 8 else np.uint16
    planes = []
    for index in range(len(form.components)):
        is_chroma = index in (1, 2) and form.is_subsampled
        size = form.chroma_size(width, height) if is_chroma else (width, height)
        planes.append(rng.integers(0, 2**form.bit_depth, size[::-1]).astype(dtype))
    return Frame(tuple(planes), form, 0, 1, Fraction(1, 25))


def run(upscaler: PlaneUpscaler, source: VideoInfo, target: VideoInfo, frame: Frame) -> Frame:
    work = FrameUpscaler(source, target, upscaler)
    return work.finish(work.upscale(work.prepare(frame)))


@pytest.mark.parametrize(
    ("layout", "scale"), [("rgb24", 1), ("rgba", 1), ("gbrp16le", 1), ("gbrp10le", 64)]
)
def test_rgb_is_upscaled_as_pictures_are(tmp_path: Path, layout: str, scale: int) -> None:
    frame = noise(layout)
    picture = np.dstack(frame.planes)
    with Upscaler.open(make_tiny_bundle(tmp_path / "tiny.esr")) as upscaler:
        got = run(upscaler, info(layout), info(layout, 28, 20), frame)
        if scale == 1:
            expected = upscaler.upscale(picture).astype(int)
        else:  # 10 bits stand between two depths of pictures
            deep = np.rint(picture / 1023 * 65535).astype(np.uint16)
            expected = np.rint(upscaler.upscale(deep) / 65535 * 1023).astype(int)
    assert got.layout.planar_name == LAYOUTS[layout].planar_name
    difference = np.abs(np.dstack(got.planes).astype(int) - expected)
    assert difference.max() <= 1
    assert got.planes[0].dtype == frame.planes[0].dtype


def test_alpha_is_resized_as_pictures_are() -> None:
    frame = noise("yuva420p16le")
    got = run(NearestUpscaler(3), info("yuva420p16le"), info("yuva420p16le", 42, 30), frame)
    expected = np.clip(np.rint(upscale_bicubic(frame.planes[3], 3)), 0, 65535)
    np.testing.assert_array_equal(got.planes[3], expected)


@pytest.mark.parametrize("takes_frames", [False, True])
def test_alpha_is_left_out_where_the_target_has_none(takes_frames: bool) -> None:
    upscaler = NearestUpscaler(2, takes_frames=takes_frames)
    got = run(upscaler, info("yuva420p"), info("yuv420p", 28, 20), noise("yuva420p"))
    assert [plane.shape for plane in got.planes] == [(20, 28), (10, 14), (10, 14)]
    assert got.layout.planar_name == "yuv420p"


def test_alpha_stays_beside_planes_that_the_upscaler_makes() -> None:
    upscaler = NearestUpscaler(2, takes_frames=True)
    frame = noise("yuva420p")
    got = run(upscaler, info("yuva420p"), info("yuva420p", 28, 20), frame)
    np.testing.assert_array_equal(got.planes[1], frame.planes[1].repeat(2, 0).repeat(2, 1))
    assert got.planes[3].shape == (20, 28)


@pytest.mark.parametrize(
    ("layout", "siting", "expected"),
    [
        ("yuv420p", "left", True),
        ("yuv420p", "bottom", False),
        ("yuv440p", "left", False),
        ("yuv411p", "left", False),
        ("bgra", "left", False),
        ("gray", "left", True),
    ],
)
def test_whole_frames_are_given_where_the_upscaler_knows_them(
    layout: str, siting: str, expected: bool
) -> None:
    source = info(layout, siting=siting)
    work = FrameUpscaler(
        source, replace(source, width=28, height=20), NearestUpscaler(2, takes_frames=True)
    )
    assert work.takes_frames == expected


@pytest.mark.parametrize("siting", SITINGS)
def test_chroma_ramp_stays_where_it_is(siting: str) -> None:
    """Chroma that follows the luma grid linearly still does so when enlarged."""
    width, height = 24, 24
    place: Siting = SITINGS[siting]
    x = np.arange(12) * 2 + (0 if place.is_left else 0.5)
    y = np.arange(12) * 2 + (0 if place.is_top else 1 if place.is_bottom else 0.5)
    ramp = np.rint((x[None, :] + 0.5) * 6 + (y[:, None] + 0.5) * 3).astype(np.uint8)
    luma = np.zeros((height, width), np.uint8)
    frame = Frame((luma, ramp, ramp), LAYOUTS["yuv420p"], 0, 1, Fraction(1, 25))
    source = info("yuv420p", width, height, siting)
    target = replace(source, width=2 * width, height=2 * height)
    got = run(NearestUpscaler(2), source, target, frame).planes[1]
    x = np.arange(24) * 2 + (0 if place.is_left else 0.5)
    y = np.arange(24) * 2 + (0 if place.is_top else 1 if place.is_bottom else 0.5)
    expected = (x[None, :] + 0.5) * 3 + (y[:, None] + 0.5) * 1.5
    np.testing.assert_allclose(got[6:18, 6:18], expected[6:18, 6:18], atol=1.01)


@pytest.mark.parametrize("bit_depth", [8, 10, 16])
def test_rgb_comes_apart_and_together_without_loss(bit_depth: int) -> None:
    frame = noise({8: "rgb24", 10: "gbrp10le", 16: "rgb48le"}[bit_depth])
    parts = split_rgb(frame.planes, bit_depth)
    assert parts[0].min() >= 15.9
    assert parts[0].max() <= 235.1
    for got, expected in zip(join_rgb(parts, bit_depth), frame.planes, strict=True):
        assert np.abs(got.astype(int) - expected).max() <= (1 if bit_depth == 16 else 0)
