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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_sr.cli import run_main
from edge_sr.data.image_io import list_images, read_image
from edge_sr.data.patches import transform
from edge_sr.metrics.protocols import (
    PROTOCOLS,
    Score,
    score_bicubic,
    score_luma_upscaler,
    score_rgb_upscaler,
)
from edge_sr.metrics.published import Published, published_scores, table_lines

# Upscales LR as the protocols give it: float64 luminance, or uint8 RGB for an RGB network.
Upscale = Callable[[Any], Any]
# Name, precision and how one HR picture is scored.
Row = tuple[str, str, Callable[[Any], Score]]


@dataclass(frozen=True)
class Opened:
    """A model at some precisions: name, precision, upscaler of each."""

    scale: int
    channels: str
    upscalers: list[tuple[str, str, Upscale]]

    def protocol(self, asked: str | None) -> str:
        """The protocol to score by; ValueError if an RGB network is asked for luminance alone."""
        if self.channels == "rgb" and asked not in (None, "C"):
            raise ValueError(f"an RGB network is scored by protocol C, not {asked}")
        return asked or ("C" if self.channels == "rgb" else "B")

    def rows(self, protocol: str) -> list[Row]:
        """Bicubic, then each upscaler."""

        def scorer(upscale: Upscale) -> Callable[[Any], Score]:
            if self.channels == "rgb":
                return lambda image: score_rgb_upscaler(image, self.scale, upscale)
            return lambda image: score_luma_upscaler(image, self.scale, protocol, upscale)

        def bicubic(image: Any) -> Score:
            return score_bicubic(image, self.scale, protocol)

        found = [(name, precision, scorer(up)) for name, precision, up in self.upscalers]
        return [("bicubic", "fp32", bicubic), *found]


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


@contextmanager
def opened_model(args: argparse.Namespace) -> Iterator[Opened]:
    """What the arguments ask to score."""
    if args.bicubic:
        yield Opened(args.scale or 2, "y", [])
    elif args.model is not None and args.model.is_dir():
        with _opened_bundle(args) as opened:
            yield opened
    elif args.model is not None and args.model.suffix == ".onnx":
        yield _opened_onnx(args.model, args.scale, args.threads)
    elif args.table and args.model is None:
        yield _opened_shipped(args.scale or 2, args.threads)
    else:
        opened = _opened_checkpoint(args.model, args.scale, args.threads)
        yield _with_self_ensemble(opened) if args.self_ensemble else opened


def _opened_shipped(scale: int, threads: int) -> Opened:
    """Every student of a scale that comes with the package, named after its file."""
    from edge_sr.models.checkpoint import WEIGHTS

    found = []
    for path in sorted(WEIGHTS.glob(f"*-x{scale}.safetensors")):
        ((_, precision, upscale),) = _opened_checkpoint(path, scale, threads).upscalers
        found.append((path.stem, precision, upscale))
    return Opened(scale, "y", found)


def _opened_checkpoint(path: Path | None, scale: int | None, threads: int) -> Opened:
    import torch

    from edge_sr.models.checkpoint import load_checkpoint, shipped_checkpoint

    model, _ = load_checkpoint(path or shipped_checkpoint(scale or 2))
    _check_scale(model.spec.scale, scale)
    if threads:
        torch.set_num_threads(threads)

    def upscale(lr: Any) -> Any:
        with torch.inference_mode():
            batch = torch.from_numpy(_planes(lr) / 255.0).to(torch.float32)
            return _picture(model(batch).double().numpy()) * 255.0

    return Opened(model.spec.scale, model.spec.channels, [(model.spec.name, "fp32", upscale)])


def _with_self_ensemble(opened: Opened) -> Opened:
    """With a row of the mean over 8 symmetries (Timofte et al., CVPR 2016, section 3.3)."""
    ((name, precision, upscale),) = opened.upscalers

    def averaged(lr: Any) -> Any:
        answers = []
        for symmetry in range(8):
            sr = upscale(np.ascontiguousarray(transform(lr, symmetry)))
            # A transposition ends each symmetry and must be undone first.
            answers.append(transform(transform(sr, symmetry & 4), symmetry & 3))
        return np.mean(answers, axis=0)

    rows = [*opened.upscalers, (f"{name} self-ensemble", precision, averaged)]
    return replace(opened, upscalers=rows)


def _planes(lr: Any) -> Any:
    """HxW or HxWx3 as a batch of one, [1, C, H, W]."""
    return np.moveaxis(np.atleast_3d(lr), 2, 0)[None]


def _picture(batch: Any) -> Any:
    """Inverse of :func:`_planes`."""
    return batch[0, 0] if batch.shape[1] == 1 else np.moveaxis(batch[0], 0, 2)


def _opened_onnx(path: Path, scale: int | None, threads: int) -> Opened:
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
    is_rgb = len(lr_input.shape) == 4 and lr_input.shape[1] == 3
    is_uint8 = lr_input.type == "tensor(uint8)"
    peak = 255.0 if is_uint8 or path.name.endswith(".f32.onnx") else 1.0

    def upscale(lr: Any) -> Any:
        samples = np.rint(lr).astype(np.uint8) if is_uint8 else (lr / 255 * peak).astype(np.float32)
        (sr,) = session.run(None, {lr_input.name: np.ascontiguousarray(_planes(samples))})
        return _picture(sr).astype(np.float64) * (255 / peak)

    found = upscale(np.full((16, 16, 3) if is_rgb else (16, 16), 128.0)).shape[0] // 16
    _check_scale(found, scale)
    row = (path.name, "uint8" if is_uint8 else "float", upscale)
    return Opened(found, "rgb" if is_rgb else "y", [row])


@contextmanager
def _opened_bundle(args: argparse.Namespace) -> Iterator[Opened]:
    from runtime import UnsupportedError, Upscaler, read_manifest

    manifest = read_manifest(args.model)
    _check_scale(manifest.scale, args.scale)
    named = args.precision.split(",") if args.precision else []
    rows: list[tuple[str, str, Upscale]] = []
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
            is_rgb = manifest.channels == "rgb"
            upscale = upscaler.upscale if is_rgb else _eight_bit(upscaler)
            rows.append((manifest.model, precision, upscale))
        if not rows:
            raise UnsupportedError(f"no precision of {args.model} runs here")
        yield Opened(manifest.scale, manifest.channels, rows)


def _eight_bit(upscaler: Any) -> Upscale:
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
