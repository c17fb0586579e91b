from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.tiling import plan_axis, plan_tiles, upscale_tiled


def box_engine(radius: int, scale: int):
    """Integer sum over a zero-padded box, different for each phase: exact and easy to break."""

    def run(window: np.ndarray) -> np.ndarray:
        padded = np.pad(window.astype(np.int64), radius)
        height, width = window.shape
        total = sum(
            (1 + dy + 3 * dx) * padded[dy : dy + height, dx : dx + width]
            for dy in range(2 * radius + 1)
            for dx in range(2 * radius + 1)
        )
        phases = np.arange(1, scale * scale + 1).reshape(scale, scale)
        return np.kron(total, phases)

    return run


@st.composite
def geometry(draw: st.DrawFn) -> tuple[int, int, int, int]:
    halo = draw(st.integers(0, 4))
    tile_size = draw(st.integers(2 * halo + 1, 2 * halo + 12))
    return draw(st.integers(1, 40)), draw(st.integers(1, 40)), tile_size, halo


@settings(deadline=None, max_examples=150)
@given(geometry(), st.integers(1, 4))
def test_tiled_equals_whole_frame_when_the_halo_covers_the_receptive_field(
    geom: tuple[int, int, int, int], scale: int
) -> None:
    width, height, tile_size, halo = geom
    lr = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    engine = box_engine(halo, scale)
    tiled = upscale_tiled(lr, engine, scale, tile_size=tile_size, halo=halo)
    np.testing.assert_array_equal(tiled, engine(lr))


def test_tiled_differs_when_the_halo_is_one_too_small() -> None:
    lr = np.random.default_rng(0).integers(0, 256, (30, 30), dtype=np.uint8)
    engine = box_engine(3, 2)
    tiled = upscale_tiled(lr, engine, 2, tile_size=12, halo=2)
    assert not np.array_equal(tiled, engine(lr))


@given(geometry())
def test_cores_cover_the_frame_once_and_windows_have_one_shape(
    geom: tuple[int, int, int, int],
) -> None:
    width, height, tile_size, halo = geom
    covered = np.zeros((height, width), int)
    shapes = set()
    for tile in plan_tiles(width, height, tile_size=tile_size, halo=halo):
        covered[slice(*tile.core_y), slice(*tile.core_x)] += 1
        shapes.add(
            (tile.window_x.stop - tile.window_x.start, tile.window_y.stop - tile.window_y.start)
        )
    assert (covered == 1).all()
    assert shapes == {(min(width, tile_size), min(height, tile_size))}


def test_tile_without_a_core_is_refused_with_the_least_size() -> None:
    with pytest.raises(ValueError, match="use at least 17"):
        plan_axis(100, 16, 8)


def test_empty_axis_is_refused() -> None:
    with pytest.raises(ValueError, match="0 px"):
        plan_axis(0, 16, 2)


def test_result_goes_into_the_given_array() -> None:
    lr = np.arange(30, dtype=np.uint8).reshape(5, 6)
    out = np.zeros((10, 12), np.int64)
    assert upscale_tiled(lr, box_engine(1, 2), 2, tile_size=4, halo=1, out=out) is out
    np.testing.assert_array_equal(out, box_engine(1, 2)(lr))
