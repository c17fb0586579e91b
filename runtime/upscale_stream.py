"""The part of ``python -m runtime.upscale`` for pipes, image sequences and live sources."""

from __future__ import annotations

import argparse
from typing import Any

from runtime.paths import check_input, check_output
from runtime.progress import Progress
from runtime.upscaler import Upscaler
from runtime.video.color import MATRICES
from runtime.video.encoder import EncodeOptions
from runtime.video.endpoints import (
    StreamOptions,
    is_frames_only,
    open_source,
    output_suffixes,
    sink_opener,
)
from runtime.video.pipeline import VideoOptions, output_info
from runtime.video.pipes import STANDARD
from runtime.video.probe import shows_compression
from runtime.video.raw import RAW_SUFFIXES, RawFormat
from runtime.video.stream import run_stream


def add_stream_options(parser: argparse.ArgumentParser) -> None:
    """Options of pipes."""
    group = parser.add_argument_group("streams (- is stdin or stdout)")
    group.add_argument(
        "--raw-input",
        type=_raw_format,
        metavar="WxH:FORMAT:RATE",
        help="input is raw video such as 640x360:yuv420p:25; without it - is YUV4MPEG2",
    )
    group.add_argument(
        "--raw-output", action="store_true", help="write raw planar video instead of YUV4MPEG2"
    )


def is_stream(args: argparse.Namespace) -> bool:
    """Whether the options ask for more than a file job."""
    return bool(
        args.raw_input
        or args.raw_output
        or is_frames_only(args.input)
        or is_frames_only(args.output)
    )


def check_stream(args: argparse.Namespace) -> None:
    """Refuse ends that cannot work, before anything is loaded. Raises OSError or ValueError."""
    if args.input != STANDARD:
        check_input(args.input, args.output)
    if args.output != STANDARD:
        suffixes = RAW_SUFFIXES if args.raw_output else output_suffixes()
        check_output("stream", args.output, suffixes, overwrite=args.overwrite)


def stream_shows_compression(args: argparse.Namespace) -> bool:
    """Whether the input is a video file with artefacts; what comes uncompressed tells nothing."""
    is_file = not (args.raw_input or is_frames_only(args.input))
    return is_file and shows_compression(args.input)


def writes_stdout(args: argparse.Namespace) -> bool:
    """Whether stdout holds video."""
    return bool(args.output == STANDARD)


def upscale_stream(args: argparse.Namespace, upscaler: Upscaler) -> dict[str, Any]:
    """Frames from one end to the other."""
    options = StreamOptions(
        raw_input=args.raw_input,
        has_raw_output=args.raw_output,
        on_error=args.on_error,
        encode=EncodeOptions(args.crf, args.preset, args.codec),
    )
    video = VideoOptions(size=args.size, matrix=MATRICES.get(args.color_matrix))
    is_silent = args.quiet or args.json
    with (
        open_source(args.input, options) as source,
        Progress(None, "upscale", silent=is_silent) as progress,
    ):
        target = output_info(source.info, upscaler.scale, video)
        progress.total = source.info.frames
        progress.say(
            f"{args.input}  {source.info.width}x{source.info.height} -> "
            f"{target.width}x{target.height} {target.layout.planar_name} "
            f"{float(target.rate or 0):g} fps  "
            f"{upscaler.info.name} {upscaler.precision} on {upscaler.info.provider}"
        )
        sink = sink_opener(args.output, options)
        result = run_stream(source, sink, upscaler, video, on_frame=progress.advance)
        for note in result.notes:
            progress.say(f"note: {note}")
    return {
        "frames": result.frames,
        "width": result.width,
        "height": result.height,
        "encoder": result.encoder,
        "notes": list(result.notes),
    }


def _raw_format(text: str) -> RawFormat:
    try:
        return RawFormat.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
