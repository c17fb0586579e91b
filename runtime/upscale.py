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
from types import MappingProxyType
from typing import Any

from runtime.backends import BACKENDS
from runtime.cli import run_main
from runtime.installed import SCALES, STUDENTS, installed_bundle
from runtime.library.cluster import LOCAL, Cluster, ClusterOptions, check_address
from runtime.library.listing import is_playlist, kind_of_file, list_folder, read_playlist
from runtime.library.run import LibraryOptions, LibraryRun
from runtime.library.workplace import EngineFacts, EngineOptions, ThisMachine, VideoOrder, Workplace
from runtime.manifest import PRECISIONS
from runtime.paths import check_input, check_output
from runtime.picture import PICTURE_SUFFIXES
from runtime.progress import JsonProgress, Progress
from runtime.streams.command import (
    add_stream_options,
    check_stream,
    is_stream,
    stream_shows_compression,
    upscale_stream,
    writes_stdout,
)
from runtime.streams.live_command import (
    add_live_options,
    check_live,
    live_shows_compression,
    upscale_live,
)
from runtime.upscaler import Upscaler
from runtime.video.color import MATRICES, SITINGS
from runtime.video.compare import COMPARISONS
from runtime.video.deinterlace import DEINTERLACE_MODES
from runtime.video.encoder import (
    DEFAULT_CRF,
    ENCODERS,
    HARDWARE,
    PRESETS,
    VIDEO_SUFFIXES,
    EncodeOptions,
)
from runtime.video.journal import discard_journal, journal_path
from runtime.video.pipeline import SEGMENT_FRAMES, VideoOptions
from runtime.video.probe import MAX_SIDE, VideoInfo, shows_compression
from runtime.video.relay import StageLoad

MOST_PER_TASK = 4096
# What streams do not take, with its default.
FILE_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {"compare": None, "deinterlace": "off", "chroma_location": "keep", "resume": False}
    | {"pixel_format": "keep", "alpha": "keep", "encoder": "auto"}
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse and check the options."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.upscale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", help="picture, video, folder, playlist, stream or live source")
    parser.add_argument(
        "output", type=Path, help="of the same kind, its suffix is the format; else a folder"
    )
    _add_engine_options(parser)
    _add_video_options(parser)
    add_stream_options(parser)
    add_live_options(parser)
    _add_cluster_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace existing output")
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes")
    parser.add_argument(
        "--progress",
        choices=("auto", "json", "none"),
        default="auto",
        help="auto: a line on stderr; json: an object a line, for programs",
    )
    parser.add_argument("--json", action="store_true", help="one JSON line alone")
    args = parser.parse_args(argv)
    args.source, args.input = args.input, Path(args.input)  # a URL is no path
    if args.threads < 0 or args.tile_size < 0:
        parser.error("--threads and --tile-size must not be negative")
    if args.segment_frames < 1:
        parser.error("--segment-frames must be at least 1")
    if args.bundle and (args.scale or args.content != "auto"):
        parser.error(
            "--scale and --content choose an installed bundle; leave them out with --bundle"
        )
    args.kind = _kind_of_job(args)
    _check_kind(parser, args)
    return args


