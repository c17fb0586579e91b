from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from video_support import Clip, NearestUpscaler, make_clip, read_back

from runtime.video import EncodeOptions, VideoInfo, VideoOptions, VideoReader, upscale_video
from runtime.video.color import ColorTags, Siting
from runtime.video.frame import Frame
from runtime.video.frame_upscaler import FrameUpscaler
from runtime.video.join import check_written
from runtime.video.pipeline import output_info
from runtime.video.pixels import LAYOUTS
from runtime.video.relay import StageLoad

FAST = EncodeOptions(preset="ultrafast")
LOSSLESS = EncodeOptions(crf=0, preset="ultrafast")
GAPS = {
    "pts": (3, 4, 7, 8, 20, 21, 22, 40, 41, 60),
    "durations": (1, 3, 1, 12, 1, 1, 18, 1, 19, 5),
}


def info(layout: str = "yuv420p", width: int = 16, height: int = 8) -> VideoInfo:
    return VideoInfo(
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


def leftovers(folder: Path, *known: str) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name not in known]


@pytest.mark.parametrize(
    ("suffix", "clip"),
    [
        (".mp4", Clip()),
        (".mp4", Clip(time_base=Fraction(1, 30), **GAPS)),
        (".mov", Clip(time_base=Fraction(1001, 30000), **GAPS)),
        (".m4v", Clip(time_base=Fraction(1, 90000), pts=(90001, 93004, 96007, 99010))),
        (".mp4", Clip(codec="libx265", options={"x265-params": "log-level=none"})),
        (".mkv", Clip(time_base=Fraction(1, 1000), **GAPS)),
        (".webm", Clip(codec="libvpx", options={}, time_base=Fraction(1, 1000), **GAPS)),
        (".mp4", Clip(pts=(5,))),
    ],
)
@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
def test_frame_times_are_kept_exactly(tmp_path: Path, suffix: str, clip: Clip, preset: str) -> None:
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    before = read_back(make_clip(source, clip))
    options = VideoOptions(encode=EncodeOptions(preset=preset))
    result = upscale_video(source, target, NearestUpscaler(), options)
    after = read_back(target)
    assert after.times == before.times
    assert after.stream["time_base"] == before.stream["time_base"]
    assert result.frames == len(clip.pts)


def test_durations_are_kept_where_the_container_stores_them(tmp_path: Path) -> None:
    source, target = tmp_path / "a.mkv", tmp_path / "b.mkv"
    before = read_back(make_clip(source, Clip(time_base=Fraction(1, 1000), **GAPS)))
    upscale_video(source, target, NearestUpscaler())
    assert read_back(target).durations == before.durations


def test_sound_and_subtitles_are_the_same_packets_at_the_same_times(tmp_path: Path) -> None:
    source, target = tmp_path / "a.mp4", tmp_path / "b.mp4"
    clip = Clip(has_audio=True, has_subtitles=True, pts=tuple(range(50)))
    before = read_back(make_clip(source, clip))
    upscale_video(source, target, NearestUpscaler(), VideoOptions(encode=FAST))
    after = read_back(target)
    assert len(before.packets[0]) > 90
    assert after.packets == before.packets
    assert after.times == before.times


