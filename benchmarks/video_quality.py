"""Score students and bundles as video shows them: encoded clips, flicker, banding.

    python benchmarks/video_quality.py fsrcnn-x2.esr --clips clip_720p.mp4 --out record.json

Clips: frames of a larger clip are downscaled bicubically, encoded as H.264 at each --crf, upscaled
and compared with what they were: PSNR in dB and SSIM on luminance.

Flicker: the first frame of each clip, at rest, is encoded at each --crf with noise of one grey
level as a camera adds it; a pixel's standard deviation over the frames, in grey levels, is averaged
over the picture. Banding: a smooth gradient, which a network should leave alone; its largest error
and its largest step between neighbours, in grey levels. stdout is three tables and, as its last
line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from edge_sr import evaluate
from edge_sr.data.compression import MAX_CRF, compressed
from edge_sr.data.resample import downscale, modcrop, upscale
from edge_sr.metrics.psnr import psnr
from edge_sr.metrics.ssim import ssim
from runtime.atomic import written_beside
from runtime.cli import run_main

Grey = NDArray[np.uint8]
Enlarge = Callable[[Grey], Grey]
NOISE, STILL_FRAMES = 1.0, 12


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of the scoring."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/video_quality.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("models", nargs="+", type=Path, help="checkpoints, ONNX files or bundles of one scale")
    add("--clips", nargs="+", type=Path, required=True, help="clips of the larger size")
    add("--crf", nargs="+", type=int, default=[0, 20, 26, 32], help="default 0 20 26 32")
    add("--frames", type=int, default=24, help="of each clip, default %(default)s")
    add("--threads", type=int, default=0)
    add("--out", type=Path, help="also write the JSON object here")
    args = parser.parse_args(argv)
    if args.frames < 1:
        parser.error(f"--frames {args.frames} must be at least 1")
    for crf in args.crf:
        if not 0 <= crf <= MAX_CRF:
            parser.error(f"--crf {crf} is not in 0 to {MAX_CRF}")
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score everything; returns the object of the JSON line."""
    clips = {path.name: read_luma(path, args.frames) for path in args.clips}
    rows: dict[str, dict[str, Any]] = {}
    scale, encoded = 0, {}
    for model in args.models:
        options = evaluate.parse_args(
            [str(model), "--data", ".", "--threads", str(args.threads), "--json"]
        )
        with evaluate.opened_model(options) as opened:
            found = opened.scale
            if opened.channels != "y":
                raise ValueError(f"{model} upscales RGB; this compares luminance networks")
            if scale not in (0, found):
                raise ValueError(f"{model} upscales by {found}, others by {scale}")
            if not scale:
                scale = found
                encoded = {name: Encoded.of(c, args.crf, scale) for name, c in clips.items()}
                rows["bicubic"] = scored(_bicubic(scale), encoded, scale)
            for _, precision, upscale_luma in opened.upscalers:
                name = f"{model.stem} {precision}"
                rows[name] = scored(_rounded(upscale_luma), encoded, scale)
    record = {"scale": scale, "crf": args.crf, "frames": args.frames, "rows": rows}
    print("\n".join(table_lines(rows, args.crf)))  # noqa: T201
    if args.out:
        with written_beside(args.out) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")
    return record


def read_luma(path: Path, frames: int) -> list[Grey]:
    """Luminance of a clip's first frames, as decoded. OSError or ValueError if it has none."""
    if not path.is_file():
        raise FileNotFoundError(f"clip {path} does not exist")
    planes: list[Grey] = []
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                plane = frame.planes[0]
                rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
                planes.append(rows[: frame.height, : frame.width].copy())
                if frame.format.components[0].bits != 8:
                    raise ValueError(f"{path} has no 8-bit luminance")
                if len(planes) == frames:
                    break
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} has no video that can be decoded: {error}") from error
    if not planes:
        raise ValueError(f"{path} has no frames")
    return planes