def _check_kind(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse options that this kind of job does not take."""
    if not args.live and (args.latency_budget or args.reconnect or args.source_option):
        parser.error("--latency-budget, --reconnect and --source-option are for --live")
    if args.kind == "picture" and args.size:
        parser.error("--size is for video")
    if args.kind in STREAM_JOBS:
        for name, default in FILE_OPTIONS.items():
            if getattr(args, name) != default:
                parser.error(f"--{name.replace('_', '-')} is for video files")
    if args.ray and args.kind not in ("video", "folder", "playlist"):
        parser.error("--ray is for video, folders and playlists")
    if not args.ray and (args.ray_cpus, args.ray_gpus) != (None, None):
        parser.error("--ray-cpus and --ray-gpus are for --ray")


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


def kind_of(source: Path) -> str:
    """``folder``, ``playlist``, ``picture`` or ``video``, which is tried if it is none of these."""
    if source.is_dir():
        return "folder"
    return "playlist" if is_playlist(source) else kind_of_file(source)


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
    options = LibraryOptions(_video_options(args), args.overwrite, args.resume)
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
    order = VideoOrder(args.input, args.output, _video_options(args), args.resume)
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


def _kind_of_job(args: argparse.Namespace) -> str:
    if args.live:
        return "live"
    return "stream" if is_stream(args) else kind_of(args.input)


def _workplace(args: argparse.Namespace) -> ThisMachine | Cluster:
    engine = EngineOptions(args.backend, args.precision, args.threads, args.tile_size, args.device)
    if not args.ray:
        return ThisMachine(engine)
    options = ClusterOptions(args.ray, args.ray_cpus or ClusterOptions.cpus, args.ray_gpus or 0)
    return Cluster(options, engine)


def _video_options(args: argparse.Namespace) -> VideoOptions:
    return VideoOptions(
        size=args.size,
        encode=EncodeOptions(
            args.crf, args.preset, args.codec, args.encoder, args.pixel_format, args.alpha
        ),
        on_error=args.on_error,
        matrix=MATRICES.get(args.color_matrix),
        segment_frames=args.segment_frames,
        compare=args.compare,
        chroma_location=None if args.chroma_location == "keep" else args.chroma_location,
        deinterlace=args.deinterlace,
    )


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


def _add_engine_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("engine")
    group.add_argument("--bundle", type=Path, help="default: an installed one, by --scale")
    group.add_argument(
        "--scale", type=int, choices=SCALES, help="of the installed bundle, default 2"
    )
    group.add_argument(
        "--content",
        choices=("auto", *STUDENTS),
        default="auto",
        help="what the installed bundle was trained on; auto: compressed for video that shows it",
    )
    group.add_argument("--backend", choices=("auto", *BACKENDS), default="auto")
    group.add_argument("--precision", choices=PRECISIONS, help="default: the bundle's own")
    group.add_argument("--threads", type=int, default=0, help="0: one per physical core")
    group.add_argument(
        "--tile-size", type=int, default=0, help="side of a window in input pixels; 0: whole frames"
    )
    group.add_argument("--device", default="auto", help="auto, cpu or cuda")


def _add_video_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("video")
    defaults = ", ".join(f"{crf:g} for {codec}" for codec, crf in DEFAULT_CRF.items())
    group.add_argument("--crf", type=float, help=f"quality, lower is better: {defaults}")
    group.add_argument("--preset", choices=PRESETS, help="speed of the encoder, default medium")
    group.add_argument(
        "--codec",
        choices=("auto", *ENCODERS),
        default="auto",
        help="auto: h264, hevc for more than 8 bits or HDR, vp9 in .webm, another if these cannot",
    )
    group.add_argument(
        "--encoder",
        choices=("auto", "software", *HARDWARE),
        default="auto",
        help="a kind of hardware; auto: software, whose bytes are the same everywhere",
    )
    group.add_argument(
        "--pixel-format",
        default="keep",
        metavar="NAME",
        help="format to write, such as yuv420p for a screen recording; default: the input's own",
    )
    group.add_argument(
        "--alpha", choices=("keep", "drop"), default="keep", help="what becomes of transparency"
    )
    group.add_argument(
        "--deinterlace",
        nargs="?",
        choices=DEINTERLACE_MODES,
        const="flagged",
        default="off",
        help="make interlaced frames progressive: those flagged as such (default), or all",
    )
    group.add_argument(
        "--chroma-location",
        choices=("keep", *SITINGS),
        default="keep",
        help="where chroma lies; keep: as tagged, else by the custom of the codec",
    )
    group.add_argument(
        "--size", type=_size, metavar="WxH", help="final size, resampled after the network"
    )
    group.add_argument(
        "--compare",
        choices=COMPARISONS,
        help="show the bicubic enlargement beside the result, or in the left half of it",
    )
    group.add_argument(
        "--on-error",
        choices=("stop", "skip", "repeat"),
        default="stop",
        help="at a damaged frame: stop, leave it out, or show the frame before (%(default)s)",
    )
    group.add_argument(
        "--resume", action="store_true", help="go on with what an interrupted run has finished"
    )
    group.add_argument(
        "--segment-frames",
        type=int,
        default=SEGMENT_FRAMES,
        metavar="N",
        help="frames that are encoded together, and lost if a run is killed (%(default)s)",
    )
    group.add_argument(
        "--container",
        choices=tuple(VIDEO_SUFFIXES),
        default=".mkv",
        help="of a folder's or playlist's videos whose own is not written (%(default)s)",
    )
    group.add_argument(
        "--color-matrix",
        choices=("keep", *MATRICES),
        default="keep",
        help="tag to write where the input has none",
    )


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 1280x720")
    size = int(width), int(height)
    if not all(1 <= side <= MAX_SIDE for side in size):
        raise argparse.ArgumentTypeError(f"{text} is not between 1x1 and {MAX_SIDE}x{MAX_SIDE}")
    return size


def _progress(args: argparse.Namespace, total: int | None, unit: str) -> Progress:
    if args.progress == "json":
        return JsonProgress(total, "upscale", unit)
    silent = args.quiet or args.json or args.progress == "none"
    return Progress(total, "upscale", unit, silent=silent)


def _add_cluster_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("cluster, after the two paths; needs the extra 'cluster'")
    group.add_argument(
        "--ray",
        nargs="?",
        const=LOCAL,
        type=_address,
        metavar="ADDRESS",
        help="on Ray: local (the default) starts it here; auto, HOST:PORT or ray://... joins one",
    )
    group.add_argument(
        "--ray-cpus",
        type=_positive,
        metavar="N",
        help=f"CPUs of a task ({ClusterOptions.cpus})",
    )
    group.add_argument("--ray-gpus", type=_positive, metavar="N", help="GPUs of a task (0)")


def _address(text: str) -> str:
    try:
        return check_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= MOST_PER_TASK:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


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
