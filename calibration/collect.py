"""Collect the activation ranges of an ONNX graph over frames.

    python -m calibration.collect --onnx fsrcnn-x2.esr/model.fp32.onnx --frames lr/ --out table.json

Without --frames it takes the default pictures of this package. The table goes to --out; the last
line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

from calibration.observers import OBSERVERS
from runtime.atomic import written_beside
from runtime.cli import run_main


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of a collection."""
    parser = argparse.ArgumentParser(
        prog="python -m calibration.collect",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--onnx", type=Path, required=True, help="graph of a bundle: grey levels in")
    add("--frames", type=Path, help="folder of LR pictures, or a video")
    add("--observer", choices=tuple(OBSERVERS), default="percentile")
    add("--tensor", nargs="+", help="tensors to observe; default the input of each convolution")
    add("--out", type=Path, required=True)
    add("--json", action="store_true", help="only the JSON line on stdout")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Observe, write the table; returns its summary."""
    import onnx
    from google.protobuf.message import DecodeError

    from calibration.activations import collect_histograms
    from calibration.frames import load_calibration_frames
    from calibration.table import CalibrationTable

    data = args.onnx.read_bytes()
    try:
        model = onnx.load_from_string(data)
    except DecodeError as error:
        raise ValueError(f"{args.onnx} is not an ONNX file: {error}") from error
    tensors = args.tensor or _convolution_inputs(model)
    samples = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    channels = "rgb" if samples == len("rgb") else "y"
    frames = load_calibration_frames(args.frames, scale=1, channels=channels)
    histograms = collect_histograms(model, tensors, [plane for _, plane in frames.calibrate])
    ranges = {name: OBSERVERS[args.observer](h) for name, h in histograms.items()}
    table = CalibrationTable(args.observer, ranges, hashlib.sha256(data).hexdigest(), frames.digest)
    with written_beside(args.out) as temporary:
        temporary.write_text(table.to_json())
    return {"out": str(args.out), "tensors": len(ranges), "frames": len(frames.calibrate)}


def _convolution_inputs(model: Any) -> list[str]:
    written = {name for node in model.graph.node for name in node.output}
    inputs = [n.input[0] for n in model.graph.node if n.op_type == "Conv" and n.input[0] in written]
    return list(dict.fromkeys(inputs))


def main(argv: list[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
