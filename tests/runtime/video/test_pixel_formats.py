"""Whole videos of every kind of pixel format."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from video_support import Clip, NearestUpscaler, make_clip, read_back

from runtime.video import EncodeOptions, VideoOptions, VideoReader, VideoResult, upscale_video
from runtime.video.frame import Frame, frame_from_av
from runtime.video.pixels import LAYOUTS

RAW: dict[str, Any] = {"codec": "rawvideo", "options": {}, "pts": (0, 1, 2)}
FFV1: dict[str, Any] = {
    "codec": "ffv1",
    "options": {"level": "3", "slices": "1"},
    "pts": (0, 1, 2),
}


def upscaled(
    source: Path, target: Path, scale: int = 2, what: VideoOptions | None = None, **options: Any
) -> VideoResult:
    encode = EncodeOptions(preset="ultrafast", **options)
    what = VideoOptions(**(vars(what) if what else {}) | {"encode": encode})
    return upscale_video(source, target, NearestUpscaler(scale), what)


def frames_of(path: Path) -> list[Frame]:
    with VideoReader(path) as reader:
        return list(reader)


def psnr(a: np.ndarray, b: np.ndarray, peak: int) -> float:
    error = np.mean((a.astype(float) - b) ** 2)
    return float(10 * np.log10(peak**2 / max(error, 1e-9)))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(
    "name",
    [
        *("yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p", "yuv420p9le"),
        *("yuv420p14le", "yuv422p16le", "yuv444p12le", "gray", "gray14le", "ya8", "yuva420p"),
        *("yuva422p10le", "yuva444p16le", "bgra", "gbrp14le", "gbrap12le", "bgr0", "rgba64le"),
    ],
)
def test_odd_sizes_of_every_kind_are_written_exactly(tmp_path: Path, name: str, scale: int) -> None:
    clip = Clip(width=17, height=13, pixel_format=name, **FFV1)
    source = make_clip(tmp_path / "a.mkv", clip)
    result = upscaled(source, tmp_path / "b.mkv", scale, codec="ffv1")
    assert (result.width, result.height) == (17 * scale, 13 * scale)
    before, after = frames_of(source), frames_of(tmp_path / "b.mkv")
    assert [frame.layout.planar_name for frame in after] == [LAYOUTS[name].planar_name] * 3
    for small, large in zip(before, after, strict=True):
        if small.layout.is_rgb:
            continue
        enlarged = small.planes[0].repeat(scale, 0).repeat(scale, 1)
        np.testing.assert_array_equal(large.planes[0], enlarged)
        for plane, plane_large in zip(small.planes[1:], large.planes[1:], strict=True):
            # Bicubic keeps means but for edges.
            assert abs(plane.mean() - plane_large.mean()) < 0.06 * plane.max()


@pytest.mark.parametrize(
    ("name", "suffix", "encoder", "written"),
    [
        ("bgr24", ".mp4", "libx264rgb", "gbrp"),
        ("rgb24", ".mov", "libx264rgb", "gbrp"),
        ("rgba", ".mov", "qtrle", "argb"),
        ("gbrp10le", ".mp4", "libx265", "gbrp10le"),
        ("gbrp12le", ".mkv", "libx265", "gbrp12le"),
        ("0rgb", ".webm", "libvpx-vp9", "gbrp"),
        ("bgra", ".mkv", "ffv1", "bgra"),
        ("rgb48le", ".mkv", "ffv1", "gbrp16le"),
        ("rgba64le", ".mov", "png", "rgba64be"),
    ],
)
def test_rgb_stays_rgb(tmp_path: Path, name: str, suffix: str, encoder: str, written: str) -> None:
    source = tmp_path / "a.nut"
    make_clip(source, Clip(width=64, height=48, pixel_format=name, **RAW))
    result = upscaled(source, tmp_path / f"b{suffix}", crf=1)
    after = read_back(tmp_path / f"b{suffix}")
    assert (result.encoder, after.stream["format"]) == (encoder, written)
    if encoder in ("libx264rgb", "libx265", "libvpx-vp9"):
        assert (after.stream["colors"][0], after.stream["colors"][3]) == (0, 2)
    assert result.chroma_location is None
    before = frames_of(source)[0]
    large = frame_from_av(after.frames[0], 0, Fraction(1))
    peak = 2**before.layout.bit_depth - 1
    for plane, plane_large in zip(before.planes, large.planes, strict=True):
        assert psnr(plane, plane_large[::2, ::2], peak) > 20


def test_flat_rgb_keeps_its_colours_exactly(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "gbrap10le"
        frame = av.VideoFrame(32, 16, "gbrap10le")
        for plane, value in zip(frame.planes, (3, 1000, 517, 700), strict=True):
            np.frombuffer(plane, np.uint16)[:] = value
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    upscaled(tmp_path / "a.mkv", tmp_path / "b.mkv", 3)
    planes = frames_of(tmp_path / "b.mkv")[0].planes
    assert [np.unique(plane).tolist() for plane in planes] == [[517], [3], [1000], [700]]


@pytest.mark.parametrize("suffix", [".webm", ".mkv"])
def test_alpha_of_vp9_is_read_and_written(tmp_path: Path, suffix: str) -> None:
    clip = Clip(width=64, height=48, pixel_format="yuva420p", codec="libvpx-vp9", options={})
    source = make_clip(tmp_path / "a.webm", clip)
    result = upscaled(source, tmp_path / f"b{suffix}", crf=4, codec="vp9")
    before, after = frames_of(source), frames_of(tmp_path / f"b{suffix}")
    assert result.encoder == "libvpx-vp9"
    assert [len(frame.planes) for frame in after] == [4] * 12
    assert psnr(before[5].planes[3], after[5].planes[3][::2, ::2], 255) > 20
    assert [f.pts * f.time_base for f in after] == [f.pts * f.time_base for f in before]


def test_alpha_of_prores_reaches_the_file(tmp_path: Path) -> None:
    clip = Clip(width=64, height=48, pixel_format="yuva444p10le", **FFV1)
    source = make_clip(tmp_path / "a.mkv", clip)
    result = upscaled(source, tmp_path / "b.mov")
    small, large = frames_of(source)[0], frames_of(tmp_path / "b.mov")[0]
    assert result.encoder == "prores_ks"
    # FFmpeg decodes ProRes 4444 to 12 bits.
    assert large.layout.has_alpha
    top = large.planes[3][::2, ::2] >> (large.layout.bit_depth - 10)
    assert psnr(small.planes[3], top, 1023) > 20


@pytest.fixture
def gif(tmp_path: Path) -> Path:
    """Three frames of uneven length, one of them with a hole."""
    image = pytest.importorskip("PIL.Image")
    pictures = []
    for number in range(3):
        picture = image.new("RGBA", (24, 20), (40 * number, 200, 90, 255))
        picture.paste((0, 0, 0, 0), (4, 4, 12, 12))
        pictures.append(picture)
    pictures[0].save(
        tmp_path / "a.gif",
        save_all=True,
        append_images=pictures[1:],
        duration=[100, 250, 40],
        disposal=2,
    )
    return tmp_path / "a.gif"


@pytest.mark.parametrize(
    ("suffix", "options", "written"),
    [
        (".mp4", {"alpha": "drop"}, "gbrp"),
        (".mp4", {"alpha": "drop", "pixel_format": "yuv420p"}, "yuv420p"),
        (".mov", {}, "argb"),
        (".mkv", {}, "bgra"),
        (".webm", {"pixel_format": "yuva420p"}, "yuv420p"),
    ],
)
def test_gif_keeps_its_uneven_times(
    gif: Path, suffix: str, options: dict[str, str], written: str
) -> None:
    target = gif.with_suffix(suffix)
    upscaled(gif, target, **options)
    before, after = read_back(gif), read_back(target)
    assert after.stream["format"] == written
    assert after.stream["size"] == (48, 40)
    assert [time - after.times[0] for time in after.times] == before.times
    assert before.times == [0, Fraction(1, 10), Fraction(35, 100)]
    if suffix != ".mp4":
        alpha = frames_of(target)[1].planes[3]
        assert (alpha[16, 16] < 8, alpha[36, 40] > 247) == (True, True)


def test_animated_png_keeps_its_alpha(tmp_path: Path) -> None:
    clip = Clip(pixel_format="rgba", codec="apng", options={}, pts=(0, 1, 2))
    source = make_clip(tmp_path / "a.apng", clip)
    result = upscaled(source, tmp_path / "b.mov")
    assert (result.encoder, result.frames) == ("qtrle", 3)
    assert len(frames_of(tmp_path / "b.mov")[0].planes) == 4


def test_alpha_is_refused_where_it_would_be_lost(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mkv", Clip(pixel_format="bgra", **FFV1))
    with pytest.raises(ValueError, match=r"\.mp4 holds no alpha.*--alpha drop"):
        upscaled(source, tmp_path / "b.mp4")
    with pytest.raises(ValueError, match="yuv420p holds no alpha, which the input has"):
        upscaled(source, tmp_path / "b.mp4", pixel_format="yuv420p")
    upscaled(source, tmp_path / "b.mp4", alpha="drop")
    assert read_back(tmp_path / "b.mp4").stream["format"] == "gbrp"


UNEVEN = (3, 4, 7, 8, 20, 21, 22, 40, 41, 60)


@pytest.mark.parametrize(
    ("suffix", "codec", "pixel_format"),
    [
        (".mp4", "av1", "yuv420p"),
        (".webm", "av1", "yuv420p10le"),
        (".mkv", "ffv1", "yuv422p"),
        (".mov", "prores", "yuv422p10le"),
        (".mov", "qtrle", "bgra"),
        (".mov", "h264", "bgr0"),
    ],
)
@pytest.mark.parametrize("times", [UNEVEN, (0,), (0, 1), (5, 6, 7)])
def test_frame_times_are_kept_by_every_encoder(
    tmp_path: Path, suffix: str, codec: str, pixel_format: str, times: tuple[int, ...]
) -> None:
    tick = Fraction(1, 1000) * 40
    clip = Clip(pixel_format=pixel_format, **FFV1 | {"pts": times, "time_base": tick})
    source = make_clip(tmp_path / "a.mkv", clip)
    upscaled(source, tmp_path / f"b{suffix}", codec=codec)
    assert read_back(tmp_path / f"b{suffix}").times == read_back(source).times


def test_av1_says_nothing_on_the_terminal(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mkv", Clip(pts=(0, 1)))
    # In a process of its own: the encoder reads once how much it is to say.
    command = [sys.executable, "-m", "runtime.upscale", str(source), str(tmp_path / "b.mp4")]
    result = subprocess.run(
        [*command, "--codec", "av1", "--quiet"], capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("suffix", "codec", "colors"),
    [
        (suffix, codec, colors)
        for suffix, codec in [
            (".mkv", "h264"),
            (".mp4", "hevc"),
            (".mp4", "av1"),
            (".webm", "vp9"),
            (".mkv", "ffv1"),
        ]
        for colors in [(9, 9, 16, 1), (9, 9, 18, 1), (1, 1, 1, 2), (6, 5, 6, 1)]
    ],
)
def test_colour_tags_survive_every_encoder(
    tmp_path: Path, suffix: str, codec: str, colors: tuple[int, int, int, int]
) -> None:
    source = make_clip(tmp_path / "a.mkv", Clip(colors=colors, pts=(0, 1, 2)))
    upscaled(source, tmp_path / f"b{suffix}", codec=codec)
    assert read_back(tmp_path / f"b{suffix}").stream["colors"] == colors


def test_colour_tags_survive_prores(tmp_path: Path) -> None:
    clip = Clip(pixel_format="yuv422p10le", colors=(9, 9, 18, 1), **FFV1)
    source = make_clip(tmp_path / "a.mkv", clip)
    upscaled(source, tmp_path / "b.mov", codec="prores")
    assert read_back(tmp_path / "b.mov").stream["colors"] == (9, 9, 18, 1)


def test_jpeg_formats_stay_full_range(tmp_path: Path) -> None:
    clip = Clip(pixel_format="yuvj420p", codec="mjpeg", options={}, pts=(0, 1, 2))
    source = make_clip(tmp_path / "a.mkv", clip)
    result = upscaled(source, tmp_path / "b.mp4")
    assert read_back(tmp_path / "b.mp4").stream["colors"][3] == 2
    assert result.chroma_location == "center, by the custom of mjpeg"


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_chroma_location_that_the_user_names_is_written(tmp_path: Path, codec: str) -> None:
    """The sequence header is another for another location."""
    source = make_clip(tmp_path / "a.mp4", Clip(width=64, height=64))
    headers = []
    for location in (None, "left", "topleft"):
        what = VideoOptions(chroma_location=location)
        result = upscaled(source, tmp_path / f"{location}.mp4", what=what, codec=codec)
        reason = f"{location}, by --chroma-location" if location else "left, by the custom of h264"
        assert result.chroma_location == reason
        with av.open(str(tmp_path / f"{location}.mp4")) as container:
            headers.append(container.streams.video[0].codec_context.extradata)
    assert headers[1] != headers[2]
    assert headers[0] != headers[2]


@pytest.mark.parametrize(
    ("alpha", "wanted", "suffix"),
    [("drop", "yuv420p", ".mp4"), ("drop", "yuv444p10le", ".mkv"), ("keep", "yuva420p", ".webm")],
)
def test_rgb_becomes_yuv_on_demand_with_the_tags_that_it_was_made_by(
    tmp_path: Path, alpha: str, wanted: str, suffix: str
) -> None:
    source = make_clip(tmp_path / "a.mkv", Clip(pixel_format="bgra", **FFV1))
    result = upscaled(source, tmp_path / f"b{suffix}", alpha=alpha, pixel_format=wanted)
    expected = None if "444" in wanted else "left, by the custom of most codecs"
    assert result.chroma_location == expected
    frame = frames_of(tmp_path / f"b{suffix}")[0]
    assert frame.layout.planar_name == wanted
    assert read_back(tmp_path / f"b{suffix}").stream["colors"][::3] == (1, 1)
