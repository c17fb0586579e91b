"""Size, pixel shape and orientation of the upscaled video."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

# FFmpeg's display matrix: 9 numbers, 16.16 fixed point but for the last column (2.30).
MATRIX_NUMBERS = 9
# H.264 and HEVC store a sample aspect ratio as two numbers of 16 bits.
MAX_ASPECT_NUMBER = 65535


def output_aspect(
    aspect: Fraction | None, source: tuple[int, int], target: tuple[int, int]
) -> Fraction | None:
    """Sample aspect ratio which shows ``target`` in the shape that ``source`` had.

    None means that the source does not say; that is kept unless the shape of the frame changes,
    and then its samples are taken as square.
    """
    stretch = Fraction(source[0] * target[1], source[1] * target[0])
    if aspect is None and stretch == 1:
        return None
    wanted = (aspect or Fraction(1)) * stretch
    narrow = min(wanted, 1 / wanted).limit_denominator(MAX_ASPECT_NUMBER)
    narrow = max(narrow, Fraction(1, MAX_ASPECT_NUMBER))
    return 1 / narrow if wanted > 1 else narrow


def scale_matrix(
    matrix: Sequence[int], source: tuple[int, int], target: tuple[int, int]
) -> list[int]:
    """A display matrix for the larger frame: same rotation, its shift in the new pixels."""
    factors = Fraction(target[0], source[0]), Fraction(target[1], source[1])
    scaled = list(matrix)
    # [a b u / c d v / x y w]: x' = a p + c q + x, so x grows with the axis that it is made of.
    is_turned = abs(matrix[0]) < abs(matrix[3])
    scaled[6] = round(matrix[6] * factors[is_turned])
    scaled[7] = round(matrix[7] * factors[not is_turned])
    return scaled
