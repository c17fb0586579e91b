"""Finished segments and the other streams of the source, put together to the output."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from runtime.atomic import beside
from runtime.video.color import RANGE_FULL, UNSPECIFIED
from runtime.video.encoder import EncodeOptions
from runtime.video.journal import Journal
from runtime.video.probe import VideoInfo, probe
from runtime.video.source import SourceFile, labels_of, packet_time
from runtime.video.writer import VideoWriter

MAX_ROUNDING_S = Fraction(1, 1000)
# How one container calls what another has elsewhere, or what says nothing of the content.
UNTOLD_LABELS = frozenset(
    {"tag handler_name", "tag name", "tag alpha_mode", "tag filename", "tag mimetype"}
    | {"disposition default", "disposition attached_pic"}
)
MAX_ASPECT_ERROR = 1e-3


def join_segments(
    journal: Journal, source: Path, target: Path, info: VideoInfo, options: EncodeOptions
) -> tuple[str, ...]:
    """Write ``target`` from a complete journal; returns what a viewer should know about it.

    Raises OSError if it cannot be written, ValueError if the segments do not fit together.
    """
    with (
        SourceFile(source) as input_file,
        VideoWriter(target, info, options, source=input_file) as writer,
    ):
        _check_headers(journal, writer)
        copies = input_file.packets(writer.copied)
        following = next(copies, None)
        for packet, dts in zip(journal.packets(), decoding_times(journal.times()), strict=True):
            while following is not None and packet_time(following) <= dts * info.time_base:
                writer.copy([following])
                following = next(copies, None)
            writer.write_encoded(packet, dts)
        if following is not None:
            writer.copy([following])
        writer.copy(copies)
        return tuple(writer.notes)


def check_writable(source: Path, target: Path, info: VideoInfo, options: EncodeOptions) -> None:
    """Raise what would keep :func:`join_segments` from writing ``target``, before any work."""
    trial = beside(target, "trial")
    try:
        with SourceFile(source) as input_file:
            VideoWriter(trial, info, options, source=input_file).abandon()
    finally:
        trial.unlink(missing_ok=True)


def check_written(
    source: Path, target: Path, info: VideoInfo, times: Sequence[int]
) -> tuple[str, ...]:
    """Read a finished file back; returns notes on what it does not keep of ``source``.

    ``times`` are those of all frames, in order. Raises RuntimeError if frames are missing, or have
    another size or other times than the container's rounding explains.
    """
    written, shown = probe(target), _packet_times(target)
    if len(shown) != len(times):
        raise RuntimeError(f"{len(shown)} of {len(times)} written frames can be read back")
    tick = written.time_base
    for place, pts in enumerate(times):
        late = (shown[place] - shown[0]) * tick - (pts - times[0]) * info.time_base
        if abs(late) > tick:
            raise RuntimeError(f"frame {place + 1} reads back {float(late):+.4f} s off its time")
    if written.size != info.size or written.layout.bit_depth < info.layout.bit_depth:
        raise RuntimeError(
            f"frames read back as {written.width}x{written.height} of {written.layout.bit_depth} "
            f"bits, not {info.width}x{info.height} of {info.layout.bit_depth}"
        )
    with SourceFile(source) as before, SourceFile(target) as after:
        lost = _lost_labels(before, after, target.suffix)
        start = info.start + (before.time_shift(target.suffix) if before.has_clock else 0)
    lost += [name for name, kept in _kept_tags(info, written).items() if not kept]
    moved = written.start - start
    notes = [f"{target.suffix} does not keep {', '.join(lost)} of this video"] if lost else []
    if abs(moved) > MAX_ROUNDING_S:
        # A lead-in of the sound; MP4 hides it by an edit list, Matroska cannot.
        notes.append(
            f"all times moved by {float(moved):+.3f} s, as a copied stream begins before 0, which "
            "this container cannot hold; write .mp4 to keep them"
        )
    return tuple(notes)


def _packet_times(path: Path) -> list[int]:
    """Times of the packets of the main stream, in order."""
    with SourceFile(path) as file:
        return sorted(packet.pts or 0 for packet in file.packets({file.main.index}))


def _lost_labels(before: SourceFile, after: SourceFile, suffix: str) -> list[str]:
    """Tags of the file and of its streams, and marks of streams, that are not in the output."""
    tags = ({f"tag {key}": "" for key in file.tags()} for file in (after, before))
    lost = [f"the {name}" for name in _missing_from(*tags)]
    pairs = [(item.type, item) for item in before.carried(suffix)]
    for kind in ("video", "audio", "subtitle"):
        sources = [item for found, item in pairs if found == kind]
        targets = [item for item in after.carried(suffix) if item.type == kind]
        if len(sources) == len(targets):
            for source, target in zip(sources, targets, strict=True):
                names = _missing_from(labels_of(target), labels_of(source))
                lost += [f"the {name} of {kind} stream {source.index}" for name in names]
    return lost


def _missing_from(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    known = {key.lower() for key in found}
    told = {key for key, value in wanted.items() if value != "und"}
    return [key for key in wanted if key in told and key.lower() not in known | UNTOLD_LABELS]


def _kept_tags(info: VideoInfo, written: VideoInfo) -> dict[str, bool]:
    """Whether what was asked for is in the file, by the name of the tag."""
    wanted, found = info.colors, written.colors
    kept = {
        name: getattr(wanted, name) in (UNSPECIFIED, getattr(found, name))
        for name in ("matrix", "primaries", "transfer")
    }
    # Limited is what a decoder takes without a tag.
    kept["range"] = (wanted.sample_range == RANGE_FULL) == (found.sample_range == RANGE_FULL)
    aspect, aspect_found = info.aspect or Fraction(1), written.aspect or Fraction(1)
    kept["sample aspect ratio"] = abs(aspect_found / aspect - 1) < MAX_ASPECT_ERROR
    kept["rotation"] = info.display_matrix == written.display_matrix
    return kept


def decoding_times(order: Sequence[int]) -> Iterator[int]:
    """Decoding times for packets whose times are given in the order of decoding.

    Each is the time of the frame that is shown as many frames earlier as the deepest reordering
    needs, so that they grow and none is after the time of its own frame.
    """
    shown = sorted(order)
    depth = max((place - bisect_left(shown, pts) for place, pts in enumerate(order)), default=0)
    lead = shown[min(depth, len(shown) - 1)] - shown[0] if shown else 0
    yield from (pts - lead for pts in shown[:depth])
    yield from shown[: len(shown) - depth]


def _check_headers(journal: Journal, writer: VideoWriter) -> None:
    """Players take one header for the whole video."""
    for number, end in journal.finished().items():
        if end.frames and end.extradata != writer.extradata:
            raise ValueError(
                f"segment {number} of {journal.path} was encoded with other settings than this "
                f"{writer.encoder} has; pass --overwrite to begin anew"
            )
