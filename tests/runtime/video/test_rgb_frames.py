"""Frames of video through networks of RGB: to RGB and back, by their own matrix and siting."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from bundle_support import make_rgb_bundle
from video_support import Clip, NearestUpscaler, make_clip, read_back

from runtime import Upscaler
from runtime.video import EncodeOptions, VideoOptions, VideoReader, upscale_video
from runtime.video.color import RGB_MATRIX, SITINGS, ColorTags, Siting
from runtime.video.convert import Converter
from runtime.video.frame import Frame
from runtime.video.frame_upscaler import frame_stages
from runtime.video.pipeline import output_info
from runtime.video.pixels import GREY, LAYOUTS
from runtime.video.probe import VideoInfo
from runtime.video.rgb import LUMA_SHARES, common_matrix

LOSSLESS = EncodeOptions(crf=0, preset="ultrafast")
BT709, BT601, BT2020 = 1, 6, 9
LIMITED, FULL = 1, 2


class Recorder(NearestUpscaler):
    """Keeps what the network is given."""

    def __init__(self, scale: int = 2) -> None:
        super().__init__(scale, channels="rgb")
        self.given: list[np.ndarray] = []

    def upscale_rgb(self, picture: np.ndarray) -> np.ndarray:
        self.given.append(picture)
        return super().upscale_rgb(picture)


def info(
    layout: str,
    matrix: int = BT709,
    sample_range: int = LIMITED,
    size: tuple[int, int] = (14, 10),
    siting: str = "left",
) -> VideoInfo:
    is_rgb = LAYOUTS[layout].is_rgb
    return VideoInfo(
        width=size[0],
        height=size[1],
        layout=LAYOUTS[layout],
        codec="ffv1",
        time_base=Fraction(1, 25),
        rate=None,
        frames=None,
        aspect=None,
        colors=ColorTags(
            RGB_MATRIX if is_rgb else matrix, sample_range=FULL if is_rgb else sample_range
        ),
        siting=SITINGS[siting],
        display_matrix=None,
    )


def frame_of(layout: str, *planes: np.ndarray) -> Frame:
    dtype = np.uint8 if LAYOUTS[layout].bit_depth == 8 else np.uint16
    samples = tuple(np.asarray(plane).astype(dtype) for plane in planes)
    return Frame(samples, LAYOUTS[layout], 3, 1, Fraction(1, 25))


def noise(layout: str, size: tuple[int, int] = (14, 10)) -> Frame:
    form, rng = LAYOUTS[layout], np.random.default_rng(5)
    sizes = [
        form.chroma_size(*size) if index in (1, 2) and form.is_subsampled else size
        for index in range(len(form.components))
    ]
    planes = (rng.integers(0, 2**form.bit_depth, (height, width)) for width, height in sizes)
    return frame_of(layout, *planes)


def flat(layout: str, *values: int, size: tuple[int, int] = (14, 10)) -> Frame:
    planes = noise(layout, size).planes
    pairs = zip(planes, values, strict=True)
    return frame_of(layout, *(np.full_like(plane, value) for plane, value in pairs))


def run(source: VideoInfo, target: VideoInfo, frame: Frame, upscaler: Recorder) -> Frame:
    work = frame_stages(source, target, upscaler)
    return work.finish(work.upscale(work.prepare(frame)))


def twice(source: VideoInfo) -> VideoInfo:
    return replace(source, width=2 * source.width, height=2 * source.height)


def repeated(plane: np.ndarray) -> np.ndarray:
    return plane.repeat(2, axis=0).repeat(2, axis=1)


def largest_error(got: np.ndarray, expected: np.ndarray) -> int:
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    return int(np.abs(got.astype(int) - expected.astype(int)).max())


# ---- There and back ----


@pytest.mark.parametrize("sample_range", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", LUMA_SHARES)
@pytest.mark.parametrize("layout", ["yuv444p", "yuv444p10le", "yuv444p16le"])
def test_full_chroma_comes_back_even_where_rgb_has_no_such_colour(
    layout: str, matrix: int, sample_range: int
) -> None:
    source, frame = info(layout, matrix, sample_range), noise(layout)
    got = run(source, twice(source), frame, Recorder())
    assert (got.pts, got.layout) == (3, frame.layout)
    for sr, lr in zip(got.planes, frame.planes, strict=True):
        assert largest_error(sr, repeated(lr)) <= (1 if layout == "yuv444p16le" else 0)


@pytest.mark.parametrize("sample_range", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", [BT709, BT601, BT2020])
@pytest.mark.parametrize("size", [(14, 10), (15, 11), (1, 1)])
@pytest.mark.parametrize(
    "layout", ["yuv420p", "yuv422p10le", "yuv440p", "yuv411p", "yuv410p", "nv12", "p010le"]
)
def test_luma_comes_back_beside_chroma_of_fewer_samples(
    layout: str, size: tuple[int, int], matrix: int, sample_range: int
) -> None:
    source, frame = info(layout, matrix, sample_range, size), noise(layout, size)
    got = run(source, twice(source), frame, Recorder())
    assert largest_error(got.planes[0], repeated(frame.planes[0])) <= 1
    width, height = frame.layout.chroma_size(2 * size[0], 2 * size[1])
    assert [plane.shape for plane in got.planes[1:]] == [(height, width)] * 2


@pytest.mark.parametrize("sample_range", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", [BT709, BT601, BT2020])
@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p10le", "yuv411p", "yuv420p16le"])
def test_neutral_grey_stays_neutral(layout: str, matrix: int, sample_range: int) -> None:
    source, upscaler = info(layout, matrix, sample_range), Recorder()
    luma, *chroma = noise(layout).planes
    middle = 2 ** (source.layout.bit_depth - 1)
    frame = frame_of(layout, luma, *(np.full_like(plane, middle) for plane in chroma))
    got = run(source, twice(source), frame, upscaler)
    assert np.ptp(upscaler.given[0], axis=2).max() < 1e-3
    for plane in got.planes[1:]:
        assert set(np.unique(plane)) == {middle}


@pytest.mark.parametrize("siting", SITINGS)
@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p", "yuv440p", "yuv411p"])
def test_chroma_ramp_stays_where_it_is(layout: str, siting: str) -> None:
    """Chroma that follows the luma grid linearly still does so when enlarged."""
    source = info(layout, size=(48, 48), siting=siting)
    place: Siting = SITINGS[siting]
    steps = source.layout.subsampling

    def ramp(unit: float) -> np.ndarray:
        width, height = source.layout.chroma_size(round(48 / unit), round(48 / unit))
        x = np.arange(width) * steps[0] + (0 if place.is_left else (steps[0] - 1) / 2)
        last = steps[1] - 1
        y = np.arange(height) * steps[1] + (
            last if place.is_bottom else 0 if place.is_top else last / 2
        )
        return 40 + 2 * unit * (x[None, :] + 0.5) + 1.5 * unit * (y[:, None] + 0.5)

    small = np.rint(ramp(1.0))
    frame = frame_of(layout, np.full((48, 48), 126), small, np.full_like(small, 128))
    # Bilinear in the place of the network, which would not keep a ramp.
    got = run(source, twice(source), frame, Bilinear())
    inner = (slice(8, -8),) * 2
    np.testing.assert_allclose(got.planes[1][inner], ramp(0.5)[inner], atol=1.01)


class Bilinear(Recorder):
    def upscale_rgb(self, picture: np.ndarray) -> np.ndarray:
        import cv2

        size = picture.shape[1] * 2, picture.shape[0] * 2
        return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR))


# ---- What the network is given ----


@pytest.mark.parametrize(
    ("layout", "values", "matrix", "sample_range", "expected"),
    [
        ("yuv420p", (235, 128, 128), BT709, LIMITED, (255, 255, 255)),
        ("yuv420p", (16, 128, 128), BT709, 0, (0, 0, 0)),
        ("yuv420p", (255, 128, 128), BT709, FULL, (255, 255, 255)),
        # Primary colours as the standards give them in 8 bits.
        ("yuv420p", (63, 102, 240), BT709, LIMITED, (255, 0, 0)),
        ("yuv444p", (81, 90, 240), BT601, LIMITED, (255, 0, 0)),
        ("yuv444p", (76, 85, 255), BT601, FULL, (255, 0, 0)),
        ("yuv422p", (74, 97, 240), BT2020, LIMITED, (255, 0, 0)),
        ("yuv420p10le", (940, 512, 512), BT709, LIMITED, (255, 255, 255)),
        ("gray", (126,), BT709, LIMITED, (128, 128, 128)),
        ("gray12le", (4095,), BT709, FULL, (255, 255, 255)),
        ("gbrp", (255, 7, 0), 0, FULL, (255, 7, 0)),
        ("gbrp10le", (1023, 0, 341), 0, FULL, (255, 0, 85)),
    ],
)
def test_network_is_given_rgb_of_the_frame_s_own_colours(
    layout: str,
    values: tuple[int, ...],
    matrix: int,
    sample_range: int,
    expected: tuple[int, int, int],
) -> None:
    source, upscaler = info(layout, matrix, sample_range), Recorder()
    run(source, twice(source), flat(layout, *values), upscaler)
    (given,) = upscaler.given
    assert given.dtype == (np.uint8 if layout == "gbrp" else np.float32)
    assert given.shape == (10, 14, 3)
    assert np.abs(given - np.array(expected, np.float32)).max() <= 1.3


@pytest.mark.parametrize("layout", ["rgb24", "bgra", "gbrp10le", "gbrap16le", "gray", "ya16le"])
def test_rgb_and_grey_come_back_exactly(layout: str) -> None:
    source, frame = info(layout, sample_range=FULL), noise(layout)
    got = run(source, twice(source), frame, Recorder())
    for sr, lr in zip(
        got.planes[: frame.layout.color_count],
        frame.planes[: frame.layout.color_count],
        strict=True,
    ):
        assert largest_error(sr, repeated(lr)) <= (1 if layout.endswith("16le") else 0)
    assert len(got.planes) == len(frame.planes)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (info("yuv420p", BT2020), info("yuv420p", BT2020), BT2020),
        (info("yuv420p", 2, size=(640, 360)), info("yuv420p", 2, size=(1280, 720)), BT601),
        (info("yuv420p", 2, size=(1280, 720)), info("yuv420p", 2, size=(2560, 1440)), BT709),
        (info("yuv420p", 2, size=(1280, 720)), info("yuv420p", BT601, size=(2560, 1440)), BT601),
        (info("yuv420p", 2, size=(1280, 720)), info("gbrp"), BT709),
        (info("gbrp"), info("yuv420p", BT2020), BT2020),
    ],
)
def test_one_matrix_serves_both_ends(source: VideoInfo, target: VideoInfo, expected: int) -> None:
    assert common_matrix(source, target) == expected


def test_matrix_that_is_none_of_luma_and_chroma_is_refused_before_any_work(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mkv", Clip(pts=(0, 1), colors=(8, 1, 1, 1)))
    with pytest.raises(ValueError, match="colour matrix 8 of ITU-T H"):
        upscale_video(source, tmp_path / "b.mkv", NearestUpscaler(channels="rgb"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]
    upscale_video(source, tmp_path / "b.mkv", NearestUpscaler())


# ---- The target ----


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("yuv444p", "gbrp"),
        ("gbrp", "yuv444p"),
        ("gbrp", "gray"),
        ("yuv444p", "yuv444p10le"),
        ("yuv444p", "yuv420p"),
        ("gray", "yuv420p"),
        ("gray10le", "gbrp"),
        ("yuv444p10le", "gray"),
    ],
)
def test_other_pixel_formats_are_those_of_swscale(before: str, after: str) -> None:
    source = info(before, size=(32, 24))
    options = VideoOptions(encode=EncodeOptions(pixel_format=after))
    target = output_info(source, 2, options)
    y, x = np.mgrid[0:24, 0:32] / 40
    peak = 2**source.layout.bit_depth
    smooth = [(0.3 + 0.3 * x + 0.2 * y) * peak, (0.6 - 0.15 * x) * peak, (0.4 + 0.2 * y) * peak]
    frame = frame_of(before, *smooth[: source.layout.color_count])
    got = run(source, target, frame, Recorder())
    large = frame_of(before, *map(repeated, frame.planes))
    wanted = Converter(replace(source, width=64, height=48), target).convert(large)
    assert got.layout == target.layout
    for plane, other in zip(got.planes, wanted.planes, strict=True):
        assert np.abs(plane.astype(float) - other).mean() <= 1.5 * 2 ** (
            target.layout.bit_depth - 8
        )


def test_chroma_that_the_network_made_is_kept_where_the_target_has_room() -> None:
    class Striped(Recorder):
        def upscale_rgb(self, picture: np.ndarray) -> np.ndarray:
            sr = super().upscale_rgb(picture)
            sr[:, ::2, 0] = 255
            return sr

    source = info("yuv420p")
    target = replace(twice(source), layout=LAYOUTS["yuv444p"])
    got = run(source, target, flat("yuv420p", 126, 128, 128), Striped())
    red = got.planes[2].astype(int)
    assert (red[:, ::2] - red[:, 1::2]).min() > 50


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [("yuva420p", "yuva420p", 99), ("yuv420p", "yuva420p", 255), ("rgba", "gbrap10le", 397)],
)
def test_alpha_is_kept_scaled_or_opaque(before: str, after: str, expected: int) -> None:
    source = info(before)
    target = replace(twice(source), layout=LAYOUTS[after])
    values = (120, 128, 128, 99)[: len(source.layout.components)]
    got = run(source, target, flat(before, *values), Recorder())
    assert got.planes[3].shape == (20, 28)
    assert set(np.unique(got.planes[3])) == {expected}


def test_alpha_is_left_out_where_the_target_has_none() -> None:
    source = info("yuva420p")
    target = replace(twice(source), layout=LAYOUTS["yuv420p"])
    assert len(run(source, target, noise("yuva420p"), Recorder()).planes) == 3


@pytest.mark.parametrize("layout", ["yuv420p", "gbrp", "gray10le", "yuva444p"])
def test_final_size_may_be_another(layout: str) -> None:
    source = info(layout)
    target = replace(source, width=21, height=13)
    got = run(source, target, noise(layout), Recorder())
    assert got.planes[0].shape == (13, 21)
    if source.layout.subsampling != GREY:
        width, height = source.layout.chroma_size(21, 13)
        assert got.planes[1].shape == (height, width)


# ---- Files ----


@pytest.fixture(scope="module")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rgb_bundle(tmp_path_factory.mktemp("n") / "tiny.esr", is_nearest=True)


@pytest.mark.parametrize(
    ("codec", "layout", "tile_size"),
    [
        ("libx264", "yuv420p", 0),
        ("ffv1", "yuv444p10le", 0),
        ("ffv1", "gray", 0),
        ("ffv1", "bgr0", 9),
        ("ffv1", "gbrp12le", 0),
        ("ffv1", "yuv420p16le", 9),
    ],
)
def test_video_keeps_its_format_tags_and_pictures(
    nearest: Path, tmp_path: Path, codec: str, layout: str, tile_size: int
) -> None:
    options = {} if codec == "ffv1" else {"preset": "ultrafast"}
    colors = (2, 2, 2, 0) if LAYOUTS[layout].is_rgb else (1, 1, 1, 1)
    clip = Clip(pixel_format=layout, codec=codec, options=options, colors=colors, pts=(0, 1, 3))
    source = make_clip(tmp_path / "a.mkv", clip)
    encode = LOSSLESS if codec != "ffv1" else EncodeOptions(codec="ffv1")
    with Upscaler.open(nearest, tile_size=tile_size) as upscaler:
        upscale_video(source, tmp_path / "b.mkv", upscaler, VideoOptions(encode=encode))
    before, after = read_back(source), read_back(tmp_path / "b.mkv")
    assert after.times == before.times
    if not LAYOUTS[layout].is_rgb:
        assert after.stream["colors"] == before.stream["colors"]
    with VideoReader(source) as small, VideoReader(tmp_path / "b.mkv") as large:
        for lr, sr in zip(small, large, strict=True):
            assert sr.layout.planar_name == lr.layout.planar_name
            count = len(lr.planes) if not lr.layout.is_subsampled else 1
            for plane, wanted in zip(sr.planes[:count], lr.planes, strict=False):
                assert largest_error(plane, repeated(wanted)) <= 1


def test_comparison_shows_bicubic_beside_the_network(nearest: Path, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(width=64, height=48, colors=(1, 1, 1, 1)))
    options = VideoOptions(encode=LOSSLESS, compare="side")
    with Upscaler.open(nearest) as upscaler:
        upscale_video(source, tmp_path / "b.mp4", upscaler, options)
    with VideoReader(source) as before, VideoReader(tmp_path / "b.mp4") as shown:
        for small, large in zip(before, shown, strict=True):
            assert large.planes[0].shape == (96, 256)
            wanted = repeated(small.planes[0])
            assert largest_error(large.planes[0][48:, -60:], wanted[48:, -60:]) <= 1
            assert (large.planes[0][48:, 68:128] != wanted[48:, -60:]).any()
