"""Bundles of networks that nobody trained, to time shapes: speed does not depend on weights.

    python benchmarks/untrained_bundles.py bundles/
    python benchmarks/cpu_runtimes.py bundles/*.esr

Each starts from bicubic interpolation with noise on top and is quantised whole, at any loss.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from edge_sr.cli import run_main
from edge_sr.models import build_model
from edge_sr.models.checkpoint import save_checkpoint
from edge_sr.models.fsrcnn import start_from_bicubic
from export import build

# Name of the bundle, network, scale, and what differs from d=56, s=12, m=4.
SHAPES: tuple[tuple[str, str, int, dict[str, int]], ...] = (
    ("paper-x2", "fsrcnn", 2, {}),
    ("residual-x3", "fsrcnn_residual", 3, {}),
    ("residual-x4", "fsrcnn_residual", 4, {}),
    ("residual-small-x2", "fsrcnn_residual_small", 2, {}),
    ("residual-large-x2", "fsrcnn_residual_large", 2, {}),
    ("residual-xl-x2", "fsrcnn_residual_xl", 2, {}),
    ("residual-x2-d32-s5-m1", "fsrcnn_residual", 2, {"d": 32, "s": 5, "m": 1}),
    ("residual-x2-d56-s16-m4", "fsrcnn_residual", 2, {"s": 16}),
    ("residual-x2-d20-s7-m2", "fsrcnn_residual", 2, {"d": 20, "s": 7, "m": 2}),
)
NOISE = 0.01
ANY_LOSS = "int8=99,bf16=99"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Where to write."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/untrained_bundles.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true", help="only the JSON line on stdout")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Build all shapes; returns the object of the JSON line."""
    args.folder.mkdir(parents=True, exist_ok=True)
    written = []
    with tempfile.TemporaryDirectory() as folder:
        for name, network, scale, options in SHAPES:
            weights = Path(folder) / f"{name}.safetensors"
            torch.manual_seed(0)
            model = build_model(network, scale, **options)
            start_from_bicubic(model)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(NOISE * torch.randn(parameter.shape))
            save_checkpoint(weights, model, {"training": "none"})
            out = args.folder / f"{name}.esr"
            words = ["--checkpoint", str(weights), "--out", str(out), "--precision", "fp32,int8"]
            if build.main([*words, "--max-drop", ANY_LOSS, "--overwrite", "--json"]) != 0:
                raise ValueError(f"{name} could not be built")
            written.append(str(out))
    return {"bundles": written}


def main(argv: list[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
