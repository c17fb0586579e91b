"""Score a checkpoint, an ONNX file or a bundle on a folder of HR pictures.

    python -m edge_sr.evaluate runs/x2/student.safetensors --data sets/Set5 --scale 2 --protocol B

Without a file it scores the shipped student of --scale; with --bicubic the bicubic row alone.
Checkpoints run in float, as the papers do. Bundles take and return 8-bit luminance, so the LR
luminance is rounded first. An .onnx file takes float luminance in [0, 1], unless its input is
uint8 or its name ends in .f32.onnx (grey levels 0..255). The last line of stdout is JSON.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edge_sr.cli import run_main
from edge_sr.data.image_io import list_images, read_image
from edge_sr.metrics.protocols import (
    PROTOCOLS,
    LumaUpscaler,
    Score,
    score_bicubic,
    score_luma_upscaler,
)

Row = tuple[str, str, LumaUpscaler | None]


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
    add("--protocol", choices=PROTOCOLS, default="B")
    add("--precision", help="of a bundle, comma separated; default all it holds")
    add("--backend", default="auto", help="of a bundle")
    add("--threads", type=int, default=0)
    add("--bicubic", action="store_true", help="score bicubic alone")
    add("--json", action="store_true", help="only the JSON line on stdout")
    args = parser.parse_args(argv)
    if args.bicubic and args.model:
        parser.error("--bicubic scores no model; leave the file out")
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score every row on every picture; returns the object of the JSON line."""
    paths = list_images(args.data)
    with opened_rows(args) as (scale, rows):
        rows = [("bicubic", "fp32", None), *rows]
        per_image: list[dict[str, Any]] = []
        for path in paths:
            image = read_image(path)
            if image.dtype != np.uint8:
                raise ValueError(f"{path} has 16-bit samples; the protocols need 8-bit pictures")
            for name, precision, upscale_luma in rows:
                score = _score(image, scale, args.protocol, upscale_luma)
                per_image.append(
                    {"image": path.name, "name": name, "precision": precision, **vars(score)}
                )
    results = [_mean(per_image, name, precision) for name, precision, _ in rows]
    if not args.json:
        _print_table(paths, per_image, results)
    return {
        "data": str(args.data),
        "scale": scale,
        "protocol": args.protocol,
        "results": results,
        "per_image": per_image,
    }


@contextmanager
def opened_rows(args: argparse.Namespace) -> Iterator[tuple[int, list[Row]]]:
    """The scale and the rows (name, precision, upscaler) that the arguments ask for."""
    if args.bicubic:
        yield args.scale or 2, []
    elif args.model is not None and args.model.is_dir():
        with _bundle_rows(args) as opened:
            yield opened
    elif args.model is not None and args.model.suffix == ".onnx":
        yield _onnx_rows(args.model, args.scale, args.threads)
    else:
        yield _checkpoint_rows(args.model, args.scale, args.threads)


def _score(image: Any, scale: int, protocol: str, upscale_luma: LumaUpscaler | None) -> Score:
    if upscale_luma is None:
        return score_bicubic(image, scale, protocol)
    return score_luma_upscaler(image, scale, protocol, upscale_luma)


def _checkpoint_rows(path: Path | None, scale: int | None, threads: int) -> tuple[int, list[Row]]:
    import torch

    from edge_sr.models.checkpoint import load_checkpoint, shipped_checkpoint

    model, _ = load_checkpoint(path or shipped_checkpoint(scale or 2))
    _check_scale(model.spec.scale, scale)
    if threads:
        torch.set_num_threads(threads)

    def upscale_luma(lr: Any) -> Any:
        with torch.inference_mode():
            batch = torch.from_numpy(lr / 255.0).to(torch.float32)[None, None]
            return model(batch)[0, 0].double().numpy() * 255.0

    return model.spec.scale, [(model.spec.name, "fp32", upscale_luma)]


def _onnx_rows(path: Path, scale: int | None, threads: int) -> tuple[int, list[Row]]:
    import onnxruntime

    if not path.is_file():
        raise FileNotFoundError(f"file {path} does not exist")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's own classes derive from Exception alone
        raise ValueError(f"{path} is not a graph ONNX Runtime can load: {error}") from error
    lr_input = session.get_inputs()[0]
    is_uint8 = lr_input.type == "tensor(uint8)"
    peak = 255.0 if is_uint8 or path.name.endswith(".f32.onnx") else 1.0

    def upscale_luma(lr: Any) -> Any:
        samples = np.rint(lr).astype(np.uint8) if is_uint8 else (lr / 255 * peak).astype(np.float32)
        (sr,) = session.run(None, {lr_input.name: samples[None, None]})
        return sr[0, 0].astype(np.float64) * (255 / peak)

    found = upscale_luma(np.full((16, 16), 128.0)).shape[0] // 16
    _check_scale(found, scale)
    return found, [(path.name, "uint8" if is_uint8 else "float", upscale_luma)]


@contextmanager
def _bundle_rows(args: argparse.Namespace) -> Iterator[tuple[int, list[Row]]]:
    from runtime import UnsupportedError, Upscaler, read_manifest

    manifest = read_manifest(args.model)
    _check_scale(manifest.scale, args.scale)
    named = args.precision.split(",") if args.precision else []
    rows: list[Row] = []
    with ExitStack() as stack:
        for precision in named or manifest.precisions:
            try:
                upscaler = Upscaler.open(
                    args.model,
                    backend=args.backend,
                    precision=precision,
                    threads=args.threads,
                    may_fall_back=False,
                )
            except UnsupportedError as error:
                # One asked for by name must run; of all that a bundle holds some may not.
                if named:
                    raise
                sys.stderr.write(f"skipped {precision}: {error}\n")
                continue
            stack.enter_context(upscaler)
            rows.append((manifest.model, precision, _eight_bit(upscaler)))
        if not rows:
            raise UnsupportedError(f"no precision of {args.model} runs here")
        yield manifest.scale, rows


def _eight_bit(upscaler: Any) -> LumaUpscaler:
    return lambda lr: upscaler.upscale_luma(np.clip(np.rint(lr), 0, 255).astype(np.uint8))


def _check_scale(found: int, asked: int | None) -> None:
    if asked is not None and asked != found:
        raise ValueError(f"the model's scale is {found}, not {asked}; leave --scale out")


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
