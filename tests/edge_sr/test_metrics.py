from __future__ import annotations

import math

import numpy as np
import pytest
from pictures_support import synthetic_luma, synthetic_rgb

from edge_sr.data.resample import upscale
from edge_sr.metrics import psnr, ssim
from edge_sr.metrics.protocols import score_bicubic, score_luma_upscaler, score_rgb_upscaler


def test_psnr_of_a_constant_error_is_the_formula() -> None:
    hr = synthetic_luma(20, 20).astype(float)
    assert psnr(hr + 5, hr, shave=2) == pytest.approx(10 * math.log10(255**2 / 25))


def test_psnr_ignores_the_shaved_border() -> None:
    hr = synthetic_luma(20, 20).astype(float)
    sr = hr.copy()
    sr[:2] += 100
    assert psnr(sr, hr, shave=2) == math.inf


def test_ssim_equals_a_direct_sum_over_one_window() -> None:
    a, b = synthetic_luma(11, 11).astype(float), synthetic_luma(11, 11, seed=1).astype(float)
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / 4.5)
    window /= window.sum()
    ma, mb = (window * a).sum(), (window * b).sum()
    va, vb = (window * a * a).sum() - ma**2, (window * b * b).sum() - mb**2
    cov = (window * a * b).sum() - ma * mb
    c1, c2 = 6.5025, 58.5225
    expected = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    assert ssim(a, b, shave=0) == pytest.approx(expected, rel=1e-9)


def test_ssim_of_equal_planes_is_one() -> None:
    plane = synthetic_luma(24, 24)
    assert ssim(plane, plane, shave=2) == pytest.approx(1.0)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_planes_of_different_shape_are_refused(metric: object) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        metric(np.zeros((20, 20)), np.zeros((20, 22)), shave=2)  # type: ignore[operator]


@pytest.mark.parametrize("protocol", ["A", "B"])
def test_bicubic_row_is_the_luma_protocol_with_bicubic(protocol: str) -> None:
    image = synthetic_rgb(40, 44)
    direct = score_luma_upscaler(image, 2, protocol, lambda lr: upscale(lr, 2))
    assert score_bicubic(image, 2, protocol) == direct


def test_lr_of_protocol_a_is_unrounded_luma_and_of_b_comes_from_8_bit_rgb() -> None:
    image = synthetic_rgb(40, 44)
    seen = {}
    for protocol in "AB":

        def keep(lr: np.ndarray, key: str = protocol) -> np.ndarray:
            seen[key] = lr
            return upscale(lr, 2)

        score_luma_upscaler(image, 2, protocol, keep)
    assert np.abs(seen["A"] - np.rint(seen["A"])).max() > 0.01
    assert 0 < np.abs(seen["A"] - seen["B"]).mean() < 1.0


def test_protocol_c_replicates_grey_pictures_which_scores_higher() -> None:
    grey = synthetic_luma(40, 44)
    gain = score_bicubic(grey, 2, "C").psnr - score_bicubic(grey, 2, "B").psnr
    assert gain == pytest.approx(20 * math.log10(255 / 219), abs=0.1)


def test_unrounded_output_is_rounded_before_it_is_scored() -> None:
    image = synthetic_luma(40, 44)
    exact = score_luma_upscaler(image, 2, "B", lambda lr: np.rint(upscale(lr, 2)))
    assert score_luma_upscaler(image, 2, "B", lambda lr: upscale(lr, 2)) == exact


def test_protocol_c_of_an_rgb_network_gives_it_8_bit_rgb_and_compares_luminance() -> None:
    image = synthetic_rgb(40, 44)

    def upscale_rgb(lr: np.ndarray) -> np.ndarray:
        assert lr.dtype == np.uint8
        assert lr.shape == (20, 22, 3)
        return upscale(lr.astype(np.float64), 2)

    assert score_rgb_upscaler(image, 2, upscale_rgb) == score_bicubic(image, 2, "C")
    shifted = score_rgb_upscaler(image, 2, lambda lr: upscale_rgb(lr) + 3)
    assert shifted.psnr < score_bicubic(image, 2, "C").psnr
