"""Upscale a picture, a video, a stream of frames, or all that a folder holds or a playlist names.

    python -m runtime.upscale clip_360p.mp4 clip_720p.mp4 --bundle fsrcnn-x2-int8.esr
    python -m runtime.upscale library/ larger/
    python -m runtime.upscale playlist.m3u larger/ --ray auto
    ffmpeg -i clip.mp4 -f yuv4mpegpipe - | python -m runtime.upscale - - | mpv -

Sound, subtitles, frame times and colour tags of a video stay as they are. Progress goes to
stderr; the last line of stdout is one JSON object. Where the video goes to stdout, --json puts that
line at the end of stderr instead.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from runtime.cli import run_main
from runtime.installed import installed_bundle
from runtime.library.cluster import Cluster
from runtime.library.listing import list_folder, read_playlist
from runtime.library.run import LibraryOptions, LibraryRun
from runtime.library.workplace import EngineFacts, ThisMachine, VideoOrder, Workplace
from runtime.paths import check_input, check_output
from runtime.picture import PICTURE_SUFFIXES
from runtime.progress import JsonProgress, Progress
from runtime.streams.command import (
    check_stream,
    stream_shows_compression,
    upscale_stream,
    writes_stdout,
)
from runtime.streams.live_command import check_live, live_shows_compression, upscale_live
from runtime.upscale_options import (
    cluster_options,
    engine_options,
    parse_options,
    video_options,
)
from runtime.upscaler import Upscaler
from runtime.video.encoder import VIDEO_SUFFIXES
from runtime.video.journal import discard_journal, journal_path
from runtime.video.probe import VideoInfo, shows_compression
from runtime.video.relay import StageLoad


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse and check the options."""
    return parse_options(argv, __doc__)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = parse_args(argv)
    with _termination_as_interrupt():
        return run_main(run, args, is_stdout_taken=writes_stdout(args))


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do what was asked; returns the JSON object."""
    if args.kind in CHECKS:
        CHECKS[args.kind](args)
    else:
        check_paths(args.kind, args.input, args.output, overwrite=args.overwrite)
    with _workplace(args) as place:
        if args.kind in ("folder", "playlist"):
            return upscale_library(args, args.kind, place)
        bundle = bundle_for(args, args.kind, args.input)
        engine = place.facts(bundle)
        if args.bundle is None:
            _say(args, f"installed bundle {bundle.name}")
        start = time.monotonic()
        if args.kind in FILE_JOBS:
            facts = FILE_JOBS[args.kind](args, place, bundle)
        else:
            assert isinstance(place, ThisMachine)
            facts = STREAM_JOBS[args.kind](args, place.engine(bundle))
        result = _result(args, facts, time.monotonic() - start, {str(bundle): engine})
    _say(args, f"wrote {args.output}  {result['frames']} frames  {result['fps']} fps")
    return result | facts


def bundle_for(args: argparse.Namespace, kind: str, source: Path) -> Path:
    """The bundle that was named, or the installed one that suits a file."""
    if args.bundle:
        return Path(args.bundle)
    content = args.content
    if content == "auto":
        shows = COMPRESSION[kind](args, source) if kind in COMPRESSION else False
        content = "compressed" if shows else "clean"
    return installed_bundle(args.scale or 2, content=content)


def check_paths(kind: str, source: Path, target: Path, *, overwrite: bool) -> None:
    """Refuse paths that cannot work, before anything is loaded. Raises OSError or ValueError."""
    check_input(source, target)
    if kind in ("folder", "playlist"):
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(f"{target} is a file; a {kind} needs a folder")
        if target.suffix.lower() in VIDEO_SUFFIXES and not target.exists():
            raise ValueError(
                f"{source} is a {kind}, {target} a video; name numbered pictures by a pattern such "
                f"as {source}/%05d.png"
            )
        return
    suffixes = PICTURE_SUFFIXES if kind == "picture" else VIDEO_SUFFIXES.keys()
    check_output(kind, target, suffixes, overwrite=overwrite)


def upscale_picture(args: argparse.Namespace, place: Workplace, bundle: Path) -> dict[str, Any]:
    """One picture."""
    width, height = place.upscale_picture(bundle, args.input, args.output)
    return {"frames": 1, "width": width, "height": height}


def upscale_library(args: argparse.Namespace, kind: str, place: Workplace) -> dict[str, Any]:
    """All pictures and videos of a folder or a playlist; returns the JSON object."""
    list_items = list_folder if kind == "folder" else read_playlist
    library = list_items(args.input, args.output, args.container)
    if args.bundle:
        # What is wrong with it is wrong for every file.
        place.facts(args.bundle)
    options = LibraryOptions(video_options(args), args.overwrite, args.resume)
    start = time.monotonic()
    with _progress(args, None, "fps") as progress:
        result = LibraryRun(
            place, options, lambda item: bundle_for(args, item.kind, item.source), progress
        ).run(library)
    counts = {"frames": result.frames, "resumed": result.resumed}
    facts = _result(args, counts, time.monotonic() - start, result.engines)
    left_out = f"{result.existing} exist, {library.ignored} of other kinds"
    _say(args, f"done: {result.done} files, {result.frames} frames; left out: {left_out}")
    for name, message in result.failed.items():
        _say(args, f"failed: {name}: {message}")
    facts |= {
        "done": result.done,
        "resumed": result.resumed,
        "failed": [{"file": name, "message": text} for name, text in result.failed.items()],
        "skipped_existing": result.existing,
        "ignored": library.ignored,
    }
    if not result.failed:
        return facts
    text = f"error: {len(result.failed)} of {len(library.items)} files failed"
    print(text, file=sys.stderr)  # noqa: T201
    return facts | {"exit_code": 1}


def upscale_clip(args: argparse.Namespace, place: Workplace, bundle: Path) -> dict[str, Any]:
    """One video."""
    if args.overwrite and not args.resume:
        discard_journal(args.output)
    order = VideoOrder(args.input, args.output, video_options(args), args.resume)
    progress = _ClipProgress(args, place.facts(bundle))
    try:
        with closing(progress):
            result = place.upscale_video(bundle, order, progress)
    except BaseException:
        journal = journal_path(args.output)
        if journal.exists():
            _say(args, f"{journal} keeps what is finished; --resume goes on with it")
        raise
    for note in result.notes:
        _say(args, f"note: {note}")
    if result.damaged:
        done = "replaced by the frame before" if args.on_error == "repeat" else "left out"
        _say(args, f"note: {result.damaged} damaged frames were {done}")
    return {
        "frames": result.frames,
        "width": result.width,
        "height": result.height,
        "resumed": result.resumed,
        "skipped": result.damaged if args.on_error == "skip" else 0,
        "repeated": result.damaged if args.on_error == "repeat" else 0,
        "encoder": result.encoder,
        "stages": {name: round(share, 3) for name, share in result.stages.items()},
        "chroma_location": result.chroma_location,
        "notes": list(result.notes),
    }


class _ClipProgress:
    """Tells the progress of a video."""

    def __init__(self, args: argparse.Namespace, engine: EngineFacts) -> None:
        self._line = _progress(args, None, "fps")
        self._input, self._engine = args.input, engine

    def advance(self) -> None:
        """One more frame is encoded."""
        self._line.advance()

    def close(self) -> None:
        """No more frames."""
        self._line.close()

    def start(self, source: VideoInfo, target: VideoInfo, resumed: int, load: StageLoad) -> None:
        """Say what is done."""
        engine = self._engine
        self._line.say(
            f"{self._input}  {source.width}x{source.height} -> {target.width}x{target.height}  "
            f"{engine.backend} {engine.precision} on {engine.provider}"
        )
        if resumed:
            self._line.say(f"going on after {resumed} frames of an earlier run")
        self._line.shares = load.shares
        self._line.begin(source.frames, resumed)


FILE_JOBS: dict[str, Callable[[argparse.Namespace, Workplace, Path], dict[str, Any]]] = {
    "picture": upscale_picture,
    "video": upscale_clip,
}
STREAM_JOBS: dict[str, Callable[[argparse.Namespace, Upscaler], dict[str, Any]]] = {
    "stream": upscale_stream,
    "live": upscale_live,
}
CHECKS: dict[str, Callable[[argparse.Namespace], None]] = {
    "stream": check_stream,
    "live": check_live,
}
# Whether a source shows artefacts of compression.
COMPRESSION: dict[str, Callable[[argparse.Namespace, Path], bool]] = {
    "video": lambda args, source: shows_compression(source),
    "stream": lambda args, source: stream_shows_compression(args),
    "live": lambda args, source: live_shows_compression(args),
}


def _workplace(args: argparse.Namespace) -> ThisMachine | Cluster:
    engine = engine_options(args)
    return Cluster(cluster_options(args), engine) if args.ray else ThisMachine(engine)


def _result(
    args: argparse.Namespace,
    facts: Mapping[str, Any],
    seconds: float,
    engines: Mapping[str, EngineFacts],
) -> dict[str, Any]:
    """What the JSON object of every job begins with; the rate is that of this run's frames."""
    frames = facts["frames"]
    done_here = frames - facts.get("resumed", 0)
    used = engines.values()
    return {
        "input": str(args.input),
        "output": str(args.output),
        "frames": frames,
        "seconds": round(seconds, 3),
        "fps": round(done_here / seconds, 3),
        "backend": _joined(engine.backend for engine in used),
        "precision": _joined(engine.precision for engine in used),
        "provider": _joined(engine.provider for engine in used),
        "bundle": _joined(engines),
    }


def _joined(values: Iterable[str]) -> str | None:
    return ", ".join(dict.fromkeys(values)) or None


def _progress(args: argparse.Namespace, total: int | None, unit: str) -> Progress:
    if args.progress == "json":
        return JsonProgress(total, "upscale", unit)
    silent = args.quiet or args.json or args.progress == "none"
    return Progress(total, "upscale", unit, silent=silent)


def _say(args: argparse.Namespace, text: str) -> None:
    if not (args.quiet or args.json or args.progress == "json"):
        print(text, file=sys.stderr)  # noqa: T201


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM clean up as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
