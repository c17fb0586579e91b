"""How far some work is, on stderr: a line for people, or JSON objects for programs."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from runtime.closeable import Closeable

TERMINAL_INTERVAL_S = 0.1
LOG_INTERVAL_S = 5.0
JSON_INTERVAL_S = 0.5
BAR_WIDTH = 20


def format_duration(seconds: float) -> str:
    """``57s``, ``12m03s`` or ``1h05m``."""
    total = round(seconds)
    if total < 60:
        return f"{total}s"
    if total < 3600:
        return f"{total // 60}m{total % 60:02d}s"
    return f"{total // 3600}h{total % 3600 // 60:02d}m"


def format_line(
    label: str, done: int, total: int | None, elapsed_s: float, unit: str, *, before: int = 0
) -> str:
    """One line, such as ``upscale  1204/3600  33.4%  41.7 fps  eta 57s``.

    Percentage and time left are shown while ``total`` is known and still believable; ``before``
    were done when the time began.
    """
    rate = (done - before) / elapsed_s if elapsed_s > 0 else 0.0
    if total is None or done > total:
        return f"{label}  {done}  {rate:.1f} {unit}"
    percent = 100 * done / total if total else 100.0
    line = f"{label}  {done}/{total}  {percent:.1f}%  {rate:.1f} {unit}"
    return f"{line}  eta {format_duration((total - done) / rate)}" if rate > 0 else line


def format_bar(done: int, total: int) -> str:
    """``[########............]``."""
    filled = BAR_WIDTH * done // total if total else BAR_WIDTH
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}]"


class Progress(Closeable):
    """Counts work; rewrites one line on a terminal, adds a plain line now and then elsewhere.

    ``total`` may be set later, once it is known, ``label`` may change; ``shares`` gives parts of 1
    to show beside it, such as how busy each stage of a pipeline is.
    """

    def __init__(
        self,
        total: int | None,
        label: str,
        unit: str = "fps",
        *,
        silent: bool = False,
        shares: Callable[[], Mapping[str, float]] = dict,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.shares = shares
        self.label = label
        self._unit = unit
        self._silent = silent
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._is_terminal = self._stream.isatty()
        self._interval_s = TERMINAL_INTERVAL_S if self._is_terminal else LOG_INTERVAL_S
        self._start = clock()
        self._shown_at = self._start
        self._done = self._done_before = 0
        self._width = 0

    @property
    def done(self) -> int:
        """How many units are finished."""
        return self._done

    def begin(self, total: int | None, done: int = 0) -> None:
        """What is to be done, and what of it an earlier run has done; the rate counts from here."""
        self.total, self._done, self._done_before = total, done, done
        self._start = self._clock()

    def expect(self, count: int, done: int = 0) -> None:
        """More is to be done than was known, or less; an earlier run has done some of it."""
        self.total = (self.total or 0) + count
        self._done += done
        self._done_before += done

    def advance(self, count: int = 1) -> None:
        """Count finished units; shows the line if the last one is old enough."""
        self._done += count
        if self._clock() - self._shown_at >= self._interval_s:
            self._show()

    def say(self, text: str) -> None:
        """Print a line above the progress line."""
        if self._silent:
            return
        self._erase()
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Show the final count."""
        if self._done:
            self._show()
        if self._is_terminal and self._width:
            self._write("\n")
        self._width = 0

    def _show(self) -> None:
        now = self._clock()
        self._shown_at = now
        elapsed = now - self._start
        line = format_line(
            self.label, self._done, self.total, elapsed, self._unit, before=self._done_before
        )
        parts = [line, *(f"{name} {share:.0%}" for name, share in self.shares().items())]
        if not self._is_terminal:
            self._write("  ".join(parts) + "\n")
            return
        if self.total is not None and self._done <= self.total:
            parts.insert(0, format_bar(self._done, self.total))
        # Blanks cover what a longer line left behind; a line that wraps could not be rewritten.
        width = shutil.get_terminal_size().columns - 1
        line = "  ".join(parts)[:width]
        self._write(f"\r{line.ljust(self._width)}")
        self._width = len(line)

    def _erase(self) -> None:
        if self._is_terminal and self._width:
            self._write(f"\r{' ' * self._width}\r")

    def _write(self, text: str) -> None:
        if self._silent:
            return
        self._stream.write(text)
        self._stream.flush()


class JsonProgress(Progress):
    """One JSON object a line: ``event`` is start, progress, note or end."""

    def __init__(self, total: int | None, label: str, unit: str = "fps", **options: Any) -> None:
        super().__init__(total, label, unit, **options)
        self._interval_s = JSON_INTERVAL_S

    def begin(self, total: int | None, done: int = 0) -> None:
        """What is to be done, and what of it an earlier run has done."""
        super().begin(total, done)
        self._tell("start", total=total, done=done)

    def say(self, text: str) -> None:
        """Something to know."""
        self._tell("note", message=text)

    def close(self) -> None:
        """The final count."""
        self._tell("end", **self._state())

    def _show(self) -> None:
        self._shown_at = self._clock()
        self._tell("progress", **self._state())

    def _state(self) -> dict[str, Any]:
        elapsed = self._clock() - self._start
        rate = (self._done - self._done_before) / elapsed if elapsed > 0 else 0.0
        is_known = self.total is not None and self._done <= self.total and rate > 0
        return {
            "done": self._done,
            "total": self.total,
            "seconds": round(elapsed, 3),
            "rate": round(rate, 3),
            "eta_seconds": round((self.total - self._done) / rate, 1)
            if self.total is not None and is_known
            else None,
            "stages": {name: round(share, 3) for name, share in self.shares().items()},
        }

    def _tell(self, event: str, **facts: Any) -> None:
        self._write(json.dumps({"event": event, **facts}, separators=(",", ":")) + "\n")
