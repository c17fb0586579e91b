"""How near the video pipeline comes to its slowest stage, and to what the cores can do.

    python benchmarks/video_stages.py --presets ultrafast,veryfast --out record.json

Each round decodes a clip alone, upscales its frames alone, encodes the result alone, and runs the
whole pipeline, all with the same engine and encoder; the table has the medians. On a CPU the stages
share the cores, so a second bound is given: the cores divided by the CPU time that the stages take
together for a frame. --device-ms puts a stand-in in the place of the network, which waits so long
for each frame as for a GPU, and leaves the cores alone. Without a clip one is made: a slow pan over
the calibration pictures. stdout ends with one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from side_by_side.facts import machine_facts
from video_runtimes import SHIPPED, made_clip

from runtime.atomic import written_beside
from runtime.cli import run_main
from runtime.upscaler import Upscaler
from runtime.video.encoder import PRESETS, EncodeOptions
from runtime.video.frame import Frame, Plane
from runtime.video.frame_upscaler import PlaneUpscaler, frame_stages
from runtime.video.pipeline import VideoJob, VideoOptions, plan_video, upscale_video

STAGES = ("decode", "upscale", "encode")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of a run."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/video_stages.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("clip", nargs="?", type=Path, help="default: 300 frames of 640x360 made on the fly")
    add("--bundle", type=Path, default=SHIPPED, help="default: the shipped x2 student")
    add("--precision", default="int8", help="default %(default)s")
    add("--threads", type=int, default=0, help="of the engine, 0: one per physical core")
    add("--presets", default="ultrafast,veryfast,medium", help="of x264, default %(default)s")
    add("--device-ms", type=float, default=0, help="a device that waits, 0: the engine")
    add("--rounds", type=int, default=5, help="default %(default)s")
    add("--out", type=Path, help="also write the JSON object here")
    args = parser.parse_args(argv)
    args.presets = args.presets.split(",")
    unknown = set(args.presets) - set(PRESETS)
    if unknown:
        parser.error(f"--presets {', '.join(sorted(unknown))} is not of {', '.join(PRESETS)}")
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; returns the object of the JSON line."""
    with tempfile.TemporaryDirectory() as folder:
        upscaler, engine = open_upscaler(args)
        clip = args.clip or made_clip(Path(folder) / "clip.mp4")
        target = Path(folder) / "out.mp4"
        rows = [measure(clip, target, upscaler, preset, args.rounds) for preset in args.presets]
    record = {
        "device": machine_facts(),
        "clip": args.clip.name if args.clip else "made, pan over the calibration pictures",
        "precision": args.precision,
        "engine": engine,
        "results": rows,
    }
    if args.out:
        with written_beside(args.out) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")
    for row in rows:
        alone = "  ".join(f"{name} {row[name]['fps']:.0f} fps" for name in STAGES)
        sys.stdout.write(
            f"{row['preset']:10}  alone: {alone}  pipeline: {row['pipeline']['fps']:.0f} fps, "
            f"{row['of_slowest_stage']:.0%} of the slowest stage, {row['of_cores']:.0%} of what "
            "the cores can do\n"
        )
    return record


class WaitingDevice:
    """In the place of a network on a device: waits, then repeats every sample."""

    channels, scale, takes_frames, max_concurrency = "y", 2, True, 1

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def upscale_luma(self, plane: Plane, *, bit_depth: int) -> Plane:
        """Every sample of a plane repeated."""
        return plane.repeat(self.scale, axis=0).repeat(self.scale, axis=1)

    def upscale_frame(self, planes: tuple[Plane, ...], **options: Any) -> tuple[Plane, ...]:
        """A wait, and every sample of all planes repeated."""
        time.sleep(self._seconds)
        return tuple(self.upscale_luma(plane, bit_depth=8) for plane in planes)

    def upscale_rgb(self, picture: Plane) -> Plane:
        """Not offered: see ``channels``."""
        raise NotImplementedError


def open_upscaler(args: argparse.Namespace) -> tuple[PlaneUpscaler, str]:
    """What upscales, and what to call it."""
    if args.device_ms:
        return WaitingDevice(args.device_ms / 1000), f"a stand-in that waits {args.device_ms:g} ms"
    upscaler = Upscaler.open(args.bundle, precision=args.precision, threads=args.threads)
    info = upscaler.info
    return upscaler, f"{info.name} {info.provider}, {info.threads} threads"


def measure(
    clip: Path, target: Path, upscaler: PlaneUpscaler, preset: str, rounds: int
) -> dict[str, Any]:
    """One row: each stage alone and all together, medians of ``rounds`` after one to warm up."""
    job = plan_video(
        clip, ".mp4", upscaler.scale, VideoOptions(encode=EncodeOptions(preset=preset))
    )
    work = frame_stages(job.info, job.frame_info, upscaler)
    with job.open_reader() as reader:
        small = [frame for _, frame in reader.frames(range(job.plan.count))]
    large = [work.upscale(work.prepare(frame)) for frame in small]

    def pipeline() -> None:
        target.unlink(missing_ok=True)
        upscale_video(clip, target, upscaler, job.options)

    parts: dict[str, Callable[[], object]] = {
        "decode": lambda: decode(job),
        "upscale": lambda: [work.upscale(work.prepare(frame)) and None for frame in small],
        "encode": lambda: encode(job, large),
        "pipeline": pipeline,
    }
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}
    for round_ in range(rounds + 1):
        for name, part in parts.items():
            cpu, start = _cpu_s(), time.perf_counter()
            part()
            taken = time.perf_counter() - start, _cpu_s() - cpu
            if round_:
                samples[name].append(taken)
    row: dict[str, Any] = {"preset": preset}
    for name, taken in samples.items():
        seconds, cpu_s = (statistics.median(values) for values in zip(*taken, strict=True))
        row[name] = {
            "fps": round(len(small) / seconds, 1),
            "cpu_ms_a_frame": round(1000 * cpu_s / len(small), 2),
        }
    cores = len(os.sched_getaffinity(0))
    limit = 1000 * cores / sum(row[name]["cpu_ms_a_frame"] for name in STAGES)
    slowest = min(row[name]["fps"] for name in STAGES)
    rate = row["pipeline"]["fps"]
    return row | {
        "of_slowest_stage": round(rate / slowest, 3),
        "of_cores": round(rate / limit, 3),
    }


def decode(job: VideoJob) -> None:
    """Decode the whole clip."""
    with job.open_reader() as reader:
        for _ in reader.frames(range(job.plan.count)):
            pass


def encode(job: VideoJob, frames: list[Frame]) -> None:
    """Encode all frames as the pipeline does, a segment at a time."""
    length = job.options.segment_frames
    for first in range(0, len(frames), length):
        encoder = job.open_encoder()
        for frame in frames[first : first + length]:
            encoder.encode(frame)
        encoder.finish()


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(run_main(run, parse_args()))
