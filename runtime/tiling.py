"""Split a frame into windows of one shape, run an engine on each, keep the exact cores.

A tile is a *core*, which it alone writes, and a *window*, which the engine sees: the core plus a
halo of at least the receptive-field radius. Where a window ends at the frame's border the network
pads by itself, as it does on the whole frame. That is why tiled output equals whole-frame output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runtime.errors import UnsupportedError
from runtime.manifest import Manifest

Plane = NDArray[Any]


class Span(NamedTuple):
    """Half-open interval in pixels."""

    start: int
    stop: int


class Tile(NamedTuple):
    """Core and window of one tile, in LR pixels; x and y spans each."""

    core_x: Span
    core_y: Span
    window_x: Span
    window_y: Span


def plan_axis(length: int, tile_size: int, halo: int) -> list[tuple[Span, Span]]:
    """Split one axis into (core, window) spans; the cores cover it exactly once.

    An axis not longer than the tile is one window of its own length.
    """
    if length < 1:
        raise ValueError(f"an axis of {length} px cannot be tiled")
    if length <= tile_size:
        return [(Span(0, length), Span(0, length))]
    if tile_size <= 2 * halo:
        raise ValueError(
            f"tile size {tile_size} leaves no core with halo {halo}; use at least {2 * halo + 1}"
        )
    spans: list[tuple[Span, Span]] = []
    core_start = 0
    while core_start < length:
        # Windows slide inward at the far border, so every one has the engine's exact shape.
        window_start = min(max(core_start - halo, 0), length - tile_size)
        window_stop = window_start + tile_size
        core_stop = length if window_stop == length else window_stop - halo
        spans.append((Span(core_start, core_stop), Span(window_start, window_stop)))
        core_start = core_stop
    return spans


def plan_tiles(width: int, height: int, *, tile_size: int, halo: int) -> list[Tile]:
    """All tiles of a frame, row by row; ``tile_size`` is the side of the window in LR pixels."""
    columns = plan_axis(width, tile_size, halo)
    return [
        Tile(core_x, core_y, window_x, window_y)
        for core_y, window_y in plan_axis(height, tile_size, halo)
        for core_x, window_x in columns
    ]


def check_tile_size(tile_size: int, manifest: Manifest) -> None:
    """Refuse windows that a network cannot run in; 0 is whole frames.

    Raises ValueError, UnsupportedError if the network sees the whole picture.
    """
    halo = manifest.halo
    if tile_size < 0:
        raise ValueError(f"tile size {tile_size} must not be negative")
    if tile_size and not manifest.tileable:
        raise UnsupportedError(
            f"{manifest.model} has global operations and cannot be tiled; it runs whole frames"
        )
    if tile_size and tile_size <= 2 * halo:
        raise ValueError(
            f"tile size {tile_size} leaves no core with halo {halo}; "
            f"use at least {manifest.padded(2 * halo + 1)}, or whole frames"
        )
    if tile_size % manifest.size_multiple:
        raise ValueError(
            f"tile size {tile_size} does not divide by {manifest.size_multiple}, "
            "which this model needs"
        )


def upscale_tiled(
    lr: Plane,
    run: Callable[[Plane], Plane],
    scale: int,
    *,
    tile_size: int,
    halo: int,
    out: Plane | None = None,
) -> Plane:
    """Upscale HxW or HxWx3 samples in windows; ``run`` maps a window to its upscaled window."""
    height, width, *channels = lr.shape
    sr = out
    for tile in plan_tiles(width, height, tile_size=tile_size, halo=halo):
        (x0, x1), (y0, y1) = tile.core_x, tile.core_y
        left, top = tile.window_x.start, tile.window_y.start
        window = np.ascontiguousarray(lr[top : tile.window_y.stop, left : tile.window_x.stop])
        result = run(window)
        if sr is None:
            sr = np.empty((height * scale, width * scale, *channels), result.dtype)
        sr[y0 * scale : y1 * scale, x0 * scale : x1 * scale] = result[
            (y0 - top) * scale : (y1 - top) * scale, (x0 - left) * scale : (x1 - left) * scale
        ]
    assert sr is not None
    return sr
