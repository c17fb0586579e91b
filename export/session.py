"""Runs of ONNX graphs through ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.graph import encode


class GraphRunner:
    """A loaded one-input, one-output graph; raises ValueError if ONNX Runtime refuses it."""

    def __init__(self, model: onnx.ModelProto | bytes, *, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        data = model if isinstance(model, bytes) else encode(model)
        try:
            self._session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own classes derive from Exception alone
            raise ValueError(f"ONNX Runtime refuses the graph: {one_line(error)}") from error
        self._input = self._session.get_inputs()[0].name

    def __call__(self, batch: NDArray[Any]) -> NDArray[Any]:
        """[N, 1, H, W] in, the graph's output for it."""
        try:
            (result,) = self._session.run(None, {self._input: batch})
        except Exception as error:  # as above
            shape = "x".join(map(str, batch.shape))
            raise ValueError(f"the graph fails on {shape} input: {one_line(error)}") from error
        return np.asarray(result)

    def plane(self, plane: NDArray[Any]) -> NDArray[Any]:
        """One HxW plane in, one out."""
        result: NDArray[Any] = self(plane[None, None])[0, 0]
        return result


def one_line(error: Exception) -> str:
    """A foreign error's text without its line breaks, at most 300 characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:297]}..."


def largest_difference(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Largest absolute difference of two arrays of one shape; infinite if the shapes differ."""
    if first.shape != second.shape:
        return float("inf")
    difference = np.abs(first.astype(np.float64) - second.astype(np.float64))
    return float(difference.max(initial=0.0))


def random_planes(seed: int = 0) -> list[NDArray[np.float32]]:
    """Test inputs in [0, 1]: odd sizes, a single pixel, a batch of two."""
    rng = np.random.default_rng(seed)
    shapes = [(1, 1, 37, 45), (2, 1, 24, 16), (1, 1, 1, 1)]
    return [rng.random(shape, dtype=np.float32) for shape in shapes]
