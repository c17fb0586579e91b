from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.video.geometry import output_aspect, scale_matrix

ONE = 1 << 16
SIDES = st.integers(50, 400)


def test_unknown_aspect_stays_unknown_when_the_shape_is_kept() -> None:
    assert output_aspect(None, (426, 240), (852, 480)) is None


def test_unknown_aspect_is_square_when_the_shape_changes() -> None:
    assert output_aspect(None, (854, 480), (1280, 720)) == Fraction(427, 640) * Fraction(3, 2)


@given(st.fractions(Fraction(1, 4), 4, max_denominator=200), SIDES, SIDES, SIDES, SIDES)
def test_display_shape_is_kept(
    aspect: Fraction, width: int, height: int, out_width: int, out_height: int
) -> None:
    got = output_aspect(aspect, (width, height), (out_width, out_height))
    assert got is not None
    assert max(got.numerator, got.denominator) < 1 << 16
    before = aspect * Fraction(width, height)
    assert got * Fraction(out_width, out_height) == pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize(
    ("rotation", "shift"),
    [
        ((ONE, 0, 0, 0, ONE, 0), (2, 3)),
        ((0, ONE, 0, -ONE, 0, 0), (3, 2)),
        ((0, -ONE, 0, ONE, 0, 0), (3, 2)),
        ((-ONE, 0, 0, 0, -ONE, 0), (2, 3)),
    ],
)
def test_shift_of_a_display_matrix_grows_with_the_axis_it_lies_on(
    rotation: tuple[int, ...], shift: tuple[int, int]
) -> None:
    matrix = (*rotation, 10 * ONE, 10 * ONE, 1 << 30)
    got = scale_matrix(matrix, (100, 100), (200, 300))
    assert got[:6] == list(rotation)
    assert got[6:] == [shift[0] * 10 * ONE, shift[1] * 10 * ONE, 1 << 30]
