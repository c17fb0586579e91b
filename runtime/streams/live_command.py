"""The part of ``python -m runtime.upscale`` for live sources."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from runtime.streams.capture import CaptureOptions, kind_of_source
from runtime.streams.command import check_stream_output, stream_options
from runtime.streams.endpoints import sink_opener
from runtime.streams.live import LiveResult, run_live
from runtime.streams.live_source import LiveOptions, LiveSource
from runtime.streams.preview import Preview, check_preview
from runtime.streams.rgb import guess_note, is_guess_needed
from runtime.streams.sequence import is_pattern
from runtime.streams.stream import OpenSink
from runtime.upscaler import Upscaler
from runtime.video.pipeline import VideoOptions, output_info
from runtime.video.probe import shows_compression
from runtime.video.rgb import matrix_of

DEFAULT_BUDGET_MS = 200.0
PREVIEW = Path("preview")
# Shells and supervisors may deliver one signal twice.
REPEAT_S = 1.0


def add_live_options(parser: argparse.ArgumentParser) -> None:
    """Options of live sources."""
    group = parser.add_argument_group("live sources")
    group.add_argument(
        "--live",
        action="store_true",
        help="input is a camera such as /dev/video0, an rtsp:// or other URL, or a file played at "
        "its own speed; output may be preview, a window",
    )
    group.add_argument(
        "--latency-budget",
        type=_milliseconds,
        metavar="MS",
        help=f"a frame that would be written later than this is dropped ({DEFAULT_BUDGET_MS:g})",
    )
    group.add_argument(
        "--reconnect", type=int, metavar="N", help="tries to open a source again that is gone (0)"
    )
    group.add_argument(
        "--source-option",
        action="append",
        type=_key_and_value,
        metavar="KEY=VALUE",
        help="of FFmpeg's demuxer, such as video_size=640x360 or rtsp_transport=udp; repeatable",
    )


def check_live(args: argparse.Namespace) -> None:
    """Refuse ends that cannot work, before anything is loaded. Raises OSError or ValueError."""
    if args.raw_input or args.rate:
        raise ValueError("--raw-input and --rate are not for --live")
    if kind_of_source(args.source) == "file":
        if not args.input.exists():
            raise FileNotFoundError(f"{args.input} does not exist")
        if args.output.exists() and args.output.samefile(args.input):
            raise ValueError(f"{args.output} is the input itself; name another output")
    if args.output == PREVIEW:
        check_preview()
    else:
        check_stream_output(args)


def live_shows_compression(args: argparse.Namespace) -> bool:
    """What comes by a network is compressed; of a camera nothing is known."""
    kind = kind_of_source(args.source)
    return kind == "url" or (kind == "file" and shows_compression(args.input))


def upscale_live(args: argparse.Namespace, upscaler: Upscaler) -> dict[str, Any]:
    """A live source until it ends or is interrupted."""
    say = _sayer(args)
    options = LiveOptions(
        budget_s=(args.latency_budget or DEFAULT_BUDGET_MS) / 1000,
        reconnect=args.reconnect or 0,
        capture=CaptureOptions(dict(args.source_option or ())),
    )
    source = LiveSource(args.source, options, say=say)
    video = VideoOptions(size=args.size, matrix=stream_options(args).matrix)
    notes = []
    is_rgb = args.output == PREVIEW or is_pattern(args.output)
    if is_rgb and is_guess_needed(source.info, video.matrix):
        video = replace(video, matrix=matrix_of(source.info))
        notes.append(guess_note(source.info))
    target = output_info(source.info, upscaler.scale, video)
    say(
        f"{source.name}  {source.info.width}x{source.info.height} -> {target.width}x"
        f"{target.height}  latency budget {options.budget_s * 1e3:g} ms  "
        f"{upscaler.info.name} {upscaler.precision} on {upscaler.info.provider}"
    )

    def play(sink: OpenSink) -> LiveResult:
        return run_live(
            source, sink, upscaler, video, on_report=lambda report: say(f"live  {report}")
        )

    with _ended_by_signals(source.stop):
        if args.output == PREVIEW:
            preview = Preview(source.stop)
            result = preview.show_while(lambda: play(preview.open))
        else:
            result = play(sink_opener(args.output, stream_options(args)))
    notes += _notes(result, options.budget_s)
    for note in notes:
        say(f"note: {note}")
    say(f"live  {result.report}")
    return _facts(source, result, notes)


def _notes(result: LiveResult, budget_s: float) -> list[str]:
    notes = list(result.notes)
    if result.damaged:
        notes.append(f"{result.damaged} damaged frames were left out")
    p50 = result.report.p50_ms
    if p50 is not None and p50 > budget_s * 1e3:
        notes.append("frames take longer than the latency budget; the newest is served each time")
    return notes


def _facts(source: LiveSource, result: LiveResult, notes: list[str]) -> dict[str, Any]:
    report = result.report
    facts: dict[str, Any] = {
        "input": source.name,
        "frames": report.written,
        "width": result.width,
        "height": result.height,
        "encoder": result.encoder,
        "captured": report.captured,
        "dropped": report.dropped,
        "latency_ms": {"p50": report.p50_ms, "p99": report.p99_ms},
        "damaged": result.damaged,
        "reconnects": result.reconnects,
        "notes": notes,
    }
    if result.failure is None:
        return facts
    print(f"error: {result.failure}", file=sys.stderr)  # noqa: T201
    return facts | {"failure": result.failure, "exit_code": 1}


@contextmanager
def _ended_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the run cleanly, the next one interrupts it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    asked_s: float | None = None

    def end(number: int, frame: object) -> None:
        nonlocal asked_s
        now = time.monotonic()
        if asked_s is None:
            asked_s = now
            stop()
        elif now - asked_s > REPEAT_S:
            raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _sayer(args: argparse.Namespace) -> Callable[[str], None]:
    def say(text: str) -> None:
        if not (args.quiet or args.json):
            print(text, file=sys.stderr, flush=True)  # noqa: T201

    return say


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 60_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1 and 60000 ms")
    return value


def _key_and_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    return key, value
