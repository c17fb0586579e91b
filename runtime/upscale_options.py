"""Options of :mod:`runtime.upscale`: declared, checked, and as the objects that the jobs take."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from runtime.backends import BACKENDS
from runtime.installed import SCALES, STUDENTS
from runtime.library.cluster import LOCAL, ClusterOptions, check_address
from runtime.library.listing import is_playlist, kind_of_file
from runtime.library.workplace import EngineOptions
from runtime.manifest import PRECISIONS
from runtime.streams.command import add_stream_options, is_stream
from runtime.streams.live_command import add_live_options
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
from runtime.video.pipeline import SEGMENT_FRAMES, VideoOptions
from runtime.video.probe import MAX_SIDE

MOST_PER_TASK = 4096
# What streams do not take, with its default.
FILE_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {"compare": None, "deinterlace": "off", "chroma_location": "keep", "resume": False}
    | {"pixel_format": "keep", "alpha": "keep", "encoder": "auto"}
)
STREAM_KINDS = ("stream", "live")


def parse_options(argv: list[str] | None, description: str | None) -> argparse.Namespace:
    """Parse and check the options of :mod:`runtime.upscale`; ``kind`` is the kind of the job."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.upscale",
        description=description,
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


def kind_of(source: Path) -> str:
    """``folder``, ``playlist``, ``picture`` or ``video``, which is tried if it is none of these."""
    if source.is_dir():
        return "folder"
    return "playlist" if is_playlist(source) else kind_of_file(source)


def engine_options(args: argparse.Namespace) -> EngineOptions:
    """What computes the pictures."""
    return EngineOptions(args.backend, args.precision, args.threads, args.tile_size, args.device)


def cluster_options(args: argparse.Namespace) -> ClusterOptions:
    """Where --ray runs, and what a task takes."""
    return ClusterOptions(args.ray, args.ray_cpus or ClusterOptions.cpus, args.ray_gpus or 0)


def video_options(args: argparse.Namespace) -> VideoOptions:
    """How each video is made."""
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


def _kind_of_job(args: argparse.Namespace) -> str:
    if args.live:
        return "live"
    return "stream" if is_stream(args) else kind_of(args.input)


def _check_kind(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse options that this kind of job does not take."""
    if not args.live and (args.latency_budget or args.reconnect or args.source_option):
        parser.error("--latency-budget, --reconnect and --source-option are for --live")
    if args.kind == "picture" and args.size:
        parser.error("--size is for video")
    if args.kind in STREAM_KINDS:
        for name, default in FILE_OPTIONS.items():
            if getattr(args, name) != default:
                parser.error(f"--{name.replace('_', '-')} is for video files")
    if args.ray and args.kind not in ("video", "folder", "playlist"):
        parser.error("--ray is for video, folders and playlists")
    if not args.ray and (args.ray_cpus, args.ray_gpus) != (None, None):
        parser.error("--ray-cpus and --ray-gpus are for --ray")


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


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 1280x720")
    size = int(width), int(height)
    if not all(1 <= side <= MAX_SIDE for side in size):
        raise argparse.ArgumentTypeError(f"{text} is not between 1x1 and {MAX_SIDE}x{MAX_SIDE}")
    return size


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