@dataclass(frozen=True)
class Encoded:
    """A clip, and by CRF its frames downscaled and encoded, and its first frame at rest."""

    larger: list[Grey]
    moving: dict[int, list[Grey]]
    still: dict[int, list[Grey]]

    @classmethod
    def of(cls, frames: Sequence[Grey], crfs: Sequence[int], scale: int) -> Encoded:
        """Encode what a clip gives at every CRF."""
        larger = [modcrop(frame, scale) for frame in frames]
        smaller = [downscale(frame, scale) for frame in larger]
        rng = np.random.default_rng(0)
        noise = rng.normal(0, NOISE, (STILL_FRAMES, *smaller[0].shape))
        noisy = list(np.clip(np.rint(smaller[0] + noise), 0, 255).astype(np.uint8))
        return cls(
            larger,
            {crf: compressed(smaller, crf) for crf in crfs},
            {crf: compressed(noisy, crf) for crf in crfs},
        )


def scored(enlarge: Enlarge, clips: dict[str, Encoded], scale: int) -> dict[str, Any]:
    """All scores of one upscaler."""
    flickers = [
        {crf: flicker(enlarge, frames) for crf, frames in clip.still.items()}
        for clip in clips.values()
    ]
    return {
        "clips": {
            name: {
                str(crf): clip_score(enlarge, clip.larger, frames, scale)
                for crf, frames in clip.moving.items()
            }
            for name, clip in clips.items()
        },
        "flicker": {
            str(crf): float(np.mean([found[crf] for found in flickers])) for crf in flickers[0]
        },
        "banding": banding(enlarge, scale),
    }


def clip_score(
    enlarge: Enlarge, larger: Sequence[Grey], smaller: Sequence[Grey], scale: int
) -> list[float]:
    """Mean PSNR in dB and SSIM of a clip."""
    scores = []
    for hr, lr in zip(larger, smaller, strict=True):
        sr = enlarge(lr)
        scores.append((psnr(sr, hr, shave=scale), ssim(sr, hr, shave=scale)))
    return [float(np.mean(values)) for values in zip(*scores, strict=True)]


def flicker(enlarge: Enlarge, still: Sequence[Grey]) -> float:
    """Standard deviation over time of a scene at rest, in grey levels, mean over its pixels."""
    seen = np.stack([enlarge(lr) for lr in still]).astype(np.float64)
    return float(seen.std(axis=0).mean())


def banding(enlarge: Enlarge, scale: int) -> list[float]:
    """Largest error and largest step between neighbours on gradients in two directions."""
    width, height = 320 * scale, 90 * scale
    errors, steps = [], []
    for low, high in ((16, 80), (100, 130), (200, 235)):
        ramp = np.linspace(low, high, width)[None, :] + np.linspace(0, 4, height)[:, None]
        sr = enlarge(downscale(np.rint(ramp).astype(np.uint8), scale)).astype(np.float64)
        inner = sr[scale:-scale, scale:-scale]
        errors.append(np.abs(inner - ramp[scale:-scale, scale:-scale]).max())
        steps += [np.abs(np.diff(inner, axis=axis)).max() for axis in (0, 1)]
    return [float(max(errors)), float(max(steps))]


def table_lines(rows: dict[str, dict[str, Any]], crfs: Sequence[int]) -> list[str]:
    """Three tables in Markdown."""
    clips = list(next(iter(rows.values()))["clips"])
    titles = [f"CRF {crf}" for crf in crfs]
    lines = [f"| clip | | {' | '.join(titles)} |", f"|{'---|' * (len(crfs) + 2)}"]
    for clip in clips:
        for name, row in rows.items():
            cells = [f"{p:.2f} / {s:.4f}" for p, s in row["clips"][clip].values()]
            lines.append(f"| {clip} | {name} | {' | '.join(cells)} |")
    lines += ["", f"| flicker | {' | '.join(titles)} |", f"|{'---|' * (len(crfs) + 1)}"]
    for name, row in rows.items():
        cells = [f"{value:.3f}" for value in row["flicker"].values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| banding | largest error | largest step |", "|---|---|---|"]
    for name, row in rows.items():
        error, step = row["banding"]
        lines.append(f"| {name} | {error:.2f} | {step:.0f} |")
    return lines


def _bicubic(scale: int) -> Enlarge:
    return lambda lr: upscale(lr, scale)


def _rounded(upscale_luma: Callable[[Any], Any]) -> Enlarge:
    return lambda lr: np.clip(np.rint(upscale_luma(lr.astype(np.float64))), 0, 255).astype(np.uint8)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
