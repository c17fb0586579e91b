"""Upscale an hour of video and watch the memory of the process.

    python benchmarks/video_memory.py --minutes 60 --out record.json

The clip is made on the spot: 25 frames a second with a moving pattern. Resident memory is read
from /proc ten times a second; the table has its median in each tenth of the run. stdout ends with
one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
from side_by_side.facts import machine_facts

from runtime.atomic import written_beside
from runtime.cli import run_main

RATE = 25
PARTS = 10
INTERVAL_S = 0.1


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of a run."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/video_memory.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--minutes", type=float, default=60, help="of video, default %(default)s")
    add("--size", default="160x90", help="of the input, default %(default)s")
    add("--out", type=Path, help="also write the JSON object here")
    args = parser.parse_args(argv)
    args.width, args.height = (int(side) for side in args.size.split("x"))
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; returns the object of the JSON line."""
    count = round(args.minutes * 60 * RATE)
    with tempfile.TemporaryDirectory() as name:
        clip, target = Path(name) / "clip.mp4", Path(name) / "out.mp4"
        make_clip(clip, args.width, args.height, count)
        command = [sys.executable, "-m", "runtime.upscale", str(clip), str(target)]
        start = time.monotonic()
        process = subprocess.Popen([*command, "--preset", "ultrafast", "--quiet"])
        samples = watch(process)
        seconds = time.monotonic() - start
        if process.returncode:
            raise RuntimeError(f"the run ended with exit code {process.returncode}")
    count_of_samples = len(samples)
    tenths = []
    for part in range(PARTS):
        ends = count_of_samples * part // PARTS, count_of_samples * (part + 1) // PARTS
        tenths.append(round(statistics.median(samples[slice(*ends)] or samples[-1:])))
    record = {
        "device": machine_facts(),
        "minutes": args.minutes,
        "frames": count,
        "size": [args.width, args.height],
        "seconds": round(seconds, 1),
        "median_mib_of_each_tenth": tenths,
        "peak_mib": round(max(samples)),
    }
    if args.out:
        with written_beside(args.out) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")
    sys.stdout.write("part of the run    resident, MiB\n")
    for place, value in enumerate(tenths):
        sys.stdout.write(f"{place * 10:3} to {place * 10 + 10:3} %      {value}\n")
    return record


def make_clip(path: Path, width: int, height: int, count: int) -> None:
    """A bright block that moves over a background whose grey changes each second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(
            "libx264", rate=RATE, options={"preset": "ultrafast", "crf": "35"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(count):
            frame = av.VideoFrame(width, height, "yuv420p")
            for number, plane in enumerate(frame.planes):
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
                rows[:] = (index // RATE + number * 40) % 200
            x = index % (width * 2 // 3)
            np.frombuffer(frame.planes[0], np.uint8).reshape(height, -1)[
                height // 4 : height // 2, x : x + width // 4
            ] = 220
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def watch(process: subprocess.Popen[bytes]) -> list[float]:
    """Resident memory in MiB until the process ends."""
    samples = []
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        lines = [line.split() for line in status.splitlines() if line.startswith("VmRSS:")]
        if lines:
            samples.append(int(lines[0][1]) / 1024)
        time.sleep(INTERVAL_S)
    process.wait()
    return samples


if __name__ == "__main__":
    sys.exit(run_main(run, parse_args()))
