"""Numbered pictures as the frames of a video."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from runtime.picture import PICTURE_SUFFIXES, Picture, check_format, read_picture, write_picture
from runtime.streams.raw import DEFAULT_RATE, raw_info
from runtime.streams.rgb import (
    HLG,
    PQ,
    frame_from_rgb,
    is_right_angled,
    picture_layout,
    rgb_from_frame,
    upright,
)
from runtime.video.color import RANGE_LIMITED, ColorTags
from runtime.video.frame import Frame
from runtime.video.probe import MAX_SIDE, VideoInfo
from runtime.video.rgb import matrix_of

_PATTERN = re.compile(r"([^%]*)%(?:0(\d{1,2}))?d([^%]*)")
_BT709 = 1
# PNG takes longer to write than the network to run.
WRITERS, MAX_PENDING = 4, 6
# In place of a codec, in the description of video that was made of pictures.
PICTURES = "pictures"


@dataclass(frozen=True)
class NumberedFiles:
    """The files that a pattern such as ``frames/%05d.png`` stands for."""

    pattern: Path

    def path(self, number: int) -> Path:
        """The file of one number."""
        return self.pattern.with_name(self.pattern.name % number)

    def existing(self) -> list[int]:
        """Numbers of the files that exist, in order."""
        if not self.pattern.parent.is_dir():
            return []
        names = {path.name for path in self.pattern.parent.iterdir()}
        matches = map(self._name_pattern().fullmatch, names)
        numbers = {int(match[1]) for match in matches if match}
        return sorted(number for number in numbers if self.path(number).name in names)

    def _name_pattern(self) -> re.Pattern[str]:
        match = _PATTERN.fullmatch(self.pattern.name)
        assert match is not None
        return re.compile(f"{re.escape(match[1])}([0-9]+){re.escape(match[3])}")

    def consecutive(self, start: int | None) -> list[int]:
        """Numbers from ``start``, or the first there is, to the last.

        Raises FileNotFoundError that names the file which is missing.
        """
        numbers = [n for n in self.existing() if start is None or n >= start]
        first = numbers[0] if start is None and numbers else start
        if not numbers or first is None:
            raise FileNotFoundError(f"no picture {self.path(start or 0)} or of a later number")
        expected = range(first, numbers[-1] + 1)
        if len(numbers) < len(expected):
            gap = min(set(expected) - set(numbers))
            raise FileNotFoundError(
                f"{self.path(gap)} is missing, though {self.path(numbers[-1])} exists"
            )
        return numbers


def is_pattern(path: Path) -> bool:
    """Whether a path stands for numbered pictures; one that exists as it is does not."""
    is_picture = path.suffix.lower() in PICTURE_SUFFIXES
    return is_picture and _PATTERN.fullmatch(path.name) is not None and not path.exists()


class SequenceSource:
    """Frames of pictures that are all alike; read as they are needed."""

    def __init__(
        self,
        files: NumberedFiles,
        start: int | None = None,
        rate: Fraction | None = None,
        matrix: int | None = None,
    ) -> None:
        self._files, self._matrix = files, matrix or _BT709
        self._numbers = files.consecutive(start)
        self._first = _read(files.path(self._numbers[0]))
        self._rate = rate or DEFAULT_RATE
        height, width = self._first.shape[:2]
        if max(height, width) > MAX_SIDE:
            raise ValueError(f"{files.path(self._numbers[0])} is larger than {MAX_SIDE} pixels")
        self.info = replace(
            raw_info(width, height, picture_layout(self._first), self._rate),
            codec=PICTURES,
            frames=len(self._numbers),
            colors=ColorTags(self._matrix, 1, 1, RANGE_LIMITED),
        )
        self.notes = [] if rate else [f"no --rate is given; {DEFAULT_RATE} fps is taken"]
        if self._first.ndim == 3 and self._first.shape[2] == 4:
            self.notes.append("the alpha channel of the pictures is left out")
        if self._first.dtype == np.uint16:
            self.notes.append("pictures of 16 bits become video of 10 bits")

    def __iter__(self) -> Iterator[Frame]:
        for index, number in enumerate(self._numbers):
            picture = _read(self._files.path(number))
            self._check_same(picture, number)
            yield frame_from_rgb(picture, self._matrix, index, self._rate)

    def stop(self) -> None:
        """Files do not make their reader wait."""

    def _check_same(self, picture: Picture, number: int) -> None:
        (height, width), (first_height, first_width) = picture.shape[:2], self._first.shape[:2]
        if (height, width) != (first_height, first_width):
            raise ValueError(
                f"{self._files.path(number)} is {width}x{height}, "
                f"{self._files.path(self._numbers[0])} is {first_width}x{first_height}"
            )
        if picture.dtype != self._first.dtype:
            raise ValueError(
                f"{self._files.path(number)} has samples of type {picture.dtype}, "
                f"{self._files.path(self._numbers[0])} of {self._first.dtype}"
            )


class SequenceSink:
    """One picture a frame, upright, in RGB by the matrix and range of the video."""

    def __init__(
        self, files: NumberedFiles, info: VideoInfo, start: int, pool: ThreadPoolExecutor
    ) -> None:
        self.name = files.pattern.suffix.lower().removeprefix(".")
        self.notes = _losses(info)
        self._files, self._info, self._next = files, info, start
        self._pool, self._pending = pool, deque[Future[None]]()
        dtype = np.uint8 if info.layout.bit_depth == 8 else np.uint16
        check_format(files.pattern, np.empty((1, 1, 3), dtype))
        matrix_of(info)

    def write(self, frame: Frame) -> None:
        """Have the picture of the next number written, by one of the threads of the pool."""
        self._pending.append(self._pool.submit(self._write, frame, self._next))
        self._next += 1
        if len(self._pending) > MAX_PENDING:
            self._pending.popleft().result()

    def finish(self) -> None:
        """Wait for all pictures; the first error of one is raised."""
        while self._pending:
            self._pending.popleft().result()
        older = [number for number in self._files.existing() if number >= self._next]
        if older:
            self.notes.append(f"{self._files.path(older[0])} and on are of an older run")

    def _write(self, frame: Frame, number: int) -> None:
        picture = upright(rgb_from_frame(frame, self._info), self._info.display_matrix)
        write_picture(self._files.path(number), picture)


@contextmanager
def sequence_source(
    pattern: Path, start: int | None, rate: Fraction | None, matrix: int | None
) -> Iterator[SequenceSource]:
    """Numbered pictures; see :class:`SequenceSource`."""
    yield SequenceSource(NumberedFiles(pattern), start, rate, matrix)


@contextmanager
def sequence_sink(pattern: Path, info: VideoInfo, start: int) -> Iterator[SequenceSink]:
    """Numbered pictures; their folder is made if there is none."""
    pattern.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(WRITERS) as pool:
        sink = SequenceSink(NumberedFiles(pattern), info, start, pool)
        yield sink
        sink.finish()


def check_pattern(pattern: Path, start: int, *, overwrite: bool) -> None:
    """Refuse an output pattern that cannot be written. Raises OSError or ValueError."""
    if pattern.suffix.lower() not in PICTURE_SUFFIXES:
        raise ValueError(
            f"{pattern} has no picture suffix; use one of {' '.join(sorted(PICTURE_SUFFIXES))}"
        )
    files = NumberedFiles(pattern)
    old = next((number for number in files.existing() if number >= start), None)
    if old is not None and not overwrite:
        raise FileExistsError(f"{files.path(old)} exists; pass --overwrite to replace it")


def _read(path: Path) -> Picture:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist any more")
    return read_picture(path)


def _losses(info: VideoInfo) -> list[str]:
    """What pictures cannot say of a video."""
    notes = []
    if info.colors.transfer in (PQ, HLG):
        notes.append("the video is HDR, which the pictures do not say: their values stay as coded")
    if info.aspect not in (None, 1):
        notes.append(f"samples are {info.aspect} as wide as high; the pictures do not say so")
    if info.display_matrix is not None and not is_right_angled(info.display_matrix):
        notes.append("the video is turned by an odd angle; the pictures are left as coded")
    return notes
