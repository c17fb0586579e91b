from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from video_support import read_back

from runtime.video import EncodeOptions, Frame, VideoInfo, VideoWriter
from runtime.video.color import ColorTags, Siting
from runtime.video.pixels import LAYOUTS

INFO = VideoInfo(
    width=32,
    height=32,
    layout=LAYOUTS["yuv420p"],
    codec="h264",
    time_base=Fraction(1, 25),
    rate=None,
    frames=None,
    aspect=None,
    colors=ColorTags(),
    siting=Siting(),
    display_matrix=None,
)


def frame(pts: int) -> Frame:
    planes = (
        np.full((32, 32), 10 * pts, np.uint8),
        np.full((16, 16), 100, np.uint8),
        np.full((16, 16), 150, np.uint8),
    )
    return Frame(planes, INFO.layout, pts, 1, INFO.time_base)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "h264"),
        ("a.mp4", "hevc"),
        ("a.mp4", "vp9"),
        ("a.mov", "auto"),
        ("a.mkv", "hevc"),
        ("a.webm", "auto"),
    ],
)
def test_few_frames_make_a_video(tmp_path: Path, name: str, codec: str, count: int) -> None:
    with VideoWriter(tmp_path / name, INFO, EncodeOptions(codec=codec)) as writer:
        for pts in range(count):
            writer.write(frame(pts))
    assert read_back(tmp_path / name).times == [Fraction(pts, 25) for pts in range(count)]


def test_hevc_in_mp4_carries_the_tag_that_all_players_take(tmp_path: Path) -> None:
    import av

    with VideoWriter(tmp_path / "a.mp4", INFO, EncodeOptions(codec="hevc")) as writer:
        writer.write(frame(0))
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"


def test_encoder_says_nothing_on_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for codec in ("h264", "hevc", "vp9"):
        with VideoWriter(tmp_path / f"{codec}.mp4", INFO, EncodeOptions(codec=codec)) as writer:
            writer.write(frame(0))
    assert capfd.readouterr() == ("", "")


def test_frame_that_goes_back_in_time_is_an_error(tmp_path: Path) -> None:
    def write() -> None:
        with VideoWriter(tmp_path / "a.mp4", INFO, EncodeOptions(preset="ultrafast")) as writer:
            for pts in (0, 5, 2, 3, 1):
                writer.write(frame(pts))

    with pytest.raises((ValueError, OSError)):
        write()


def test_size_that_the_encoder_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="libx265 takes no 8x8 yuv420p"):
        VideoWriter(
            tmp_path / "a.mp4", replace(INFO, width=8, height=8), EncodeOptions(codec="hevc")
        )
    assert list(tmp_path.iterdir()) == []


def test_crf_out_of_range_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"crf 60 is not in 0\.\.51 of h264"):
        VideoWriter(tmp_path / "a.mp4", INFO, EncodeOptions(crf=60))
    assert list(tmp_path.iterdir()) == []
