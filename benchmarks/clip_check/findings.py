"""What a comparison found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass
class Findings:
    """What differs, beside what was said to differ; notes are those of the program."""

    notes: Sequence[str]
    wrong: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    # What the clip is and what was checked of it, in a few words.
    clip: str = ""
    checked: str = ""

    def add(self, text: str, *words: str) -> None:
        """A difference; it is accepted if one note has all ``words``, any case."""
        is_said = words and any(all(w in note.lower() for w in words) for note in self.notes)
        (self.said if is_said else self.wrong).append(text)


def tolerance(old: Fraction, new: Fraction) -> Fraction:
    """How far a time may be off: not at all where the new clock has every tick of the old."""
    if not (old and new) or (old / new).denominator == 1:
        return Fraction(0)
    return new
