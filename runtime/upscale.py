"""Upscale a picture, a folder of pictures, a video or a stream of frames.

    python -m runtime.upscale clip_360p.mp4 clip_720p.mp4 --bundle fsrcnn-x2-int8.esr
    python -m runtime.upscale pictures/ larger/ --bundle fsrcnn-x2-int8.esr
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
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from runtime.backends import BACKENDS
from runtime.cli import run_main
from runtime.errors import BackendError, UnsupportedError
from runtime.installed import SCALES, STUDENTS, installed_bundle
from runtime.manifest import PRECISIONS
from runtime.paths import check_input, check_output
from runtime.picture import (
    PICTURE_SUFFIXES,
    check_format,
    list_pictures,
    read_picture,
    write_picture,
)
from runtime.progress import JsonProgress, Progress
from runtime.upscale_live import (
    add_live_options,
    check_live,
    live_shows_compression,
    upscale_live,
)
from runtime.upscale_stream import (
    add_stream_options,
    check_stream,
    is_stream,
    stream_shows_compression,
    upscale_stream,
    writes_stdout,
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
from runtime.video.pipeline import SEGMENT_FRAMES, VideoOptions, upscale_video
from runtime.video.probe import MAX_SIDE, VideoInfo, shows_compression
from runtime.video.relay import StageLoad


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse and check the options."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.upscale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", help="picture, folder of pictures, video, stream or live source")
    parser.add_argument("output", type=Path, help="of the same kind; its suffix is the format")
    _add_engine_options(parser)
    _add_video_options(parser)
    add_stream_options(parser)
    add_live_options(parser)
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
    if not args.live and (args.latency_budget or args.reconnect or args.source_option):
        parser.error("--latency-budget, --reconnect and --source-option are for --live")
    if args.size and args.kind in ("picture", "folder"):
        parser.error("--size is for video")
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = parse_args(argv)
    with _termination_as_interrupt():
        return run_main(run, args, is_stdout_taken=writes_stdout(args))


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do what was asked; returns the JSON object."""
    kind = args.kind
    if kind in CHECKS:
        CHECKS[kind](args)
    else:
        check_paths(kind, args.input, args.output, overwrite=args.overwrite)
    bundle = args.bundle or installed_bundle(args.scale or 2, content=content_of(args, kind))
    with Upscaler.open(
        bundle,
        backend=args.backend,
        precision=args.precision,
        threads=args.threads,
        tile_size=args.tile_size,
        device=args.device,
    ) as upscaler:
        if args.bundle is None:
            _say(args, f"installed bundle {bundle.name}")
        start = time.monotonic()
        facts = JOBS[kind](args, upscaler)
        seconds = time.monotonic() - start
        result = {
            "input": str(args.input),
            "output": str(args.output),
            "frames": facts["frames"],
            "seconds": round(seconds, 3),
            "fps": round(facts["frames"] / seconds, 3),
            "backend": upscaler.info.name,
            "precision": upscaler.precision,
            "provider": upscaler.info.provider,
            "bundle": str(bundle),
        }
    _say(args, f"wrote {args.output}  {result['frames']} frames  {result['fps']} fps")
    return result | facts


def kind_of(source: Path) -> str:
    """``folder``, ``picture`` or ``video``; what is neither of the first two is tried as video."""
    if source.is_dir():
        return "folder"
    return "picture" if source.suffix.lower() in PICTURE_SUFFIXES else "video"


def content_of(args: argparse.Namespace, kind: str) -> str:
    """What the installed bundle should be made for: compressed if the input shows it."""
    if args.content != "auto":
        return str(args.content)
    shows = COMPRESSION.get(kind)
    return "compressed" if shows is not None and shows(args) else "clean"


def check_paths(kind: str, source: Path, target: Path, *, overwrite: bool) -> None:
    """Refuse paths that cannot work, before anything is loaded. Raises OSError or ValueError."""
    check_input(source, target)
    if kind == "folder":
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(f"{target} is a file; a folder of pictures needs a folder")
        if target.suffix.lower() in VIDEO_SUFFIXES and not target.exists():
            raise ValueError(
                f"{source} is a folder, {target} a video; name its pictures by a pattern such as "
                f"{source}/%05d.png"
            )
        return
    suffixes = PICTURE_SUFFIXES if kind == "picture" else VIDEO_SUFFIXES.keys()
    check_output(kind, target, suffixes, overwrite=overwrite)


