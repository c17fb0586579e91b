"""Upscale a clip with the same pipeline on our native engine and on other runtimes, side by side.

    python benchmarks/video_runtimes.py --threads 4 --preset veryfast --out record.json

Decoding, sound, pixel formats and the encoder are those of ``runtime.video``; only what turns an LR
frame into an SR one changes. The native engine also upscales chroma, which the pipeline does for
the others beside the decoder. The runtimes take turns in random order. Without a clip one is made:
a slow pan over the calibration pictures. stdout is a table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from side_by_side.facts import machine_facts

from calibration.frames import DEFAULT_FRAMES
from runtime.atomic import written_beside
from runtime.cli import run_main
from runtime.manifest import model_file, read_manifest
from runtime.upscaler import Upscaler
from runtime.video.encoder import DEFAULT_CRF, PRESETS, EncodeOptions
from runtime.video.frame_upscaler import PlaneUpscaler
from runtime.video.pipeline import VideoOptions, upscale_video

SHIPPED = Path(__file__).resolve().parents[1] / "runtime" / "bundles" / "fsrcnn-x2.esr"
CLIP_SIZE, CLIP_FRAMES = (640, 360), 300
Plane = NDArray[Any]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of a run."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/video_runtimes.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("clip", nargs="?", type=Path, help="default: 300 frames of 640x360 made on the fly")
    add("--bundle", type=Path, default=SHIPPED, help="default: the shipped x2 student")
    add("--runtimes", default=",".join(RUNTIMES), help="default %(default)s")
    add("--threads", type=int, default=4, help="of the runtime, default %(default)s")
    add("--preset", choices=PRESETS, default="veryfast", help="of x264, default %(default)s")
    add("--rounds", type=int, default=5, help="runs of each runtime, default %(default)s")
    add("--seed", type=int, default=0, help="of the order of the runs")
    add("--out", type=Path, help="also write the JSON object here")
    args = parser.parse_args(argv)
    args.runtimes = args.runtimes.split(",")
    unknown = set(args.runtimes) - RUNTIMES.keys()
    if unknown:
        parser.error(f"--runtimes {', '.join(sorted(unknown))} is not of {', '.join(RUNTIMES)}")
    if args.threads < 1 or args.rounds < 1:
        parser.error("--threads and --rounds must be positive")
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure all runtimes; returns the object of the JSON line."""
    missing = [name for name in args.runtimes if not is_installed(name)]
    for name in missing:
        sys.stderr.write(f"skipped  {name}: not installed\n")
    with tempfile.TemporaryDirectory() as folder:
        clip = args.clip or made_clip(Path(folder) / "clip.mp4")
        size = _size_of(clip)
        upscalers = {
            name: RUNTIMES[name](args.bundle, size, args.threads)
            for name in args.runtimes
            if name not in missing
        }
        rates = _race(upscalers, clip, Path(folder) / "out.mp4", args)
    rows = [_row(name, values) for name, values in rates.items()]
    record = {
        "device": machine_facts(),
        "clip": args.clip.name if args.clip else "made, pan over the calibration pictures",
        "size": list(size),
        "precision": "int8",
        "threads": args.threads,
        "encoder": f"x264, preset {args.preset}, crf {DEFAULT_CRF['h264']:g}",
        "missing": missing,
        "results": rows,
    }
    if args.out:
        with written_beside(args.out) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")
    sys.stdout.write("runtime                         median fps    lowest   highest\n")
    for row in rows:
        ends = f"{row['lowest_fps']:10.1f}{row['highest_fps']:10.1f}"
        sys.stdout.write(f"{row['runtime']:30}{row['median_fps']:12.1f}{ends}\n")
    return record


def _race(
    upscalers: dict[str, PlaneUpscaler], clip: Path, target: Path, args: argparse.Namespace
) -> dict[str, list[float]]:
    """Frames a second of each run, the first run of each runtime dropped."""
    options = VideoOptions(encode=EncodeOptions(preset=args.preset))
    rates: dict[str, list[float]] = {name: [] for name in upscalers}
    order, rng = list(upscalers), random.Random(args.seed)
    for round_ in range(args.rounds + 1):
        rng.shuffle(order)
        for name in order:
            target.unlink(missing_ok=True)
            result = upscale_video(clip, target, upscalers[name], options)
            if round_:
                rates[name].append(result.frames / result.seconds)
    return rates


def _row(name: str, rates: list[float]) -> dict[str, Any]:
    return {
        "runtime": name,
        "median_fps": round(float(np.median(rates)), 2),
        "lowest_fps": round(min(rates), 2),
        "highest_fps": round(max(rates), 2),
        "runs": len(rates),
    }


