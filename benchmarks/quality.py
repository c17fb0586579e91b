"""Score the shipped students and bundles on test sets: PSNR, SSIM, and what each precision costs.

    python benchmarks/quality.py --data sets/Set5 sets/Set14 sets/B100 --out record.json

Protocol B. Checkpoints run in float, bundles take and give 8-bit luminance. stdout is the tables of
docs/quality.md and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_sr import evaluate
from edge_sr.models.checkpoint import WEIGHTS
from runtime.atomic import written_beside
from runtime.cli import run_main

BUNDLES = Path(__file__).resolve().parents[1] / "runtime" / "bundles"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of the scoring."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/quality.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", nargs="+", type=Path, required=True, metavar="DIR", help="folders of HR pictures")
    add("--weights", type=Path, default=WEIGHTS, help="folder of checkpoints")
    add("--bundles", type=Path, default=BUNDLES, help="folder of bundles")
    add("--out", type=Path, help="also write the JSON object here")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score everything; returns the object of the JSON line."""
    checkpoints = sorted(args.weights.glob("*.safetensors"))
    bundles = sorted(args.bundles.glob("*.esr"))
    if not checkpoints and not bundles:
        raise FileNotFoundError(f"no checkpoint in {args.weights}, no bundle in {args.bundles}")
    record = {
        "protocol": "B",
        "checkpoints": {path.stem: _scores(path, args.data) for path in checkpoints},
        "bundles": {path.stem: _scores(path, args.data) for path in bundles},
    }
    sets = [folder.name for folder in args.data]
    lines = [*score_lines(record, sets), "", *loss_lines(record, sets)]
    print("\n".join(lines))  # noqa: T201
    if args.out:
        with written_beside(args.out) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")
    return record


def score_lines(record: dict[str, Any], sets: Sequence[str]) -> list[str]:
    """PSNR and SSIM of bicubic and of every checkpoint, by scale."""
    lines = [f"| | {' | '.join(sets)} |", f"|{'---|' * (len(sets) + 1)}"]
    by_scale = sorted(record["checkpoints"].items(), key=lambda item: (item[1]["scale"], item[0]))
    seen: set[int] = set()
    for name, scored in by_scale:
        if scored["scale"] not in seen:
            seen.add(scored["scale"])
            lines.append(_score_line(f"x{scored['scale']} bicubic", scored["rows"]["bicubic"]))
        lines.append(_score_line(f"`{name}`", scored["rows"]["fp32"]))
    return lines


def loss_lines(record: dict[str, Any], sets: Sequence[str]) -> list[str]:
    """What each precision of a bundle loses against its FP32: mean of a set, worst picture."""
    lines = [
        f"| bundle | precision | {' | '.join(sets)} | worst picture |",
        f"|{'---|' * (len(sets) + 3)}",
    ]
    for name, scored in record["bundles"].items():
        reference = scored["rows"]["fp32"]
        for precision, row in scored["rows"].items():
            if precision in ("bicubic", "fp32"):
                continue
            drops = {data: _drops(reference[data], row[data]) for data in row}
            means = [sum(d.values()) / len(d) for d in drops.values()]
            worst, place = max((x, f"{s} {i}") for s, d in drops.items() for i, x in d.items())
            cells = [f"{mean + 0.0:.3f}" for mean in means]
            lines.append(
                f"| `{name}` | {precision} | {' | '.join(cells)} | {worst:.3f} ({place}) |"
            )
    return lines


def _scores(model: Path, folders: Sequence[Path]) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    scale = 0
    for folder in folders:
        arguments = [str(model), "--data", str(folder), "--json"]
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            if evaluate.main(arguments) != 0:
                raise ValueError(json.loads(printed.getvalue())["error"]["message"])
        result = json.loads(printed.getvalue().splitlines()[-1])
        scale = result["scale"]
        for score in result["per_image"]:
            name = "bicubic" if score["name"] == "bicubic" else score["precision"]
            pictures = rows.setdefault(name, {}).setdefault(folder.name, {})
            pictures[score["image"]] = [round(score["psnr"], 4), round(score["ssim"], 5)]
    return {"scale": scale, "rows": rows}


def _score_line(title: str, row: dict[str, Any]) -> str:
    cells = []
    for pictures in row.values():
        psnr, ssim = (
            sum(values) / len(pictures) for values in zip(*pictures.values(), strict=True)
        )
        cells.append(f"{psnr:.2f} / {ssim:.4f}")
    return f"| {title} | {' | '.join(cells)} |"


def _drops(reference: dict[str, Any], row: dict[str, Any]) -> dict[str, float]:
    """PSNR lost on each picture, in dB."""
    return {image: reference[image][0] - psnr for image, (psnr, _) in row.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
