from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
import video_clips
from clip_check.boxes import tracks_of
from clip_check.compare import compare_clips
from clip_surgery import move_edit, patch
from clip_zoo import PARAMETER_SETS, Sound, Spec, Text, make

CLIP = Spec(
    sounds=(Sound(language="eng"), Sound("libmp3lame", "deu", disposition=8)),
    texts=(Text("mov_text", "eng"),),
    chapters=((0, 200, "one"), (200, 400, "two")),
    tags={"title": "a film"},
    aspect=Fraction(4, 3),
    colors=(1, 1, 1, 1),
    matrix=(0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30),
    options=PARAMETER_SETS | {"bf": "0"},
)
Frames = list[Any]
Packets = list[Any]


def enlarged(
    source: Path,
    spec: Spec = CLIP,
    *,
    change_frames: Callable[[Frames], Frames] = lambda frames: frames,
    change_packets: Callable[[Packets], Packets] = lambda packets: packets,
    left_out: int | None = None,
) -> Path:
    """A copy twice as large, of which ``spec`` says what a muxer is told."""
    target = source.with_name(f"out{spec.suffix}")
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        main, carried = old.streams.video[0], [*old.streams.audio, *old.streams.subtitles]
        languages = [given.language for given in (*spec.sounds, *spec.texts)]
        others = [s for s in carried if s.index != left_out]
        video = new.add_stream("libx264", rate=25, options={"crf": "5", "bf": "0"})
        context = video.codec_context
        context.width, context.height, context.pix_fmt = main.width * 2, main.height * 2, "yuv420p"
        context.time_base = video.time_base = main.time_base
        context.sample_aspect_ratio = spec.aspect
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = (
            spec.colors
        )
        video.set_display_matrix(
            [*spec.matrix[:6], 2 * spec.matrix[6], 2 * spec.matrix[7], 1 << 30]
        )
        video.metadata.update(main.metadata)
        new.metadata.update(spec.tags)
        new.set_chapters(old.chapters()[: len(spec.chapters)])
        copies = {s.index: new.add_stream_from_template(s) for s in others}
        for stream in others:
            copies[stream.index].metadata["language"] = languages[carried.index(stream)]
            copies[stream.index].disposition = stream.disposition
        packets = [p for p in old.demux(others) if p.dts is not None]
        for packet in change_packets(packets):
            packet.stream = copies[packet.stream.index]
            new.mux(packet)
        old.seek(0)
        for frame in change_frames(list(old.decode(main))):
            larger = frame.reformat(width=main.width * 2, height=main.height * 2)
            larger.pts, larger.time_base, larger.pict_type = frame.pts, main.time_base, 0
            new.mux(video.encode(larger))
        new.mux(video.encode(None))
    return target


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path, CLIP)


def found(source: Path, target: Path, *notes: str) -> str:
    return "; ".join(compare_clips(source, target, notes=notes).wrong)


def test_a_faithful_copy_is_right(source: Path) -> None:
    assert found(source, enlarged(source)) == ""


def without(index: int) -> Callable[[list[Any]], list[Any]]:
    return lambda items: items[:index] + items[index + 1 :]


def swapped(frames: Frames) -> Frames:
    frames[3].pts, frames[4].pts = frames[4].pts, frames[3].pts
    frames[3], frames[4] = frames[4], frames[3]
    return frames


def repeated(frames: Frames) -> Frames:
    copy = av.VideoFrame.from_ndarray(frames[3].to_ndarray(), format="yuv420p")
    copy.pts = frames[4].pts
    return [*frames[:4], copy, *frames[5:]]


def one_late(frames: Frames) -> Frames:
    frames[5].pts += 1
    return frames


def all_late(frames: Frames) -> Frames:
    for frame in frames:
        frame.pts += 512
    return frames


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (without(4), "frames: 9 of 10"),
        (without(9), "frames: 9 of 10"),
        (swapped, "2 frames show a neighbour, first frame 4"),
        (repeated, "1 frames show a neighbour, first frame 5"),
        (one_late, "1 frames are off, first frame 6 by +0.000078 s"),
        (all_late, "times: all move by +0.040000 s"),
    ],
)
def test_wrong_frames_are_found(source: Path, change: Any, expected: str) -> None:
    assert expected in found(source, enlarged(source, change_frames=change))


def late_sound(packets: Packets) -> Packets:
    for packet in packets:
        if packet.stream.type == "audio":
            packet.pts += 48
            packet.dts += 48
    return packets


def other_bytes(packets: Packets) -> Packets:
    changed = av.Packet(bytes(packets[6])[:-1] + b"?")
    for name in ("stream", "time_base", "pts", "dts", "duration"):
        setattr(changed, name, getattr(packets[6], name))
    return [*packets[:6], changed, *packets[7:]]


def test_sound_whose_header_is_another_is_found(source: Path) -> None:
    target = enlarged(source)
    assert found(source, target) == ""
    # AudioSpecificConfig: AAC LC, 48 kHz, one channel; then 44.1 kHz.
    patch(target, lambda data: put(data, b"\x05\x80\x80\x80\x05\x11\x88", 5, b"\x12\x08"))
    assert "audio stream 1 (aac)" in found(source, target)


