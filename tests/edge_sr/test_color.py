from __future__ import annotations

import numpy as np
import pytest
from pictures_support import synthetic_luma, synthetic_rgb

from edge_sr.data.color import luma_from_rgb, luma_of, rgb_from_ycbcr, ycbcr_from_rgb


@pytest.mark.parametrize(
    ("rgb", "luma"),
    [((0, 0, 0), 16.0), ((255, 255, 255), 235.0), ((255, 0, 0), 81.481), ((0, 255, 0), 144.553)],
)
def test_luma_of_corner_colours_is_bt601(rgb: tuple[int, int, int], luma: float) -> None:
    assert luma_from_rgb(np.array([[rgb]], np.uint8))[0, 0] == pytest.approx(luma, abs=1e-9)


def test_ycbcr_round_trip_is_exact() -> None:
    rgb = synthetic_rgb(6, 8)
    np.testing.assert_allclose(rgb_from_ycbcr(ycbcr_from_rgb(rgb)), rgb, atol=1e-9)


def test_grey_pictures_keep_their_full_range_and_16_bit_is_divided_by_257() -> None:
    grey = synthetic_luma(6, 8)
    np.testing.assert_array_equal(luma_of(grey), grey)
    np.testing.assert_allclose(luma_of(grey.astype(np.uint16) * 257), grey)
