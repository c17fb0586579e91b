"""The benchmarks are scripts, not a package: their folder goes on the import path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from side_by_side.chain import Array, Chain, Layer  # noqa: E402

SHIPPED = ROOT / "runtime" / "bundles" / "fsrcnn-x2.esr"
has_core = importlib.util.find_spec("runtime._core") is not None


@pytest.fixture
def shipped() -> Path:
    return SHIPPED


@pytest.fixture
def needs_core() -> None:
    if not has_core:
        pytest.skip("runtime._core is not built here")


@pytest.fixture
def noise() -> Array:
    """A frame whose sides are no multiples of anything."""
    return np.random.default_rng(0).integers(0, 256, (19, 23)).astype(np.uint8)


@pytest.fixture
def clipped_chain() -> Chain:
    """x3 without a base: a clip, then a tail that is a 7x7 transposed convolution."""
    rng = np.random.default_rng(1)
    body = Layer(
        rng.normal(0, 0.3, (3, 1, 3, 3)).astype(np.float32),
        rng.normal(0, 1, 3).astype(np.float32),
        clip=(-2.0, 40.0),
    )
    kernel = rng.normal(0, 0.3, (3, 1, 7, 7)).astype(np.float32)
    return Chain(3, False, (body, Layer(phases_of(kernel, 3), np.full(9, 0.5, np.float32))))


def phases_of(kernel: Array, scale: int) -> Array:
    """The sub-pixel form [scale*scale, in, 3, 3] of a transposed kernel [in, 1, k, k]."""
    channels, _, side, _ = kernel.shape
    weight = np.zeros((scale * scale, channels, 3, 3), np.float32)
    for ry, rx, dy, dx in np.ndindex(scale, scale, 3, 3):
        y = ry - scale * (dy - 1) + side // 2
        x = rx - scale * (dx - 1) + side // 2
        if 0 <= y < side and 0 <= x < side:
            weight[ry * scale + rx, :, dy, dx] = kernel[:, 0, y, x]
    return weight