def test_tags_aspect_rotation_chapters_and_metadata_are_kept(tmp_path: Path) -> None:
    source, target = tmp_path / "a.mp4", tmp_path / "b.mp4"
    clip = Clip(
        aspect=Fraction(64, 45),
        colors=(9, 9, 16, 1),
        rotation=-90,
        has_chapters=True,
        metadata={"title": "a film", "comment": "ä"},
    )
    before = read_back(make_clip(source, clip))
    result = upscale_video(source, target, NearestUpscaler(), VideoOptions(encode=FAST))
    after = read_back(target)
    assert after.stream == before.stream | {"size": (64, 48), "codec": "hevc"}
    assert (after.metadata["title"], after.metadata["comment"]) == ("a film", "ä")
    assert [
        (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"])
        for c in after.chapters
    ] == [(0, Fraction(1, 5), "one"), (Fraction(1, 5), Fraction(2, 5), "two")]
    assert result.notes == ()


@pytest.mark.parametrize(
    ("layout", "suffix", "encoder"),
    [
        ("yuv420p", ".mp4", "libx264"),
        ("yuv422p", ".mp4", "libx264"),
        ("yuv444p", ".mkv", "libx264"),
        ("yuv444p", ".webm", "libvpx-vp9"),
        ("yuv420p10le", ".mp4", "libx265"),
        ("yuv422p10le", ".mkv", "libx265"),
        ("yuv420p12le", ".mkv", "libx265"),
        ("yuv420p10le", ".m4v", "libx264"),
        ("gray10le", ".mkv", "libx265"),
    ],
)
def test_depth_and_chroma_format_are_kept(
    tmp_path: Path, layout: str, suffix: str, encoder: str
) -> None:
    source, target = tmp_path / "a.nut", tmp_path / f"b{suffix}"
    make_clip(source, Clip(codec="rawvideo", pixel_format=layout, options={}, pts=(0, 1, 2)))
    result = upscale_video(source, target, NearestUpscaler(3), VideoOptions(encode=FAST))
    after = read_back(target)
    assert after.stream["format"] == layout
    assert after.stream["size"] == (96, 72)
    assert result.encoder == encoder


@pytest.mark.parametrize("layout", ["nv12", "yuyv422"])
def test_interleaved_input_becomes_planar(tmp_path: Path, layout: str) -> None:
    source, target = tmp_path / "a.nut", tmp_path / "b.mp4"
    make_clip(source, Clip(codec="rawvideo", pixel_format=layout, options={}, pts=(0, 1)))
    upscale_video(source, target, NearestUpscaler(), VideoOptions(encode=FAST))
    assert read_back(target).stream["format"] == LAYOUTS[layout].planar_name


def test_every_frame_reaches_the_encoder_unchanged_and_in_order(tmp_path: Path) -> None:
    source, target = tmp_path / "a.mp4", tmp_path / "b.mp4"
    make_clip(source, Clip(pts=tuple(range(30))))
    upscale_video(source, target, NearestUpscaler(), VideoOptions(encode=LOSSLESS))
    with VideoReader(source) as before, VideoReader(target) as after:
        pairs = list(zip(before, after, strict=True))
    assert len(pairs) == 30
    for small, large in pairs:
        wanted = NearestUpscaler().upscale_luma(small.planes[0])
        np.testing.assert_array_equal(large.planes[0], wanted)


@pytest.mark.parametrize("size", [None, (96, 72)])
def test_upscaler_of_whole_frames_makes_the_chroma_unless_the_size_is_another(
    tmp_path: Path, size: tuple[int, int] | None
) -> None:
    source, target = tmp_path / "a.mp4", tmp_path / "b.mp4"
    make_clip(source, Clip())
    upscaler, options = NearestUpscaler(takes_frames=True), VideoOptions(size, LOSSLESS)
    upscale_video(source, target, upscaler, options)
    with VideoReader(source) as before, VideoReader(target) as after:
        pairs = list(zip(before, after, strict=True))
    for small, large in pairs:
        for plane, sr in zip(small.planes, large.planes, strict=True):
            repeated = upscaler.upscale_luma(plane)
            assert np.array_equal(sr, repeated) == (size is None)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("siting", [Siting(), Siting(False, False), Siting(True, True)])
@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p", "yuv444p"])
def test_chroma_stays_where_it_was_seen(scale: int, siting: Siting, layout: str) -> None:
    source = replace(info(layout, 64, 48), siting=siting)
    step_x, step_y = source.layout.subsampling

    def place(count: int, step: int, is_cosited: bool, unit: float) -> np.ndarray:
        """Centres of chroma samples in pixels of the source."""
        offset = 0.5 if is_cosited else step / 2
        return (np.arange(count) * step + offset) * unit

    def ramp(width: int, height: int, unit: float) -> np.ndarray:
        x = place(width, step_x, siting.is_left, unit)
        y = place(height, step_y, siting.is_top, unit)
        return 20 + 1.5 * x[None, :] + 2.0 * y[:, None]

    small = np.rint(ramp(64 // step_x, 48 // step_y, 1.0)).astype(np.uint8)
    frame = Frame((np.zeros((48, 64), np.uint8), small, small), source.layout, 0, 1, Fraction(1))
    work = FrameUpscaler(source, output_info(source, scale, VideoOptions()), NearestUpscaler(scale))
    _, (chroma, _) = work.prepare(frame)
    wanted = ramp(64 * scale // step_x, 48 * scale // step_y, 1 / scale)
    inside = (slice(4 * scale, -4 * scale), slice(4 * scale, -4 * scale))
    # A bicubic gives back a ramp exactly; what is left is rounding, twice.
    assert np.abs(chroma[inside] - wanted[inside]).max() <= 1.2


@pytest.mark.parametrize("size", [(33, 25), (1, 1), (161, 121)])
@pytest.mark.parametrize("scale", [2, 3])
def test_odd_sizes_give_planes_that_fit(size: tuple[int, int], scale: int) -> None:
    source = info("yuv420p", *size)
    target = output_info(source, scale, VideoOptions())
    chroma = np.full(source.layout.chroma_size(*size)[::-1], 77, np.uint8)
    frame = Frame(
        (np.zeros(size[::-1], np.uint8), chroma, chroma), source.layout, 0, 1, Fraction(1)
    )
    work = FrameUpscaler(source, target, NearestUpscaler(scale))
    _, planes = work.prepare(frame)
    assert planes[0].shape == target.layout.chroma_size(*target.size)[::-1]
    assert (planes[0] == 77).all()


def test_final_size_is_exact_and_keeps_the_display_shape(tmp_path: Path) -> None:
    source, target = tmp_path / "a.mp4", tmp_path / "b.mp4"
    make_clip(source, Clip(width=54, height=30, aspect=Fraction(1)))
    options = VideoOptions(size=(80, 60), encode=FAST)
    upscale_video(source, target, NearestUpscaler(), options)
    after = read_back(target)
    assert after.stream["size"] == (80, 60)
    assert after.stream["aspect"] * Fraction(80, 60) == Fraction(54, 30)


def test_untagged_matrix_is_noted_when_players_would_guess_another(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(pts=(0,)))
    options = VideoOptions(size=(1280, 720), encode=FAST)
    result = upscale_video(source, tmp_path / "b.mp4", NearestUpscaler(), options)
    assert "players take BT.601 for 32x24, BT.709 for 1280x720" in result.notes[0]
    named = replace(options, matrix=6)
    result = upscale_video(source, tmp_path / "c.mp4", NearestUpscaler(), named)
    assert result.notes == ()
    assert read_back(tmp_path / "c.mp4").stream["colors"][0] == 6


def test_matrix_of_a_tagged_input_is_never_changed() -> None:
    tagged = replace(info(), colors=ColorTags(matrix=1))
    assert output_info(tagged, 2, VideoOptions(matrix=6)).colors.matrix == 1


def test_container_that_cannot_hold_the_sound_is_refused(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(has_audio=True))
    with pytest.raises(ValueError, match=r"\.webm cannot hold audio stream \d \(aac\)"):
        upscale_video(source, tmp_path / "b.webm", NearestUpscaler())
    assert leftovers(tmp_path, "a.mp4") == []


def test_what_cannot_be_kept_is_noted(tmp_path: Path) -> None:
    clip = Clip(time_base=Fraction(1001, 30000), has_audio=True, has_subtitles=True)
    source = make_clip(tmp_path / "a.mp4", clip)
    options = VideoOptions(encode=FAST)
    result = upscale_video(source, tmp_path / "b.mkv", NearestUpscaler(), options)
    notes = "; ".join(result.notes)
    assert "cannot hold subtitle stream" in notes
    assert "all times moved by +0.021 s" in notes
    assert "counts time in 1/1000 s" in notes


class FailingUpscaler(NearestUpscaler):
    """Fails at the fifth frame."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error, self.count = error, 0

    def upscale_luma(self, plane: np.ndarray, *, bit_depth: int = 8) -> np.ndarray:
        self.count += 1
        if self.count == 5:
            raise self.error
        return super().upscale_luma(plane, bit_depth=bit_depth)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("engine lost")])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_failure_leaves_neither_output_nor_temporary_file(
    tmp_path: Path, error: BaseException, suffix: str
) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(pts=tuple(range(40)), has_audio=True))
    with pytest.raises(type(error)):
        upscale_video(source, tmp_path / f"b{suffix}", FailingUpscaler(error))
    assert leftovers(tmp_path, "a.mp4") == []


def test_failure_keeps_an_output_of_an_earlier_run(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip())
    (tmp_path / "b.mp4").write_text("precious")
    with pytest.raises(RuntimeError, match="engine lost"):
        upscale_video(source, tmp_path / "b.mp4", FailingUpscaler(RuntimeError("engine lost")))
    assert (tmp_path / "b.mp4").read_text() == "precious"
    assert leftovers(tmp_path, "a.mp4", "b.mp4") == []


def test_unwritable_folder_is_one_clear_error(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip())
    with pytest.raises(OSError, match=r"no \.mp4 file can be written to"):
        upscale_video(source, tmp_path / "missing" / "b.mp4", NearestUpscaler())


def test_full_disk_is_an_error(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    source = make_clip(tmp_path / "a.mp4", Clip(width=64, height=64, pts=tuple(range(60))))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises((OSError, ValueError)):
            upscale_video(source, tmp_path / "b.mp4", NearestUpscaler())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert leftovers(tmp_path, "a.mp4") == []


class Told:
    """What a progress was told."""

    def __init__(self) -> None:
        self.started: list[tuple[int | None, int, int]] = []
        self.frames = 0

    def start(self, source: VideoInfo, target: VideoInfo, resumed: int, load: StageLoad) -> None:
        self.started.append((source.frames, target.width, resumed))

    def advance(self) -> None:
        self.frames += 1


def test_progress_is_told_of_every_frame(tmp_path: Path) -> None:
    source, progress = make_clip(tmp_path / "a.mp4", Clip()), Told()
    result = upscale_video(source, tmp_path / "b.mp4", NearestUpscaler(), progress=progress)
    assert set(result.stages) == {"decode", "upscale", "encode"}
    assert all(0 < share <= 1 for share in result.stages.values())
    assert progress.started == [(12, 64, 0)]
    assert progress.frames == 12


def test_output_is_read_back_and_what_is_wrong_with_it_found(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(rotation=90, aspect=Fraction(4, 3)))
    upscale_video(source, tmp_path / "b.mp4", NearestUpscaler(), VideoOptions(encode=FAST))
    with VideoReader(tmp_path / "b.mp4") as reader:
        info, times = reader.info, [frame.pts for frame in reader]
    assert check_written(source, tmp_path / "b.mp4", info, times) == ()
    other = replace(info, aspect=Fraction(1), display_matrix=None, colors=ColorTags(matrix=9))
    (note,) = check_written(source, tmp_path / "b.mp4", other, times)
    assert note == ".mp4 does not keep matrix, sample aspect ratio, rotation of this video"
    with pytest.raises(RuntimeError, match="12 of 13 written frames"):
        check_written(source, tmp_path / "b.mp4", info, [*times, times[-1] + 512])
    with pytest.raises(RuntimeError, match=r"frame 12 reads back -0\.0400 s off its time"):
        check_written(source, tmp_path / "b.mp4", info, [*times[:-1], times[-1] + 512])
    with pytest.raises(RuntimeError, match="read back as 64x48 of 8 bits, not 64x50 of 8"):
        check_written(source, tmp_path / "b.mp4", replace(info, height=50), times)
