from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from video_support import Clip, NearestUpscaler, make_clip, read_back

from runtime.video import EncodeOptions, VideoOptions, VideoReader, upscale_video
from runtime.video.compare import LINE_WIDTH, compare_frames, compared_info
from runtime.video.frame import LAYOUTS, Frame
from runtime.video.probe import probe

LOSSLESS = EncodeOptions(crf=0, preset="ultrafast")


def planes_of(layout: str, width: int, height: int) -> tuple[np.ndarray, ...]:
    known = LAYOUTS[layout]
    dtype = np.uint8 if known.bit_depth == 8 else np.uint16
    sizes = [(width, height)]
    if known.subsampling != (0, 0):
        sizes += [known.chroma_size(width, height)] * 2
    rng = np.random.default_rng(0)
    peak = 2**known.bit_depth
    return tuple(rng.integers(0, peak, size[::-1], dtype=dtype) for size in sizes)


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p10le", "yuv444p", "gray"])
@pytest.mark.parametrize("size", [(96, 64), (95, 65)])
def test_sides_are_the_bicubic_and_the_result(
    tmp_path: Path, layout: str, size: tuple[int, int]
) -> None:
    (width, height), known = size, LAYOUTS[layout]
    source = probe(make_clip(tmp_path / "a.mkv", Clip()))
    info = replace(source, layout=known, width=width, height=height)
    before = Frame(planes_of(layout, *size), known, 5, 1, Fraction(1, 25))
    before = replace(before, planes=tuple(255 - plane // 3 for plane in before.planes))
    after = Frame(planes_of(layout, *size), known, 5, 1, Fraction(1, 25))
    side = compare_frames(before, after, "side")
    half = side.planes[0].shape[1] // 2
    assert compared_info(info, "side").size == side.planes[0].shape[::-1]
    assert side.pts == 5
    below = slice(height // 2, None)  # the labels are above
    luma = after.planes[0]
    bicubic = before.planes[0]
    np.testing.assert_array_equal(side.planes[0][below, :half], bicubic[below, :half])
    right = side.planes[0][below, half + LINE_WIDTH :]
    np.testing.assert_array_equal(right, luma[below, LINE_WIDTH:half])
    split = compare_frames(before, after, "split")
    assert compared_info(info, "split").size == info.size == split.planes[0].shape[::-1]
    middle = width // 2
    left, right = slice(0, middle - 1), slice(middle + LINE_WIDTH, None)
    np.testing.assert_array_equal(split.planes[0][below, left], bicubic[below, left])
    np.testing.assert_array_equal(split.planes[0][below, right], luma[below, right])
    for plane, wanted in zip(split.planes[1:], after.planes[1:], strict=True):
        assert plane.shape == wanted.shape
        half = plane.shape[1] // 2 + 1
        np.testing.assert_array_equal(plane[:, half + 1 :], wanted[:, half + 1 :])


@pytest.mark.parametrize(("comparison", "width"), [("side", 256), ("split", 128)])
def test_compared_video_has_both_and_the_times(tmp_path: Path, comparison: str, width: int) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(width=64, height=48, aspect=Fraction(4, 3)))
    options = VideoOptions(encode=LOSSLESS, compare=comparison)
    upscale_video(source, tmp_path / "b.mp4", NearestUpscaler(), options)
    after = read_back(tmp_path / "b.mp4")
    assert after.stream["size"] == (width, 96)
    assert after.stream["aspect"] == Fraction(4, 3)
    assert after.times == read_back(source).times
    with VideoReader(source) as before, VideoReader(tmp_path / "b.mp4") as shown:
        for small, large in zip(before, shown, strict=True):
            wanted = NearestUpscaler().upscale_luma(small.planes[0])
            np.testing.assert_array_equal(large.planes[0][48:, -60:], wanted[48:, -60:])
