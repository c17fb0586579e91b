"""Whether text tags are kept."""

from __future__ import annotations

import re
from collections.abc import Mapping

from clip_check.findings import Findings

# What a muxer writes itself, or what was true of the first file alone.
OWN_TAGS = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "software", "duration"}
    | {"vendor_id", "alpha_mode", "filename", "mimetype"}
)
OWN_PREFIXES = ("bps", "number_of_", "_statistics_", "duration-")
# Written by FFmpeg where a track has none.
FILLERS = {
    "language": {"und"},
    "handler_name": {"VideoHandler", "SoundHandler", "SubtitleHandler", "TimeCodeHandler"},
}


def compare_tags(
    found: Findings, where: str, old: Mapping[str, str], new: Mapping[str, str]
) -> None:
    """Every tag of the input must be in the output, but for what a muxer writes itself."""
    after = {key.lower(): value for key, value in new.items()}
    # FFmpeg reads the title of an MP4 track as its name.
    after.setdefault("name", after.get("title", ""))
    after.setdefault("title", after["name"])
    for key, value in old.items():
        low = key.lower()
        is_own = low in OWN_TAGS or low.startswith(OWN_PREFIXES)
        if is_own or value in FILLERS.get(low, ()) or after.get(low) == value:
            continue
        if low == "creation_time" and (where != "container" or value.startswith("1970")):
            continue  # Matroska has one for all streams; 1970 is what FFmpeg reads from a 0
        if low == "location" and _numbers(value) == _numbers(after.get(low, "")):
            continue
        found.add(f"{where}: tag {key} is {after.get(low)!r}, was {value!r}", "tag", low)


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[+-][0-9.]+", text)]
