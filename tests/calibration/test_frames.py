from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures_support import synthetic_luma, write_pictures

from calibration.frames import DEFAULT_FRAMES, load_calibration_frames
from edge_sr.data.color import luma_of
from edge_sr.data.image_io import read_image, write_image


def test_default_set_needs_no_argument_and_is_attributed() -> None:
    frames = load_calibration_frames(None, scale=2)
    assert len(frames.calibrate) >= 12
    assert len(frames.hold_out) >= 4
    attribution = (DEFAULT_FRAMES / "ATTRIBUTION.md").read_text()
    for name, frame in (*frames.calibrate, *frames.hold_out):
        assert f"`{name}`" in attribution
        assert frame.dtype == np.uint8


def test_every_fourth_picture_is_held_out_and_cropped_to_the_scale(tmp_path: Path) -> None:
    write_pictures(tmp_path, 8, height=100, width=101)
    frames = load_calibration_frames(tmp_path, scale=3)
    assert [name for name, _ in frames.hold_out] == ["03.png", "07.png"]
    assert [frame.shape for _, frame in frames.hold_out] == [(99, 99), (99, 99)]
    assert [name for name, _ in frames.calibrate][:4] == ["00.png", "01.png", "02.png", "04.png"]
    assert frames.calibrate[0][1].shape == (100, 101)


def test_colour_pictures_give_their_rounded_luminance(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    frame = load_calibration_frames(tmp_path, scale=1).calibrate[0][1]
    np.testing.assert_array_equal(frame, np.rint(luma_of(read_image(tmp_path / "00.png"))))


def test_digest_follows_the_content(tmp_path: Path) -> None:
    write_pictures(tmp_path, 3)
    before = load_calibration_frames(tmp_path, scale=2).digest
    assert load_calibration_frames(tmp_path, scale=2).digest == before
    write_image(tmp_path / "00.png", synthetic_luma(64, 72, seed=9))
    assert load_calibration_frames(tmp_path, scale=2).digest != before


def test_video_gives_its_luma_planes(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 80, "yuv420p"
        planes = [synthetic_luma(80, 96, seed=i) for i in range(6)]
        for plane in planes:
            grey = np.full((40, 96), 128, np.uint8)
            frame = av.VideoFrame.from_ndarray(np.vstack([plane, grey]), format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames = load_calibration_frames(tmp_path / "clip.mkv", scale=2)
    np.testing.assert_array_equal(frames.calibrate[0][1], planes[0])
    np.testing.assert_array_equal(frames.hold_out[0][1], planes[3])


def test_source_without_frames_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_calibration_frames(tmp_path / "none", scale=2)
    with pytest.raises(ValueError, match="holds no picture"):
        load_calibration_frames(tmp_path, scale=2)
    (tmp_path / "x.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"x\.mp4 is not a video"):
        load_calibration_frames(tmp_path / "x.mp4", scale=2)
    write_image(tmp_path / "a.png", synthetic_luma(80, 80))
    with pytest.raises(ValueError, match="at least 2 are needed"):
        load_calibration_frames(tmp_path, scale=2)
    with pytest.raises(ValueError, match="is one picture"):
        load_calibration_frames(tmp_path / "a.png", scale=2)


def test_pictures_that_are_too_small_are_named(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2, height=40, width=40)
    with pytest.raises(ValueError, match=r"00\.png is smaller than 64 px"):
        load_calibration_frames(tmp_path, scale=2)


def test_only_the_centre_of_a_large_picture_is_used(tmp_path: Path) -> None:
    wide = np.tile(np.arange(1400) % 251, (70, 1)).astype(np.uint8)
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.png", wide)
    frame = load_calibration_frames(tmp_path, scale=2).calibrate[0][1]
    np.testing.assert_array_equal(frame, wide[:, 188:1212])


def test_rgb_frames_are_the_pictures_in_colour(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2, height=66, width=70)
    write_image(tmp_path / "01b.png", synthetic_luma(66, 70))
    deep = read_image(tmp_path / "00.png").astype(np.uint16) * 257
    write_image(tmp_path / "00b.png", deep)
    frames = load_calibration_frames(tmp_path, scale=2, channels="rgb")
    first, second, third = (frame for _, frame in frames.calibrate)
    np.testing.assert_array_equal(first, read_image(tmp_path / "00.png"))
    np.testing.assert_array_equal(second, first)
    assert third.shape == (66, 70, 3)
    ((name, held_out),) = frames.hold_out
    assert name == "01b.png"
    np.testing.assert_array_equal(held_out, np.dstack([synthetic_luma(66, 70)] * 3))
    assert frames.digest != load_calibration_frames(tmp_path, scale=2).digest


def test_video_gives_rgb_frames_by_its_own_matrix(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 80, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = 6, 1
        for _ in range(4):
            planes = [np.full((80, 96), value, np.uint8) for value in (81, 90, 240)]
            frame = av.VideoFrame.from_ndarray(np.stack(planes), format="yuv444p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frame = load_calibration_frames(tmp_path / "clip.mkv", scale=2, channels="rgb").calibrate[0][1]
    assert frame.shape == (80, 96, 3)
    # BT.601's limited-range red.
    assert np.abs(frame.astype(int) - (255, 0, 0)).max() <= 2