class LumaGraph:
    """The pipeline's upscaler over ``infer``: float grey levels [1, 1, H, W] to larger ones."""

    channels, takes_frames = "y", False
    max_concurrency = 1

    def __init__(self, scale: int, infer: Callable[[Plane], Plane]) -> None:
        self.scale, self._infer = scale, infer

    def upscale_luma(self, plane: Plane, *, bit_depth: int) -> Plane:
        """Round and clamp what the graph gives, in place and without a second pass in numpy."""
        if bit_depth != 8:
            raise ValueError(f"clips of {bit_depth} bits are not compared")
        sr = self._infer(plane.astype(np.float32)[None, None])[0, 0]
        # Rounds half to even, clamps, and takes all its threads: the fastest way in Python.
        return cv2.convertScaleAbs(cv2.max(sr, 0.0))  # type: ignore[call-overload,no-any-return]

    def upscale_frame(
        self,
        planes: tuple[Plane, ...],
        *,
        bit_depth: int,
        subsampling: tuple[int, int],
        location: str,
    ) -> tuple[Plane, ...]:
        """Not offered: see ``takes_frames``."""
        raise NotImplementedError

    def upscale_rgb(self, picture: Plane) -> Plane:
        """Not offered: see ``channels``."""
        raise NotImplementedError


def open_native(bundle: Path, size: tuple[int, int], threads: int) -> PlaneUpscaler:
    """As ``edge-sr upscale`` opens it."""
    del size
    return Upscaler.open(bundle, backend="native", precision="int8", threads=threads)


def open_openvino(bundle: Path, size: tuple[int, int], threads: int) -> PlaneUpscaler:
    """Latency hint, one stream, the frame's size compiled in, floats left float32."""
    import openvino  # type: ignore[import-not-found,unused-ignore]

    core = openvino.Core()
    model = core.read_model(bundle / model_file("int8", twin=True))
    model.reshape([1, 1, size[1], size[0]])
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def infer(batch: Plane) -> Plane:
        request.infer([batch], share_inputs=True, share_outputs=True)
        result: Plane = request.get_output_tensor().data
        return result

    return LumaGraph(read_manifest(bundle).scale, infer)


def open_onnxruntime(bundle: Path, size: tuple[int, int], threads: int) -> PlaneUpscaler:
    """Threads that sleep between frames: spinning ones slow the encoder down."""
    import onnxruntime

    del size
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = bundle / model_file("int8", twin=True)
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return LumaGraph(read_manifest(bundle).scale, lambda batch: session.run(None, {name: batch})[0])


class Bicubic(LumaGraph):
    """No network at all: what decoding, chroma and encoding leave."""

    def upscale_luma(self, plane: Plane, *, bit_depth: int) -> Plane:
        """OpenCV's bicubic."""
        height, width = plane.shape
        size = (width * self.scale, height * self.scale)
        return cv2.resize(plane, size, interpolation=cv2.INTER_CUBIC)


def open_bicubic(bundle: Path, size: tuple[int, int], threads: int) -> PlaneUpscaler:
    """The bound that the encoder sets."""
    del size, threads
    return Bicubic(read_manifest(bundle).scale, lambda batch: batch)


RUNTIMES: dict[str, Callable[[Path, tuple[int, int], int], PlaneUpscaler]] = {
    "native": open_native,
    "openvino": open_openvino,
    "onnxruntime": open_onnxruntime,
    "bicubic": open_bicubic,
}


def is_installed(name: str) -> bool:
    """Whether a runtime can be timed here."""
    return name in ("native", "bicubic") or importlib.util.find_spec(name) is not None


def made_clip(path: Path) -> Path:
    """A pan of one pixel a frame, H.264 at 25 frames a second."""
    width, height = CLIP_SIZE
    canvas = _canvas(width + CLIP_FRAMES, height + CLIP_FRAMES // 2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "14"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(CLIP_FRAMES):
            top = number // 2
            window = np.ascontiguousarray(canvas[top : top + height, number : number + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(window, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def _canvas(width: int, height: int) -> Plane:
    """The calibration pictures beside and below one another."""
    pictures = [cv2.imread(str(path)) for path in sorted(DEFAULT_FRAMES.glob("*.webp"))]
    side = min(min(picture.shape[:2]) for picture in pictures if picture is not None)
    tiles = [picture[:side, :side] for picture in pictures if picture is not None]
    columns, rows = -(-width // side), -(-height // side)
    grid = [
        np.hstack([tiles[(row * columns + column) % len(tiles)] for column in range(columns)])
        for row in range(rows)
    ]
    return np.vstack(grid)[:height, :width]


def _size_of(clip: Path) -> tuple[int, int]:
    with av.open(str(clip)) as container:
        if not container.streams.video:
            raise ValueError(f"{clip} holds no video")
        stream = container.streams.video[0]
        return stream.width, stream.height


def main(argv: list[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
