"""Runs of ONNX graphs through ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from calibration.activations import batch_of
from export.graph import encode


class GraphRunner:
    """A loaded one-input, one-output graph; raises ValueError if ONNX Runtime refuses it.

    ``samples`` is the number of channels that it takes.
    """

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
        end = self._session.get_inputs()[0]
        self._input, self.samples = end.name, end.shape[1]

    def __call__(self, batch: NDArray[Any]) -> NDArray[Any]:
        """[N, C, H, W] in, the graph's output for it."""
        try:
            (result,) = self._session.run(None, {self._input: batch})
        except Exception as error:  # as above
            shape = "x".join(map(str, batch.shape))
            raise ValueError(f"the graph fails on {shape} input: {one_line(error)}") from error
        return np.asarray(result)

    def picture(self, picture: NDArray[Any]) -> NDArray[Any]:
        """One HxW plane or HxWx3 picture in, one out."""
        result = self(batch_of(picture))[0]
        return result[0] if picture.ndim == 2 else np.ascontiguousarray(np.moveaxis(result, 0, -1))


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


def random_planes(samples: int = 1, seed: int = 0) -> list[NDArray[np.float32]]:
    """Test inputs of ``samples`` channels in [0, 1]: odd sizes, a single pixel, a batch of two."""
    rng = np.random.default_rng(seed)
    shapes = [(1, samples, 37, 45), (2, samples, 24, 16), (1, samples, 1, 1)]
    return [rng.random(shape, dtype=np.float32) for shape in shapes]
