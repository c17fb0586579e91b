"""Whether copied streams are packet by packet what they were."""

from __future__ import annotations

from fractions import Fraction

from clip_check.facts import ClipFacts, Packet, StreamFacts
from clip_check.findings import Findings, tolerance
from clip_check.sounds import compare_sound
from clip_check.tags import compare_tags

DEFAULT = 1
ADTS_SYNC, ADTS_HEADER = b"\xff", 7


def compare_streams(found: Findings, before: ClipFacts, after: ClipFacts, shift: Fraction) -> None:
    """Compare all streams but the upscaled one, of each kind in their order."""
    kinds = dict.fromkeys(stream.kind for stream in (*before.others, *after.others))
    for kind in kinds:
        old = [stream for stream in before.others if stream.kind == kind]
        new = [stream for stream in after.others if stream.kind == kind]
        if kind == "data" and before.chapters and after.chapters:
            continue  # the track in which MP4 keeps its chapters
        if len(new) > len(old):
            found.add(f"{kind}: {len(new)} streams, were {len(old)}")
        if len(new) == len(old):
            for a, b in zip(old, new, strict=True):
                _compare_stream(found, a, b, shift)
                if kind == "audio" and a.codec == b.codec and _same(a, b):
                    for line in compare_sound(before.path, a.index, after.path, b.index):
                        found.add(f"audio stream {a.index} ({a.codec}): {line}")
            continue
        left = list(new)
        for stream in old:
            copy = next((s for s in left if s.codec == stream.codec and _same(stream, s)), None)
            if copy is None:
                word = "picture" if kind == "cover" else kind
                text = f"{kind} stream {stream.index} ({stream.codec}): missing"
                found.add(text, word, str(stream.index))
                continue
            left.remove(copy)
            _compare_stream(found, stream, copy, shift)


def _same(old: StreamFacts, new: StreamFacts) -> bool:
    return _payload(old) == _payload(new)


def _compare_stream(found: Findings, old: StreamFacts, new: StreamFacts, shift: Fraction) -> None:
    name = f"{old.kind} stream {old.index} ({old.codec})"
    if old.codec != new.codec and not (_is_mpeg(old.codec) and _is_mpeg(new.codec)):
        found.add(f"{name}: codec {new.codec}", old.kind, str(old.index))
        return
    if old.shape != new.shape:
        found.add(f"{name}: {new.shape}, was {old.shape}")
    compare_tags(found, name, old.tags, new.tags)
    if old.disposition | DEFAULT != new.disposition | DEFAULT or (
        # A default stream must stay one; MP4 makes the first of a kind the default.
        old.disposition & DEFAULT & ~new.disposition
    ):
        text = f"{name}: disposition {new.disposition:#x}, was {old.disposition:#x}"
        found.add(text, "disposition")
    tick = tolerance(old.time_base, new.time_base)
    if _payload(old) != _payload(new):
        found.add(f"{name}: {_payload_difference(old, new)}", old.kind, str(old.index))
        return
    if old.kind in ("attachment", "cover"):
        return
    if _is_regrouped(old.codec):
        pairs = [(_filled(old)[0], _filled(new)[0])] if _filled(old) else []
    else:
        pairs = list(zip(_filled(old), _filled(new), strict=True))
    off = [
        float(b.time - a.time - shift)
        for a, b in pairs
        if a.time is not None and (b.time is None or abs(b.time - a.time - shift) > tick)
    ]
    if off:
        found.add(f"{name}: {len(off)} of {len(pairs)} packets are off, first by {off[0]:+.6f} s")
    if old.kind == "subtitle":
        wrong = [a for a, b in pairs if a.duration and abs(a.duration - b.duration) > 2 * tick]
        if wrong:
            found.add(f"{name}: {len(wrong)} packets have other durations")


def _is_mpeg(codec: str) -> bool:
    """MPEG audio: MP4 has one name for all its layers."""
    return codec.startswith(("mp1", "mp2", "mp3"))


def _is_regrouped(codec: str) -> bool:
    """Samples of fixed length, which demuxers cut into packets as they like."""
    return codec.startswith(("pcm_", "adpcm_"))


def _filled(stream: StreamFacts) -> list[Packet]:
    """Packets with content; MP4 fills the gaps between subtitles with empty ones."""
    if stream.codec == "mov_text":
        return [packet for packet in stream.packets if len(packet.data) > 2]
    return [packet for packet in stream.packets if packet.data]


def _payload(stream: StreamFacts) -> list[bytes]:
    packets = [packet.data for packet in _filled(stream)]
    if _is_regrouped(stream.codec):
        return [b"".join(packets)]
    if stream.codec == "aac" and all(d[:1] == ADTS_SYNC and d[1] >> 4 == 15 for d in packets):
        return [data[ADTS_HEADER:] for data in packets]
    return packets


def _payload_difference(old: StreamFacts, new: StreamFacts) -> str:
    a, b = _payload(old), _payload(new)
    if len(a) != len(b):
        return f"{len(b)} packets, were {len(a)}"
    differing = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
    return f"{len(differing)} packets hold other bytes, first packet {differing[0] + 1}"
