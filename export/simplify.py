"""Graph simplification by onnxsim, if it is installed."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import onnx

from export.graph import IR_VERSION, OPSET, copy_of, finish
from export.session import GraphRunner, largest_difference, random_planes

# Folding constants may reorder float32 sums: a few units in the last place of 255.
TOLERANCE_LEVELS = 2e-3


def simplify(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """The simplified grey-level graph, or the graph as it was; the text says which, and why.

    The result is run against the input and dropped if it differs by more than rounding.
    """
    try:
        import onnxsim
    except ImportError:
        return model, "onnxsim is not installed; the graph is used as it is"
    version = importlib.metadata.version("onnxsim")
    try:
        simplified, _ = onnxsim.simplify(copy_of(model))
    except Exception as error:  # a pass inside a foreign library, with no error class of its own
        return model, f"onnxsim {version} failed ({error}); the graph is used as it is"
    simplified = _with_ends_of(model, simplified)
    if _versions(simplified) != (IR_VERSION, OPSET):
        return model, f"onnxsim {version} changed the opset; its result is not used"
    difference = _difference(model, simplified)
    if difference > TOLERANCE_LEVELS:
        return model, (
            f"onnxsim {version} changed the result by {difference:.2g} grey levels "
            f"(at most {TOLERANCE_LEVELS:g} allowed); its result is not used"
        )
    before, after = len(model.graph.node), len(simplified.graph.node)
    note = f"onnxsim {version}: {before} nodes to {after}, largest difference {difference:.1g}"
    return finish(simplified), f"{note} grey levels"


def _with_ends_of(model: onnx.ModelProto, simplified: onnx.ModelProto) -> onnx.ModelProto:
    """Put back the symbolic dimensions that a simplifier may rename."""
    simplified.ir_version = IR_VERSION
    simplified.graph.input[0].CopyFrom(model.graph.input[0])
    simplified.graph.output[0].CopyFrom(model.graph.output[0])
    return simplified


def _versions(model: onnx.ModelProto) -> tuple[int, int]:
    default = [opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
    return model.ir_version, default[0] if default else 0


def _difference(model: onnx.ModelProto, simplified: onnx.ModelProto) -> float:
    before, after = GraphRunner(model, threads=1), GraphRunner(simplified, threads=1)
    batches = [np.rint(batch * 255) for batch in random_planes(before.samples)]
    return max(largest_difference(before(batch), after(batch)) for batch in batches)
