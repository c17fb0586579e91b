"""The part of ``python -m runtime.upscale`` for pipes, image sequences and live sources."""

from __future__ import annotations

import argparse
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from runtime.paths import check_input, check_output
from runtime.picture import PICTURE_SUFFIXES, check_format, read_picture, write_picture
from runtime.progress import Progress
from runtime.streams.endpoints import (
    StreamOptions,
    is_frames_only,
    open_source,
    output_suffixes,
    sink_opener,
)
from runtime.streams.pipes import STANDARD
from runtime.streams.raw import RAW_SUFFIXES, RawFormat, parse_rate
from runtime.streams.rgb import guess_note, is_guess_needed
from runtime.streams.sequence import NumberedFiles, check_pattern, is_pattern
from runtime.streams.stream import run_stream
from runtime.upscaler import Upscaler
from runtime.video.color import MATRICES
from runtime.video.encoder import EncodeOptions
from runtime.video.pipeline import VideoOptions, output_info
from runtime.video.probe import shows_compression
from runtime.video.rgb import matrix_of


def add_stream_options(parser: argparse.ArgumentParser) -> None:
    """Options of pipes and of numbered pictures."""
    group = parser.add_argument_group("streams (- is stdin or stdout, %05d.png numbered pictures)")
    group.add_argument(
        "--raw-input",
        type=_raw_format,
        metavar="WxH:FORMAT:RATE",
        help="input is raw video such as 640x360:yuv420p:25; without it - is YUV4MPEG2",
    )
    group.add_argument(
        "--raw-output", action="store_true", help="write raw planar video instead of YUV4MPEG2"
    )
    group.add_argument(
        "--rate", type=_rate, metavar="FPS", help="of numbered pictures: 25, 30000/1001 (25)"
    )
    group.add_argument(
        "--start-number",
        type=_number,
        metavar="N",
        help="of numbered pictures: read from the first there is, written from 1",
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
    _check_input(args.input, args.output)
    if args.input.suffix.lower() in RAW_SUFFIXES and not args.raw_input:
        raise ValueError(
            f"{args.input} is raw video: describe it by --raw-input 640x360:yuv420p:25"
        )
    if is_pattern(args.input) and args.output.absolute() == args.input.absolute():
        raise ValueError(f"{args.output} is the input itself; name another output")
    check_stream_output(args)


def check_stream_output(args: argparse.Namespace) -> None:
    """Refuse an output that cannot be written. Raises OSError or ValueError."""
    if is_pattern(args.output):
        check_pattern(args.output, args.start_number or 0, overwrite=args.overwrite)
    elif args.output != STANDARD:
        suffixes = RAW_SUFFIXES if args.raw_output else output_suffixes()
        check_output("stream", args.output, suffixes, overwrite=args.overwrite)


def stream_shows_compression(args: argparse.Namespace) -> bool:
    """Whether the input is a video file with artefacts; what comes uncompressed tells nothing."""
    is_file = not (args.raw_input or is_frames_only(args.input))
    return is_file and shows_compression(args.input)


def writes_stdout(args: argparse.Namespace) -> bool:
    """Whether stdout holds video."""
    return bool(args.output == STANDARD)


def stream_options(args: argparse.Namespace) -> StreamOptions:
    """What the command line says about both ends."""
    return StreamOptions(
        raw_input=args.raw_input,
        rate=args.rate,
        start_number=args.start_number,
        matrix=MATRICES.get(args.color_matrix),
        has_raw_output=args.raw_output,
        on_error=args.on_error,
        encode=EncodeOptions(args.crf, args.preset, args.codec),
    )


def upscale_stream(args: argparse.Namespace, upscaler: Upscaler) -> dict[str, Any]:
    """Frames from one end to the other."""
    if is_pattern(args.input) and is_pattern(args.output):
        return _upscale_numbered(args, upscaler)
    options = stream_options(args)
    video = VideoOptions(size=args.size, matrix=options.matrix)
    with open_source(args.input, options) as source, _progress(args, "fps") as progress:
        notes = []
        if is_pattern(args.output) and is_guess_needed(source.info, video.matrix):
            video = replace(video, matrix=matrix_of(source.info))
            notes.append(guess_note(source.info))
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
        notes += result.notes
        for note in notes:
            progress.say(f"note: {note}")
    return {
        "frames": result.frames,
        "width": result.width,
        "height": result.height,
        "encoder": result.encoder,
        "notes": notes,
    }


def _upscale_numbered(args: argparse.Namespace, upscaler: Upscaler) -> dict[str, Any]:
    """Numbered pictures to numbered pictures, each as a picture alone; numbers are kept."""
    if args.size:
        raise ValueError("--size is for video")
    source, target = NumberedFiles(args.input), NumberedFiles(args.output)
    numbers = source.consecutive(args.start_number)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with _progress(args, "pictures/s") as progress:
        progress.total = len(numbers)
        for number in numbers:
            picture = read_picture(source.path(number))
            check_format(target.path(number), picture)
            write_picture(target.path(number), upscaler.upscale(picture))
            progress.advance()
    return {"frames": len(numbers)}


def _check_input(source: Path, target: Path) -> None:
    if source == STANDARD or is_pattern(source):
        return
    check_input(source, target)
    if source.is_dir():
        raise IsADirectoryError(
            f"{source} is a folder; name its pictures by a pattern such as {source}/%05d.png"
        )
    if source.suffix.lower() in PICTURE_SUFFIXES:
        raise ValueError(f"{source} is a picture, {target} is not; name a picture as output")


def _progress(args: argparse.Namespace, unit: str) -> Progress:
    return Progress(None, "upscale", unit, silent=args.quiet or args.json)


def _raw_format(text: str) -> RawFormat:
    try:
        return RawFormat.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _rate(text: str) -> Fraction:
    try:
        return parse_rate(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not 0 or a whole number above")
    return int(text)
