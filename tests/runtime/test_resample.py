from __future__ import annotations

import numpy as np
import pytest

from edge_sr.data.resample import downscale, upscale
from runtime.resample import resize_plane, upscale_bicubic

PLANE = np.random.default_rng(0).uniform(0, 255, (24, 30))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_centred_upscale_is_matlab_bicubic(scale: int) -> None:
    np.testing.assert_allclose(upscale_bicubic(PLANE, scale), upscale(PLANE, scale), atol=1e-3)


@pytest.mark.parametrize("scale", [2, 3])
def test_shrinking_is_antialiased_as_matlab(scale: int) -> None:
    small = resize_plane(PLANE, 30 // scale, 24 // scale)
    np.testing.assert_allclose(small, downscale(PLANE, scale), atol=1e-3)


def test_phase_keeps_co_sited_samples_where_they_are() -> None:
    # Chroma i sits on luma sample 2i, and so it does in the result. Luma is upscaled centred, so
    # sample 2j of the result lies at (2j + 0.5) / 2 - 0.5 = j - 0.25 on the old luma grid.
    chroma = np.repeat(2.0 * np.arange(20)[None, :], 5, axis=0)
    sr = resize_plane(chroma, 40, 5, phase_x=-0.25)
    np.testing.assert_allclose(sr[0, 6:-6], (np.arange(40) - 0.25)[6:-6], atol=1e-4)


def test_same_size_is_the_same_plane() -> None:
    np.testing.assert_array_equal(resize_plane(PLANE, 30, 24), PLANE.astype(np.float32))


def test_non_integer_factor_keeps_a_constant() -> None:
    np.testing.assert_allclose(resize_plane(np.full((9, 7), 50.0), 16, 11), 50.0, atol=1e-4)


@pytest.mark.parametrize("size", [(0, 4), (4, -1)])
def test_empty_result_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be resized"):
        resize_plane(PLANE, *size)
