"""Differences between a clip and its upscaled copy, as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

from clip_check.boxes import tracks_of
from clip_check.facts import FREE_CLOCKS, ClipFacts, main_video, open_clip, read_facts
from clip_check.findings import Findings, tolerance
from clip_check.pictures import compare_pictures
from clip_check.streams import DEFAULT, compare_streams
from clip_check.summary import what_it_is, what_was_checked
from clip_check.tags import compare_tags

MICROSECOND = Fraction(1, 1_000_000)
# What a note on lost side data says.
SIDE_DATA_WORDS = {"STEREO3D": ("3d",)}


def compare_clips(
    source: Path,
    target: Path,
    *,
    scale: int = 2,
    notes: Sequence[str] = (),
) -> Findings:
    """Everything that differs though it should not. ValueError if a file cannot be read."""
    found = Findings(notes)
    shown = main_video(target)
    width, height = _size(target, shown)
    before = read_facts(source, main_video(source, (width // scale, height // scale)))
    after = read_facts(target, shown)
    shift = _compare_times(found, before, after)
    _compare_look(found, before, after, scale)
    compare_streams(found, before, after, shift)
    _compare_chapters(found, before, after, shift)
    compare_tags(found, "container", before.tags, after.tags)
    compare_tags(found, "video", before.video.tags, after.video.tags)
    _check_boxes(found, after)
    found.clip = what_it_is(before)
    if len(before.video.times) == len(after.video.times):
        shown_alike = compare_pictures(source, before.video.index, target, shown)
        found.wrong += shown_alike.lines
        found.checked = what_was_checked(after, shown_alike.psnr, shown_alike.worst)
    return found


def _size(path: Path, index: int) -> tuple[int, int]:
    with open_clip(path) as container:
        stream = container.streams[index]
        return stream.width, stream.height


def _compare_times(found: Findings, before: ClipFacts, after: ClipFacts) -> Fraction:
    """Compare the times of all frames; returns by how much all of the clip may move."""
    old, new = before.video, after.video
    if old.damaged or new.damaged:
        found.add(
            f"damaged packets or frames: {old.damaged} in the input, {new.damaged} in the output"
        )
    if len(old.times) != len(new.times):
        found.add(f"frames: {len(new.times)} of {len(old.times)}")
    if None in new.times:
        found.add("times: the output has frames without a time")
        return Fraction(0)
    if None in old.times:
        if set(old.times) != {None}:
            found.add("times: some frames of the input have none")
        return Fraction(0)
    pairs: list[tuple[Any, Any]] = list(zip(old.times, new.times, strict=False))
    wanted = -before.start if before.format in FREE_CLOCKS else Fraction(0)
    shift = wanted
    tick = tolerance(old.time_base, new.time_base)
    if wanted:
        tick += MICROSECOND  # to which FFmpeg tells where a clock starts
    if pairs and abs(pairs[0][1] - pairs[0][0] - wanted) > tick:
        shift = pairs[0][1] - pairs[0][0]
        text = f"times: all move by {float(shift - wanted):+.6f} s"
        found.add(text, "times", "move")
    off = [i for i, (a, b) in enumerate(pairs) if abs(b - a - shift) > tick]
    if off:
        a, b = pairs[off[0]]
        found.add(
            f"times: {len(off)} frames are off, first frame {off[0] + 1} by "
            f"{float(b - a - shift):+.6f} s"
        )
    apart = [b - a - shift for a in _ends(before) for b in _ends(after)]
    if apart and min(map(abs, apart)) > 2 * tick + Fraction(1, 1000):
        text = f"duration: the last frame ends {float(min(apart, key=abs)):+.6f} s off"
        found.add(text, "duration")
    return shift


def _ends(clip: ClipFacts) -> list[Fraction]:
    """When the last frame leaves the screen; several answers where an MP4 contradicts itself."""
    ends = [] if clip.video.end is None else [clip.video.end]
    if not clip.format.startswith("mov"):
        return ends
    with suppress(ValueError):  # boxes that FFmpeg gets along without
        shown = [track for track in tracks_of(clip.path) if track.handler == "vide"]
        order = [stream.index for stream in clip.others if stream.kind in ("video", "cover")]
        place = sum(index < clip.video.index for index in order)
        if place < len(shown):
            ends += [shown[place].end, shown[place].last]
    return ends


def _compare_look(found: Findings, before: ClipFacts, after: ClipFacts, scale: int) -> None:
    old, new = before.video, after.video
    wanted = (old.size[0] * scale, old.size[1] * scale)
    if new.size != wanted:
        found.add(f"size: {new.size} is not {wanted}")
    was_grey = old.look["colour model"] == "grey"
    is_grey = was_grey and new.neutral
    for name, value in old.look.items():
        if new.look[name] == value or (is_grey and name in ("colour model", "chroma")):
            continue
        if was_grey and name == "matrix":
            continue  # which says how chroma and luma mix
        if name == "aspect" and _is_rounded(value, new.look[name], "webm" in after.format):
            continue
        is_hdr = isinstance(value, bytes) or value is None
        words = SIDE_DATA_WORDS.get(name, ("hdr",)) if is_hdr else (name.split()[-1],)
        shown = [f"{len(v)} bytes" if isinstance(v, bytes) else v for v in (value, new.look[name])]
        found.add(f"{name}: {shown[1]}, was {shown[0]}", *words)
    if old.captioned != new.captioned:
        found.add(f"captions: in {new.captioned} frames, were in {old.captioned}", "caption")
    holds_shift = after.format.startswith("mov")
    _compare_matrix(found, old.matrix, new.matrix, scale if holds_shift else None)
    if old.disposition | DEFAULT != new.disposition | DEFAULT:
        text = f"video disposition: {new.disposition:#x}, was {old.disposition:#x}"
        found.add(text, "disposition")


def _is_rounded(old: Fraction, new: Fraction, to_pixels: bool) -> bool:
    """H.264 and HEVC have 16 bits for an aspect; Matroska rounds the shown size to pixels."""
    return abs(new / old - 1) * (64 if to_pixels else 30_000) < 1


def _compare_matrix(
    found: Findings, old: tuple[int, ...], new: tuple[int, ...], scale: int | None
) -> None:
    """Compare display matrices; with a scale also the shift, which Matroska cannot hold."""
    identity = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    old, new = old or identity, new or identity
    turn = (0, 1, 3, 4)
    is_turned = all(abs(old[i] - new[i]) <= 1 for i in turn) and old[8] == new[8]
    if not is_turned:
        found.add(f"rotation: matrix {new}, was {old}", "rotat")
    elif scale and any(abs(old[i] * scale - new[i]) > 1 << 16 for i in (6, 7)):
        found.add(f"rotation: shifted by {new[6:8]}, was {old[6:8]} at scale {scale}", "rotat")


def _compare_chapters(
    found: Findings, before: ClipFacts, after: ClipFacts, shift: Fraction
) -> None:
    if len(before.chapters) != len(after.chapters):
        text = f"chapters: {len(after.chapters)}, were {len(before.chapters)}"
        found.add(text, "chapter")
        return
    for number, (a, b) in enumerate(zip(before.chapters, after.chapters, strict=True), 1):
        off = max(abs(b[0] - a[0] - shift), abs(b[1] - a[1] - shift))
        if off > Fraction(1, 1000) or a[2] != b[2]:
            found.add(f"chapters: chapter {number} is {b}, was {a}", "chapter")


def _check_boxes(found: Findings, clip: ClipFacts) -> None:
    """By the standard an MP4 must show its frames when FFmpeg says."""
    if not clip.format.startswith("mov"):
        return
    shown = [track for track in tracks_of(clip.path) if track.handler == "vide"]
    if not shown:
        return
    times = sorted(time for time in clip.video.times if time is not None)
    by_boxes = sorted(shown[0].shown)
    if len(times) != len(by_boxes):
        found.add(f"edit list: shows {len(by_boxes)} of {len(times)} frames by the standard")
        return
    off = [
        float(b - a) for a, b in zip(times, by_boxes, strict=True) if abs(b - a) > shown[0].rounding
    ]
    if off:
        found.add(f"edit list: {len(off)} frames are off by the standard, first by {off[0]:+.6f} s")
