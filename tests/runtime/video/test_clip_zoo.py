"""Clips of every kind through ``runtime.upscale``: the right output, or one clear line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from clip_cases import GOOD, MATROSKA, MAY_BE_REFUSED
from clip_check.compare import compare_clips
from clip_check.facts import read_facts
from clip_zoo import Sound, Spec, make
from zoo_findings import assert_refused, marked, run


@pytest.mark.parametrize("name", marked(GOOD))
def test_clip_comes_out_right(
    tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    case = GOOD[name]
    source = make(tmp_path, case.spec)
    if case.change:
        source = case.change(source)
    target = target.with_suffix(case.target)
    code, result, err = run(capsys, *case.options, source, target)
    if code and name in MAY_BE_REFUSED:
        assert_refused(code, err, target)
        return
    assert (code, err) == (0, "")
    assert result["frames"] == len(read_facts(target, 0).video.times)
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert compare_clips(source, target, notes=result["notes"]).wrong == []


AUDIO = ("aac", "libopus", "vorbis", "flac", "libmp3lame", "ac3", "eac3", "mp2", "pcm_s16le")
AUDIO += ("pcm_f32le", "wavpack", "tta")


@pytest.mark.parametrize(
    "name", marked(f"{codec}-to{s}" for codec in AUDIO for s in (".mp4", ".m4v", ".mov", ".webm"))
)
def test_sound_is_copied_or_the_line_says_that_it_cannot_be(
    tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    codec, suffix = name.split("-to")
    source = make(tmp_path, replace(MATROSKA, sounds=(Sound(codec, "eng", layout="stereo"),)))
    target = target.with_suffix(suffix)
    code, result, err = run(capsys, source, target)
    if code:
        assert_refused(code, err, target)
        assert f"{suffix} cannot hold audio stream 1" in err
        return
    assert compare_clips(source, target, notes=result["notes"]).wrong == []


@pytest.mark.parametrize(
    "name", ["http:a", "a%d", "-a", "\u00e4 [1] 'x'", "a#b?c", "concat:a|b", "a" * 200]
)
def test_odd_file_names(
    tmp_path: Path,
    target: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    make(tmp_path, Spec(pts=(0, 1))).rename(tmp_path / f"{name}.mp4")
    monkeypatch.chdir(tmp_path)
    target = target.with_name(f"{name}.mkv")
    code, result, err = run(capsys, "--", f"{name}.mp4", target)
    assert (code, err) == (0, "")
    found = compare_clips(tmp_path / f"{name}.mp4", target, notes=result["notes"])
    assert found.wrong == []
