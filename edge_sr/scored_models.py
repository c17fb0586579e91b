"""What a data set is scored with: checkpoints, ONNX files and bundles as functions of LR.

Each raises ValueError or OSError in one line for a file that is not of its kind, and ValueError for
a model of another scale than the one asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_sr.data.patches import transform
from edge_sr.metrics.protocols import (
    Score,
    score_bicubic,
    score_luma_upscaler,
    score_rgb_upscaler,
)

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


def opened_shipped(scale: int, threads: int) -> Opened:
    """Every student of a scale that comes with the package, named after its file."""
    from edge_sr.models.checkpoint import WEIGHTS

    found = []
    for path in sorted(WEIGHTS.glob(f"*-x{scale}.safetensors")):
        ((_, precision, upscale),) = opened_checkpoint(path, scale, threads).upscalers
        found.append((path.stem, precision, upscale))
    return Opened(scale, "y", found)


def opened_checkpoint(path: Path | None, scale: int | None, threads: int) -> Opened:
    """A checkpoint in float, by default the shipped student of the scale."""
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


def with_self_ensemble(opened: Opened) -> Opened:
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


def opened_onnx(path: Path, scale: int | None, threads: int) -> Opened:
    """A graph in ONNX Runtime on the CPU; the range of its samples follows from type and name."""
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
def opened_bundle(
    path: Path, scale: int | None, *, backend: str, named: Sequence[str], threads: int
) -> Iterator[Opened]:
    """A bundle at the ``named`` precisions, by default at all that run here; 8 bits in and out."""
    from runtime import UnsupportedError, Upscaler, read_manifest

    manifest = read_manifest(path)
    _check_scale(manifest.scale, scale)
    rows: list[tuple[str, str, Upscale]] = []
    with ExitStack() as stack:
        for precision in named or manifest.precisions:
            try:
                upscaler = Upscaler.open(
                    path,
                    backend=backend,
                    precision=precision,
                    threads=threads,
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
            raise UnsupportedError(f"no precision of {path} runs here")
        yield Opened(manifest.scale, manifest.channels, rows)


def _eight_bit(upscaler: Any) -> Upscale:
    return lambda lr: upscaler.upscale_luma(np.clip(np.rint(lr), 0, 255).astype(np.uint8))


def _check_scale(found: int, asked: int | None) -> None:
    if asked is not None and asked != found:
        raise ValueError(f"the model's scale is {found}, not {asked}; leave --scale out")
