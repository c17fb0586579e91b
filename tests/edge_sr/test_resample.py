from __future__ import annotations

import numpy as np
import pytest
from pictures_support import synthetic_luma, synthetic_rgb

from edge_sr.data.resample import bicubic_phases, cubic, downscale, modcrop, upscale


def downscale_one_sample_at_a_time(plane: np.ndarray, scale: int) -> np.ndarray:
    """The rule of MATLAB's imresize written out in its own 1-based indices."""

    def one_axis(row: list[float]) -> list[float]:
        result = []
        for out in range(1, len(row) // scale + 1):
            centre = out * scale + 0.5 * (1 - scale)
            left = int(np.floor(centre - 2 * scale))
            total = weight_sum = 0.0
            for index in range(left, left + 4 * scale + 2):
                weight = float(cubic(np.array((centre - index) / scale))) / scale
                total += weight * row[min(max(index, 1), len(row)) - 1]
                weight_sum += weight
            result.append(total / weight_sum)
        return result

    columns = np.array([one_axis(list(column)) for column in plane.T.astype(float)]).T
    if plane.dtype == np.uint8:
        columns = np.floor(np.clip(columns, 0, 255) + 0.5)
    result = np.array([one_axis(list(row)) for row in columns])
    if plane.dtype == np.uint8:
        return np.floor(np.clip(result, 0, 255) + 0.5).astype(np.uint8)
    return result


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_downscale_of_uint8_is_bit_exact_to_the_rule(scale: int) -> None:
    plane = synthetic_luma(24, 36)
    np.testing.assert_array_equal(
        downscale(plane, scale), downscale_one_sample_at_a_time(plane, scale)
    )


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_downscale_of_float_is_not_rounded_in_between(scale: int) -> None:
    plane = synthetic_luma(24, 36).astype(np.float64)
    np.testing.assert_allclose(
        downscale(plane, scale), downscale_one_sample_at_a_time(plane, scale), atol=1e-10
    )


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_phases_and_pixel_shuffle_equal_upscale(scale: int) -> None:
    plane = synthetic_luma(9, 11).astype(np.float64)
    padded = np.pad(plane, 2, mode="edge")
    kernels = bicubic_phases(scale)
    expected = upscale(plane, scale)
    for phase, kernel in enumerate(kernels):
        py, px = divmod(phase, scale)
        response = sum(
            kernel[i, j] * padded[i : i + 9, j : j + 11] for i in range(5) for j in range(5)
        )
        np.testing.assert_allclose(expected[py::scale, px::scale], response, atol=1e-10)


def test_constant_picture_stays_constant() -> None:
    plane = np.full((12, 12), 77, np.uint8)
    assert set(np.unique(downscale(plane, 3))) == {77}
    np.testing.assert_allclose(upscale(plane.astype(float), 4), 77.0)


def test_colour_planes_are_resized_alone() -> None:
    rgb = synthetic_rgb(24, 24)
    np.testing.assert_array_equal(downscale(rgb, 2)[:, :, 1], downscale(rgb[:, :, 1], 2))


def test_modcrop_removes_right_and_bottom() -> None:
    image = synthetic_luma(11, 13)
    np.testing.assert_array_equal(modcrop(image, 4), image[:8, :12])


def test_modcrop_of_a_picture_below_the_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="2x9 is too small for scale 3"):
        modcrop(np.zeros((9, 2), np.uint8), 3)


def test_downscale_of_an_indivisible_size_is_refused() -> None:
    with pytest.raises(ValueError, match="crop with modcrop first"):
        downscale(np.zeros((9, 8), np.uint8), 2)


def test_resize_of_int32_is_refused() -> None:
    with pytest.raises(ValueError, match="int32"):
        upscale(np.zeros((8, 8), np.int32), 2)
