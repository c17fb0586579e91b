"""A clip, and what was checked of it, in a few words."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from clip_check.facts import FULL_RANGE, ClipFacts, VideoFacts

IDENTITY = (1 << 16, 0, 0, 0, 1 << 16)


def what_it_is(clip: ClipFacts) -> str:
    """What is special about a clip."""
    video = clip.video
    times = [time for time in video.times if time is not None]
    steps = {round(float(b - a), 3) for a, b in pairwise(times)}
    is_constant = not steps or max(steps) - min(steps) <= 0.0015
    words = [f"{video.codec} {video.size[0]}x{video.size[1]}"]
    words.append(f"{len(times)} frames at {'a constant' if is_constant else 'a variable'} rate")
    if times and abs(times[0] - clip.start) > 0.002:
        words.append(f"pictures from {float(times[0] - clip.start):.3f} s on")
    words += _pixels(video)
    words += [_counted(kind, count) for kind, count in _kinds(clip).items()]
    if clip.chapters:
        words.append(_counted("chapter", len(clip.chapters)))
    return ", ".join(words)


def what_was_checked(clip: ClipFacts, psnr: float, worst: float) -> str:
    """Counts of what was compared; PSNR in dB of the reduced output, over all and at worst."""
    words = [f"{len(clip.video.times)} frames (pictures {psnr:.1f} dB, worst {worst:.1f})"]
    for kind in _kinds(clip):
        streams = [stream for stream in clip.others if stream.kind == kind]
        packets = " + ".join(str(len(stream.packets)) for stream in streams)
        words.append(f"{packets} packets of {kind}")
    return ", ".join([*words, "tags"])


def _pixels(video: VideoFacts) -> list[str]:
    look = video.look
    colours = f"colours {look['matrix']}/{look['primaries']}/{look['transfer']}"
    words = {
        f"{look['bit depth']} bits": look["bit depth"] != 8,
        str(look["colour model"]): look["colour model"] != "YUV",
        "interlaced": look["interlaced"],
        "alpha": look["alpha"],
        "full range": look["range"] == FULL_RANGE,
        colours: look["matrix"] != 2,
        f"pixels of {look['aspect'].numerator}:{look['aspect'].denominator}": look["aspect"] != 1,
        "turned": video.matrix and video.matrix[:5] != IDENTITY,
    }
    return [word for word, is_so in words.items() if is_so]


def _kinds(clip: ClipFacts) -> Counter[str]:
    return Counter(stream.kind for stream in clip.others)


def _counted(kind: str, count: int) -> str:
    return kind if count == 1 else f"{count} {kind}s" if kind == "chapter" else f"{count} {kind}"
