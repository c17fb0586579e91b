"""Score a checkpoint, an ONNX file or a bundle on a folder of HR pictures.

    python -m edge_sr.evaluate runs/x2/student.safetensors --data sets/Set5 --scale 2 --protocol B

Without a file it scores the shipped student of --scale; with --bicubic the bicubic row alone.
Checkpoints run in float, as the papers do. Bundles take and return 8 bits, so the LR luminance is
rounded first. An .onnx file takes float samples in [0, 1], unless its input is uint8 or its name
ends in .f32.onnx (grey levels 0..255). RGB networks are scored by protocol C.

--table prints the papers' scores beside ours, of the data set that the folder is named after (Set5,
Set14, B100, Urban100, Manga109); without a file, ours are all shipped students of the scale. The
last line of stdout is JSON.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edge_sr.cli import run_main
from edge_sr.data.image_io import list_images, read_image
from edge_sr.metrics.protocols import PROTOCOLS
from edge_sr.metrics.published import Published, published_scores, table_lines
from edge_sr.scored_models import (
    Opened,
    opened_bundle,
    opened_checkpoint,
    opened_onnx,
    opened_shipped,
    with_self_ensemble,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of an evaluation."""
    parser = argparse.ArgumentParser(
        prog="python -m edge_sr.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", nargs="?", type=Path, help=".safetensors, .onnx or an .esr bundle")
    add("--data", type=Path, required=True, help="folder of HR pictures")
    add("--scale", type=int, choices=(2, 3, 4), default=None, help="default: the model's, else 2")
    add("--protocol", choices=PROTOCOLS, help="default B, of an RGB network C")
    add("--precision", help="of a bundle, comma separated; default all it holds")
    add("--backend", default="auto", help="of a bundle")
    add("--threads", type=int, default=0)
    add("--bicubic", action="store_true", help="score bicubic alone")
    add(
        "--self-ensemble",
        action="store_true",
        help="a checkpoint also as the mean over the 8 symmetries of the square",
    )
    add("--table", action="store_true", help="beside the scores that the papers print")
    add("--json", action="store_true", help="only the JSON line on stdout")
    args = parser.parse_args(argv)
    if args.bicubic and args.model:
        parser.error("--bicubic scores no model; leave the file out")
    is_checkpoint = args.model is None or args.model.suffix == ".safetensors"
    if args.self_ensemble and (args.bicubic or not is_checkpoint):
        parser.error("--self-ensemble is for checkpoints")
    if args.self_ensemble and args.table and args.model is None:
        parser.error("--self-ensemble is of one checkpoint; name it")
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score every row on every picture; returns the object of the JSON line."""
    paths = list_images(args.data)
    with opened_model(args) as opened:
        protocol = opened.protocol(args.protocol)
        theirs = published_scores(args.data.resolve().name, opened.scale) if args.table else []
        rows = opened.rows(protocol)
        per_image: list[dict[str, Any]] = []
        for path in paths:
            image = read_image(path)
            if image.dtype != np.uint8:
                raise ValueError(f"{path} has 16-bit samples; the protocols need 8-bit pictures")
            for name, precision, score in rows:
                row = {"image": path.name, "name": name, "precision": precision}
                per_image.append({**row, **vars(score(image))})
    results = [_mean(per_image, name, precision) for name, precision, _ in rows]
    if args.table and not args.json:
        name = args.data.resolve().name
        ours = _as_published(results, name, opened.scale, protocol)
        print("\n".join(table_lines(f"{name} x{opened.scale}", ours, theirs)))  # noqa: T201
    elif not args.json:
        _print_table(paths, per_image, results)
    published = {"published": [asdict(row) for row in theirs]} if args.table else {}
    return {
        "data": str(args.data),
        "scale": opened.scale,
        "protocol": protocol,
        "results": results,
        "per_image": per_image,
        **published,
    }


@contextmanager
def opened_model(args: argparse.Namespace) -> Iterator[Opened]:
    """What the arguments ask to score."""
    if args.bicubic:
        yield Opened(args.scale or 2, "y", [])
    elif args.model is not None and args.model.is_dir():
        named = args.precision.split(",") if args.precision else []
        with opened_bundle(
            args.model, args.scale, backend=args.backend, named=named, threads=args.threads
        ) as opened:
            yield opened
    elif args.model is not None and args.model.suffix == ".onnx":
        yield opened_onnx(args.model, args.scale, args.threads)
    elif args.table and args.model is None:
        yield opened_shipped(args.scale or 2, args.threads)
    else:
        opened = opened_checkpoint(args.model, args.scale, args.threads)
        yield with_self_ensemble(opened) if args.self_ensemble else opened


def _as_published(
    results: list[dict[str, Any]], dataset: str, scale: int, protocol: str
) -> list[Published]:
    return [
        Published(
            paper="ours",
            table="",
            method=f"{result['name']} {result['precision']}",
            scale=scale,
            dataset=dataset,
            protocol=protocol,
            psnr=result["psnr"],
            ssim=result["ssim"],
            note="",
        )
        for result in results
    ]


def _mean(per_image: list[dict[str, Any]], name: str, precision: str) -> dict[str, Any]:
    mine = [s for s in per_image if (s["name"], s["precision"]) == (name, precision)]
    return {
        "name": name,
        "precision": precision,
        "psnr": round(sum(s["psnr"] for s in mine) / len(mine), 4),
        "ssim": round(sum(s["ssim"] for s in mine) / len(mine), 5),
        "images": len(mine),
    }


def _print_table(
    paths: list[Path], per_image: list[dict[str, Any]], results: list[dict[str, Any]]
) -> None:
    titles = [f"{r['name']} {r['precision']}" for r in results]
    width = max(12, *(len(path.name) for path in paths))
    lines = [" " * width + "".join(f"  {title:>22}" for title in titles)]
    for start, path in zip(range(0, len(per_image), len(results)), paths, strict=True):
        scores = per_image[start : start + len(results)]
        cells = "".join(_cell(score) for score in scores)
        lines.append(f"{path.name:<{width}}{cells}")
    cells = "".join(_cell(result) for result in results)
    lines.append(f"{'mean':<{width}}{cells}")
    print("\n".join(lines))  # noqa: T201


def _cell(score: dict[str, Any]) -> str:
    text = f"{score['psnr']:.3f} / {score['ssim']:.4f}"
    return f"  {text:>22}"


def main(argv: list[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
