"""What fails in the zoo of clips today, and how its tests run the program."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from runtime import upscale

# What is wrong today, by name of the case.
CLOCK = "the clock of MPEG-TS and PS, which starts anywhere, is kept: a player shows nothing first"
COVER = "cover pictures are dropped though the container holds them"
TITLE = "the title of an MP4 track is read as 'name', which the MP4 muxer does not write"
TAGS = "tags that MP4 has no place for are dropped without a line"
KNOWN: dict[str, str] = {
    **dict.fromkeys(("ts", "ts-to-mkv", "ts-late", "ts-mpeg2", "mpg", "mpg-vob"), CLOCK),
    **dict.fromkeys(("cover-mkv", "cover-mp4", "cover-mp4-to-mkv", "cover-mkv-to-mp4"), COVER),
    **dict.fromkeys(("two-aac", "video-title-mp4"), TITLE),
    **dict.fromkeys(("own-tags-to-mp4", "own-tags-mp4"), TAGS),
    "late-sound-mkv-to-mp4": "the movie's clock has no tick for sound of 44.1 kHz: 1 ms early",
    "alac-mkv-to-mp4": "packets without a duration: the edit list ends before the last one",
    "titles-to-m4v": "the titles of tracks are dropped without a line",
    **dict.fromkeys(("tags-to-mov", "phone-tags-to-mp4"), TAGS),
    "languages-to-mov": "QuickTime's table knows ger, not deu; the language is dropped",
    "forced-text-to-mov": "the disposition 'forced' is dropped without a line",
    "pcm_s16le-to.mp4": "fails when the file is finished, without a word of the sound",
    "pcm_f32le-to.mp4": "fails when the file is finished, without a word of the sound",
    "libopus-to.mov": "the line says that no file can be written, not that it is the sound",
    "flac-to.mov": "the line says that no file can be written, not that it is the sound",
    "stereo": "the frame packing of 3D video is dropped without a line",
    "ts-beheaded": CLOCK,
    "chapters-mp4-to-mkv": "chapters stay where they are when all streams move",
    "aspect-wide": "ZeroDivisionError: output_aspect divides by an aspect rounded to 0",
    "aspect-tall": "an aspect rounded to 0 is dropped without a line",
    "alpha-vp9": "the alpha of VP8 and VP9 is dropped without a line",
    "mkv-cut-0.9-stop": "a Matroska file that lacks less than a second passes as whole",
    "mkv-cut-0.9-skip": "a Matroska file that lacks less than a second passes as whole",
    **{
        f"{codec}-hole-{on_error}": "packets that give no frame are not missed"
        for codec in ("mpeg2", "vp9")
        for on_error in ("stop", "skip")
    },
    "kept-h264": "frames are kept that were predicted from a damaged one",
    "kept-mpeg4": "frames are kept that were predicted from a damaged one",
    "avi-cut-skip": "no note says that an AVI ends before its header promises",
    "concat-file-stop": "a list of other files is followed",
    "concat-file-skip": "a list of other files is followed",
    "concat-itself-stop": "a list of itself is followed until no file can be opened",
    "concat-itself-skip": "a list of itself is followed until no file can be opened",
    "fifo": "a pipe is waited for without end",
}


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON object and stderr."""
    code = upscale.main(["--json", "--preset", "ultrafast", *(str(arg) for arg in args)])
    out, err = capsys.readouterr()
    return code, json.loads(out.splitlines()[-1]) if out else {}, err


def assert_refused(code: int, err: str, target: Path) -> None:
    assert code == 1
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert list(target.parent.iterdir()) == []


def marked(names: Iterable[str]) -> list[Any]:
    waits = {"fifo": [pytest.mark.slow]}
    return [
        pytest.param(
            name, marks=[pytest.mark.xfail(strict=True, reason=KNOWN[name]), *waits.get(name, [])]
        )
        if name in KNOWN
        else pytest.param(name)
        for name in names
    ]
