"""Histograms of named tensors of an ONNX graph over frames, in two streaming passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from calibration.observers import BINS, Histogram


def collect_histograms(
    model: onnx.ModelProto, tensors: Sequence[str], frames: Sequence[NDArray[Any]]
) -> dict[str, Histogram]:
    """Histogram of the magnitudes of each tensor over all frames.

    ``frames`` are HxW planes or HxWx3 pictures of grey levels, as the graph takes them. One frame's
    tensors are in memory at a time: the first pass finds the peaks, the second counts. Raises
    ValueError if a tensor is not in the graph, or if a value is not finite.
    """
    if not frames:
        raise ValueError("no frames to calibrate on")
    runner = _TensorRunner(model, tensors)
    peaks = dict.fromkeys(tensors, 0.0)
    for values in runner.over(frames):
        for name, value in values.items():
            peaks[name] = max(peaks[name], float(np.abs(value).max()))
    for name, peak in peaks.items():
        if not np.isfinite(peak):
            raise ValueError(f"tensor {name} reaches a value that is not finite")
    counts = {name: np.zeros(BINS, np.int64) for name in tensors}
    for values in runner.over(frames):
        for name, value in values.items():
            upper = peaks[name] or 1.0
            counts[name] += np.histogram(np.abs(value), BINS, range=(0.0, upper))[0]
    return {name: Histogram(counts[name], peaks[name] or 1.0) for name in tensors}


def collect_channel_ranges(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    frames: Sequence[NDArray[Any]],
    *,
    share: float = 0.9999,
) -> dict[str, NDArray[np.float64]]:
    """Range of each channel of [1, C, H, W] tensors: ``share`` of its magnitudes stay below.

    The largest such over the frames; see :func:`collect_histograms` for the arguments.
    """
    if not frames:
        raise ValueError("no frames to calibrate on")
    ranges: dict[str, NDArray[np.float64]] = {}
    for values in _TensorRunner(model, tensors).over(frames):
        for name, value in values.items():
            flat = np.abs(value[0].reshape(value.shape[1], -1))
            place = int(share * (flat.shape[1] - 1))
            found = np.partition(flat, place, axis=1)[:, place].astype(np.float64)
            ranges[name] = np.maximum(ranges[name], found) if name in ranges else found
    return ranges


def batch_of(picture: NDArray[Any]) -> NDArray[Any]:
    """An HxW plane as [1, 1, H, W], an HxWx3 picture as [1, 3, H, W]."""
    planes = picture[None] if picture.ndim == 2 else np.moveaxis(picture, -1, 0)
    return np.ascontiguousarray(planes[None])


class _TensorRunner:
    """A session that also returns inner tensors."""

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str]) -> None:
        import onnxruntime

        inferred = onnx.shape_inference.infer_shapes(model)
        known = {v.name: v for v in (*inferred.graph.value_info, *inferred.graph.output)}
        for name in tensors:
            if name not in known:
                raise ValueError(f"tensor {name} is not in the graph")
        del inferred.graph.output[:]
        inferred.graph.output.extend(known[name] for name in tensors)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            inferred.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._input = model.graph.input[0]
        self._tensors = list(tensors)

    def over(self, frames: Sequence[NDArray[Any]]) -> Iterator[dict[str, NDArray[Any]]]:
        is_float = self._input.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        for frame in frames:
            lr = frame.astype(np.float32 if is_float else np.uint8, copy=False)
            values = self._session.run(self._tensors, {self._input.name: batch_of(lr)})
            yield dict(zip(self._tensors, values, strict=True))