def put(data: bytearray, mark: bytes, place: int, new: bytes) -> None:
    start = data.index(mark) + place
    data[start : start + len(new)] = new


def without_last_text(packets: Packets) -> Packets:
    last = [i for i, p in enumerate(packets) if p.stream.type == "subtitle" and p.size > 2][-1]
    return without(last)(packets)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (without(6), "packets, were"),
        (other_bytes, "1 packets hold other bytes"),
        (late_sound, "packets are off, first by +0.001000 s"),
        (without_last_text, "subtitle stream 3 (mov_text): 1 packets, were 2"),
    ],
)
def test_wrong_packets_are_found(source: Path, change: Any, expected: str) -> None:
    assert expected in found(source, enlarged(source, change_packets=change))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tags": {}}, "container: tag title is '', was 'a film'"),
        ({"colors": (1, 1, 1, 2)}, "range: 2, was 1"),
        ({"colors": (6, 1, 1, 1)}, "matrix: 6, was 1"),
        ({"aspect": Fraction(1)}, "aspect: 1, was 4/3"),
        ({"matrix": (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)}, "rotation: matrix"),
        ({"chapters": ((0, 200, "one"),)}, "chapters: 1, were 2"),
        ({"sounds": (Sound(language="fra"), CLIP.sounds[1])}, "language is 'fra', was 'eng'"),
    ],
)
def test_wrong_tags_are_found(source: Path, change: dict[str, Any], expected: str) -> None:
    assert expected in found(source, enlarged(source, replace(CLIP, **change)))


def test_a_lost_stream_is_found_unless_a_note_names_it(source: Path) -> None:
    target = enlarged(source, left_out=2)
    assert "audio stream 2 (mp3float): missing" in found(source, target)
    assert "audio stream 2 (mp3float): missing" in found(source, target, "subtitle stream 2")
    assert found(source, target, ".mp4 cannot hold audio stream 2 (mp3): left out") == ""


def test_edit_list_counts_by_the_standard(tmp_path: Path) -> None:
    path = make(tmp_path, Spec(options=PARAMETER_SETS | {"bf": "0"}))
    assert [float(time) for time in tracks_of(path)[0].shown] == [i / 25 for i in range(10)]
    (track,) = tracks_of(patch(path, move_edit(3, 512)))
    assert track.shown == tuple(Fraction(i, 25) for i in range(7))
    assert track.last == Fraction(7, 25)


class Answer:
    """A stand-in for the program."""

    def __init__(self, code: int = 0, out: str = "", err: str = "", *files: str) -> None:
        self.returncode, self.stdout, self.stderr, self.files = code, out, err, files

    def __call__(self, command: list[str], **options: Any) -> Answer:
        for name in self.files:
            (Path(command[4]).parent / name).write_bytes(b"x")
        return self


@pytest.mark.parametrize(
    ("answer", "result", "line"),
    [
        (Answer(1, "", "error: no\n"), "REFUSED", "error: no"),
        (Answer(1, "", "note: hm\nerror: no\n"), "REFUSED", "error: no"),
        (Answer(1, "", "error: no\nerror: no\n"), "WRONG", "one line"),
        (Answer(1, "", ""), "WRONG", "one line"),
        (Answer(1, "", "Traceback\nerror: no\n"), "WRONG", "other lines"),
        (Answer(-11, "", "error: no\n"), "WRONG", "exit code -11"),
        (Answer(1, "", "error: no\n", "out.mp4"), "WRONG", "files are left: out.mp4"),
        (Answer(1, "", "error: no\n", ".out.partial.mp4"), "WRONG", "files are left"),
        (Answer(0, "{}", ""), "WRONG", "the files are []"),
        (Answer(0, '{"notes": []}', "", "out.mp4"), "WRONG", "exit code 0, but"),
    ],
)
def test_how_a_program_ends_is_judged(
    source: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer, result: str, line: str
) -> None:
    monkeypatch.setattr(subprocess, "run", answer)
    checked = video_clips.check_clip(source, ".mp4")
    assert (checked.result, line in checked.lines[0]) == (result, True)


def test_a_folder_is_checked_with_the_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    make(clips, Spec(), "good")
    (clips / "bad.mp4").touch()
    (clips / "readme.txt").touch()
    table, record = tmp_path / "table.md", tmp_path / "record.json"
    arguments = [str(clips), "--markdown", str(table), "--out", str(record), "--suffix", ".mkv"]
    assert video_clips.main(arguments) == 0
    rows = {clip["clip"]: clip for clip in json.loads(record.read_text())["clips"]}
    assert (rows["good.mp4"]["result"], rows["good.mp4"]["lines"]) == ("OK", [])
    assert rows["bad.mp4"]["result"] == "REFUSED"
    assert "| bad.mp4 |  | .mkv | REFUSED | error: " in table.read_text()
    row = "| good.mp4 | h264 64x48, 10 frames at a constant rate | .mkv | OK | 10 frames (pictures "
    assert row in capsys.readouterr().out


def test_a_folder_without_clips_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert video_clips.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path} holds no clip\n"
