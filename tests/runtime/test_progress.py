from __future__ import annotations

import io
import json

import pytest

from runtime.progress import JsonProgress, Progress, format_duration, format_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (57.4, "57s"), (723, "12m03s"), (3900, "1h05m")]
)
def test_duration_is_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_line_shows_count_percent_rate_and_time_left() -> None:
    line = format_line("upscale", 1204, 3600, 1204 / 41.7, "fps")
    assert line == "upscale  1204/3600  33.4%  41.7 fps  eta 57s"


@pytest.mark.parametrize("total", [None, 5])
def test_line_drops_percent_and_eta_when_the_total_is_unknown_or_surpassed(
    total: int | None,
) -> None:
    assert format_line("upscale", 10, total, 2.0, "fps") == "upscale  10  5.0 fps"


def test_line_of_no_work_yet_has_no_eta() -> None:
    assert format_line("upscale", 0, 10, 0.0, "fps") == "upscale  0/10  0.0%  0.0 fps"


def test_terminal_line_is_rewritten_in_place() -> None:
    stream, clock = Terminal(), Clock()
    progress = Progress(3, "upscale", stream=stream, clock=clock)
    for _ in range(3):
        clock.now += 1
        progress.advance()
    progress.close()
    assert stream.getvalue().count("\r") == 4
    assert stream.getvalue().endswith(
        "\r[####################]  upscale  3/3  100.0%  1.0 fps  eta 0s\n"
    )


def test_shorter_terminal_line_covers_the_longer_one_before() -> None:
    stream, clock = Terminal(), Clock()
    progress = Progress(100, "upscale", stream=stream, clock=clock)
    clock.now = 50
    progress.advance()
    long_line = stream.getvalue()[1:]
    clock.now = 50.2
    progress.advance(99)
    assert len(stream.getvalue()) >= 2 * len(long_line) + 2


def test_log_gets_a_plain_line_every_few_seconds_only() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(100, "upscale", stream=stream, clock=clock)
    for _ in range(100):
        clock.now += 0.11
        progress.advance()
    progress.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[-1].startswith("upscale  100/100  100.0%")
    assert "\r" not in stream.getvalue()


def test_silent_progress_counts_but_writes_nothing() -> None:
    stream = Terminal()
    with Progress(2, "upscale", silent=True, stream=stream, clock=Clock()) as progress:
        progress.advance(2)
        progress.say("note")
    assert progress.done == 2
    assert stream.getvalue() == ""


def test_total_may_be_set_once_it_is_known() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(None, "upscale", stream=stream, clock=clock)
    progress.total = 4
    clock.now = 10
    progress.advance(2)
    assert stream.getvalue() == "upscale  2/4  50.0%  0.2 fps  eta 10s\n"


def test_said_line_stands_above_the_progress_line() -> None:
    stream, clock = Terminal(), Clock()
    progress = Progress(2, "upscale", stream=stream, clock=clock)
    clock.now = 1
    progress.advance()
    progress.say("note: something")
    assert stream.getvalue().splitlines()[-1].endswith("note: something")


def test_work_of_an_earlier_run_does_not_count_for_the_rate() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(None, "upscale", stream=stream, clock=clock)
    progress.begin(100, 50)
    clock.now = 10
    progress.advance(25)
    assert stream.getvalue() == "upscale  75/100  75.0%  2.5 fps  eta 10s\n"


def test_load_of_the_stages_follows_the_line() -> None:
    stream, clock = io.StringIO(), Clock()
    shares = {"decode": 0.123, "encode": 1.0}
    progress = Progress(10, "upscale", stream=stream, clock=clock, shares=lambda: shares)
    clock.now = 10
    progress.advance()
    assert stream.getvalue().endswith("eta 1m30s  decode 12%  encode 100%\n")


def test_terminal_line_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    stream, clock = Terminal(), Clock()
    progress = Progress(10, "upscale", stream=stream, clock=clock)
    clock.now = 1
    progress.advance()
    assert len(stream.getvalue()) == 30


def test_programs_get_an_object_a_line() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = JsonProgress(None, "upscale", stream=stream, clock=clock)
    progress.say("a note")
    progress.begin(100, 50)
    clock.now = 10
    progress.advance(25)
    progress.close()
    note, start, now, end = map(json.loads, stream.getvalue().splitlines())
    assert note == {"event": "note", "message": "a note"}
    assert start == {"event": "start", "total": 100, "done": 50}
    state = {"done": 75, "total": 100, "seconds": 10, "rate": 2.5, "eta_seconds": 10, "stages": {}}
    assert now == {"event": "progress"} | state
    assert end == {"event": "end"} | state


def test_work_that_turns_up_later_counts_without_what_was_done_before() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(None, "upscale 1/2", stream=stream, clock=clock)
    progress.expect(10, 4)
    progress.label = "upscale 2/2"
    progress.expect(10)
    progress.expect(-2)
    clock.now = 10
    progress.advance(5)
    assert stream.getvalue() == "upscale 2/2  9/18  50.0%  0.5 fps  eta 18s\n"
