"""Halve a clip, upscale it as a user would, and show a detail beside bicubic and the original.

    python benchmarks/before_after.py clip_720p.mp4 --bundle fsrcnn-x2.esr --frame 20 \
        --crop 232x200+384+140 --picture picture.png --out record.json

The clip is downscaled by the bundle's scale (FFmpeg's bicubic), stored without loss and goes
through ``python -m runtime.upscale``. Bicubic is FFmpeg's, through the same encoder settings.
stdout is each one's luminance PSNR in dB, the mean over all frames, and as its last line one JSON
object; --picture is the detail of one frame, each pixel as large as --zoom says.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sr.metrics.psnr import psnr
from runtime.atomic import written_beside
from runtime.cli import run_main
from runtime.manifest import read_manifest

RATE = 25
ROOT = Path(__file__).resolve().parents[1]
H264 = {"crf": "16", "preset": "medium"}
Pixels = NDArray[np.uint8]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of the comparison."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/before_after.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("clip", type=Path, help="a clip of the larger size")
    add("--bundle", type=Path, required=True)
    add("--precision", default="int8")
    add("--frame", type=int, default=0, help="the one that is shown, default the first")
    add("--crop", type=_crop, required=True, metavar="WxH+X+Y", help="its detail in pixels")
    add("--zoom", type=int, choices=range(1, 9), default=2)
    add("--picture", type=Path, required=True, help=".png to write")
    add("--out", type=Path, help="also write the JSON object here")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Upscale, compare, draw; returns the object of the JSON line."""
    scale = read_manifest(args.bundle).scale
    if not args.clip.is_file():
        raise FileNotFoundError(f"clip {args.clip} does not exist")
    with tempfile.TemporaryDirectory() as folder:
        small, ours, bicubic = (Path(folder) / name for name in ("lr.mkv", "sr.mp4", "bicubic.mp4"))
        width, height = _size_of(args.clip)
        if width % (2 * scale) or height % (2 * scale):
            raise ValueError(f"{args.clip} is {width}x{height}, not a multiple of {2 * scale}")
        resized = (width // scale, height // scale)
        _encode(_resized(args.clip, *resized), small, {"qp": "0", "preset": "fast"})
        _encode(_resized(small, width, height), bicubic, H264)
        command = [sys.executable, "-m", "runtime.upscale", str(small), str(ours), "--quiet"]
        command += ["--bundle", str(args.bundle.absolute()), "--precision", args.precision]
        command += ["--codec", "h264", *(f"--{name}={value}" for name, value in H264.items())]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(done.stderr.strip().splitlines()[-1])
        results = {"bicubic": bicubic, "edge-sr": ours}
        scores = {name: _psnr(args.clip, path) for name, path in results.items()}
        shown = (bicubic, ours, args.clip)
        details = [_detail(path, args.frame, args.crop) for path in shown]
    _draw(details, args.zoom, args.picture)
    for name, (frames, mean) in scores.items():
        print(f"{name}  {mean:.2f} dB over {frames} frames")  # noqa: T201
    record = {
        "clip": args.clip.name,
        "bundle": args.bundle.name,
        "precision": args.precision,
        "lr": "x".join(map(str, resized)),
        "encoder": H264,
        "frames": scores["edge-sr"][0],
        "psnr": {name: round(mean, 3) for name, (_, mean) in scores.items()},
    }
    if args.out:
        with written_beside(args.out) as partial:
            partial.write_text(json.dumps(record, indent=1) + "\n")
    return record


def _frames(path: Path) -> Iterator[Any]:
    try:
        with av.open(str(path)) as container:
            yield from container.decode(video=0)
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} has no video that can be decoded: {error}") from error


def _size_of(path: Path) -> tuple[int, int]:
    for frame in _frames(path):
        _luma(frame)  # refused before any work
        return frame.width, frame.height
    raise ValueError(f"{path} has no frames")


def _resized(path: Path, width: int, height: int) -> Iterator[Any]:
    for frame in _frames(path):
        yield frame.reformat(width, height, "yuv420p", interpolation="BICUBIC")


def _encode(frames: Iterable[Any], path: Path, options: dict[str, str]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        for number, frame in enumerate(frames):
            if number == 0:
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _luma(frame: Any) -> Pixels:
    if frame.format.components[0].bits != 8 or frame.format.is_rgb:
        raise ValueError(f"the clip is {frame.format.name}, without 8-bit luminance")
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width]


def _psnr(original: Path, result: Path) -> tuple[int, float]:
    """Number of frames, and the mean over them of the luminance PSNR in dB."""
    scores = [
        psnr(_luma(ours).astype(np.float64), _luma(theirs).astype(np.float64), shave=0)
        for theirs, ours in zip(_frames(original), _frames(result), strict=True)
    ]
    return len(scores), float(np.mean(scores))


def _detail(path: Path, number: int, crop: tuple[int, int, int, int]) -> Pixels:
    width, height, x, y = crop
    for index, frame in enumerate(_frames(path)):
        if index == number:
            picture: Pixels = frame.to_ndarray(format="bgr24")
            if y + height > picture.shape[0] or x + width > picture.shape[1]:
                raise ValueError(f"--crop leaves the frame of {frame.width}x{frame.height}")
            return picture[y : y + height, x : x + width]
    raise ValueError(f"--frame {number} is not in {path.name}")


def _draw(details: Sequence[Pixels], zoom: int, target: Path) -> None:
    gap = np.full((details[0].shape[0] * zoom, 8, 3), 255, np.uint8)
    parts: list[Pixels] = []
    for detail in details:
        parts += [np.kron(detail, np.ones((zoom, zoom, 1), np.uint8)), gap]
    _, png = cv2.imencode(".png", np.hstack(parts[:-1]), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    with written_beside(target) as partial:
        partial.write_bytes(png.tobytes())


def _crop(text: str) -> tuple[int, int, int, int]:
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})\+(\d{1,5})\+(\d{1,5})", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 200x160+40+20")
    width, height, x, y = map(int, found.groups())
    return width, height, x, y


def main(argv: Sequence[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
