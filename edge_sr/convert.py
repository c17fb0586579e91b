"""Turn weights that others published into a checkpoint of this toolkit.

    python -m edge_sr.convert --model idn --scale 2 IDN_x2.caffemodel --out idn-x2.safetensors

Reads files of PyTorch (.pth, .pt), Caffe (.caffemodel), NumPy (.npz) and safetensors in the layouts
of the networks' public repositories, and writes the checkpoint and its sidecar (.json). Nothing
that a file holds is executed. The last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

from edge_sr.cli import run_main

LICENCE = "not known to this toolkit; the authors' terms apply"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of a conversion."""
    parser = argparse.ArgumentParser(
        prog="python -m edge_sr.convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path, help="file of published weights")
    add("--out", type=Path, required=True, help="checkpoint to write, .safetensors")
    add("--scale", type=int, choices=(2, 3, 4), required=True)
    add("--model", help="network; default: the one of the weights' depth and width")
    add("--prefix", help="what stands before the network's names, if the file holds several")
    add("--json", action="store_true", help="only the JSON line on stdout")
    args = parser.parse_args(argv)
    if args.out.suffix != ".safetensors":
        parser.error(f"--out {args.out} must end in .safetensors")
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Read, match, write; returns the object of the JSON line."""
    from edge_sr.models import MODELS
    from edge_sr.models.checkpoint import save_checkpoint
    from edge_sr.published.network import build_published, find_layout
    from edge_sr.published.weights_file import read_file, read_weights

    if args.model is not None and args.model not in MODELS:
        raise ValueError(f"model {args.model!r} is unknown; choose from {' '.join(MODELS)}")
    if args.out.exists() and args.out.samefile(args.source):
        raise ValueError(f"--out {args.out} is the file that is read")
    try:
        data = read_file(args.source)
        tensors = read_weights(data)
        layout, prefix = find_layout(tensors, args.prefix)
        tensors = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        network = build_published(tensors, layout, args.scale, args.model)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{args.source} cannot be converted: {error}") from error
    source = {
        "file": args.source.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "layout": layout.name,
        "licence": LICENCE,
    }
    save_checkpoint(args.out, network, {"source": source})
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if not args.json:
        print(  # noqa: T201
            f"{args.source.name} ({layout.name}) -> {args.out}: {network.spec.name} "
            f"x{network.spec.scale}, {parameters:,} parameters; licence {LICENCE}"
        )
    return {
        "checkpoint": str(args.out),
        "model": network.spec.name,
        "scale": network.spec.scale,
        "options": network.options,
        "parameters": parameters,
        "source": source,
    }


def main(argv: list[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