def upscale_picture(args: argparse.Namespace, upscaler: Upscaler) -> dict[str, Any]:
    """One picture."""
    width, height = _upscale_file(upscaler, args.input, args.output)
    return {"frames": 1, "width": width, "height": height}


def upscale_folder(args: argparse.Namespace, upscaler: Upscaler) -> dict[str, Any]:
    """All pictures below a folder, to the same names; one that fails does not stop the others."""
    inside = args.output.absolute()
    paths = [p for p in list_pictures(args.input) if inside not in p.absolute().parents]
    failed: list[dict[str, str]] = []
    with _progress(args, len(paths), "pictures/s") as progress:
        for path in paths:
            name = path.relative_to(args.input)
            error = _try_file(upscaler, path, args.output / name, overwrite=args.overwrite)
            if error is not None:
                message = " ".join(str(error).split())
                failed.append({"file": str(name), "message": message})
                progress.say(f"error: {message}")
            progress.advance()
    if not failed:
        return {"frames": len(paths)}
    print(f"error: {len(failed)} of {len(paths)} pictures failed", file=sys.stderr)  # noqa: T201
    return {"frames": len(paths) - len(failed), "failed": failed, "exit_code": 1}


def upscale_clip(args: argparse.Namespace, upscaler: Upscaler) -> dict[str, Any]:
    """One video."""
    options = VideoOptions(
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
    if args.overwrite and not args.resume:
        discard_journal(args.output)
    progress = _ClipProgress(args, upscaler)
    try:
        with closing(progress):
            result = upscale_video(
                args.input,
                args.output,
                upscaler,
                options,
                engine=_identity(upscaler),
                resume=args.resume,
                progress=progress,
            )
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

    def __init__(self, args: argparse.Namespace, upscaler: Upscaler) -> None:
        self._line = _progress(args, None, "fps")
        self._input, self._upscaler = args.input, upscaler
        self.advance = self._line.advance
        self.close = self._line.close

    def start(self, source: VideoInfo, target: VideoInfo, resumed: int, load: StageLoad) -> None:
        """Say what is done."""
        info = self._upscaler.info
        self._line.say(
            f"{self._input}  {source.width}x{source.height} -> {target.width}x{target.height}  "
            f"{info.name} {self._upscaler.precision} on {info.provider}"
        )
        if resumed:
            self._line.say(f"going on after {resumed} frames of an earlier run")
        self._line.shares = load.shares
        self._line.begin(source.frames, resumed)


def _identity(upscaler: Upscaler) -> dict[str, str]:
    """What on the upscaler's side decides about the bytes of the output."""
    info = upscaler.info
    return {
        "bundle": upscaler.manifest.digest,
        "engine": f"{info.name} {info.version} {info.provider} {upscaler.precision}",
        "tile size": str(upscaler.tile_size),
    }


JOBS: dict[str, Callable[[argparse.Namespace, Upscaler], dict[str, Any]]] = {
    "picture": upscale_picture,
    "folder": upscale_folder,
    "video": upscale_clip,
    "stream": upscale_stream,
    "live": upscale_live,
}
CHECKS: dict[str, Callable[[argparse.Namespace], None]] = {
    "stream": check_stream,
    "live": check_live,
}
COMPRESSION: dict[str, Callable[[argparse.Namespace], bool]] = {
    "video": lambda args: shows_compression(args.input),
    "stream": stream_shows_compression,
    "live": live_shows_compression,
}


def _kind_of_job(args: argparse.Namespace) -> str:
    if args.live:
        return "live"
    return "stream" if is_stream(args) else kind_of(args.input)


def _upscale_file(upscaler: Upscaler, source: Path, target: Path) -> tuple[int, int]:
    picture = read_picture(source)
    check_format(target, picture)
    sr = upscaler.upscale(picture)
    write_picture(target, sr)
    return sr.shape[1], sr.shape[0]


def _try_file(
    upscaler: Upscaler, source: Path, target: Path, *, overwrite: bool
) -> Exception | None:
    """Upscale one picture of many; what is wrong with it is returned."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        check_paths("picture", source, target, overwrite=overwrite)
        _upscale_file(upscaler, source, target)
    except (OSError, ValueError, BackendError, UnsupportedError) as error:
        return error
    return None


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
