"""bfloat16: no graph of its own, the native engine rounds the fp32 weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from export.native_pack import NativeModel
from export.scores import HeldOut, Picture, Quality, picture_scores, quality_of
from runtime.backends.native import load_core
from runtime.errors import UnsupportedError


def measure_bf16(
    model: NativeModel,
    pairs: Sequence[HeldOut],
    scale: int,
    reference: Mapping[str, float],
    *,
    threads: int = 0,
) -> Quality:
    """Quality on the held-out pictures against the fp32 scores.

    Raises UnsupportedError if this machine cannot run bfloat16.
    """
    engine = load_core().Upscaler(model.data, "bf16", threads)
    if engine.precision != "bf16":
        raise UnsupportedError("this CPU has no AVX512_BF16, so its loss cannot be measured here")

    def upscale(lr: Picture) -> Picture:
        sr = np.empty((lr.shape[0] * scale, lr.shape[1] * scale), np.uint8)
        engine.upscale(lr, sr)
        return sr

    return quality_of(picture_scores(upscale, pairs, scale), reference)
