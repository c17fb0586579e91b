from __future__ import annotations

import pytest
from torch import nn

from edge_sr.models.bicubic_base import BicubicBase
from edge_sr.models.receptive_field import radius_of, reach_of


def conv(kernel_size: int, **options: int) -> nn.Conv2d:
    return nn.Conv2d(1, 1, kernel_size, **{"padding": kernel_size // 2, **options})


@pytest.mark.parametrize(("scale", "reach"), [(2, (8, 8)), (3, (7, 8)), (4, (7, 7))])
def test_transposed_convolution_may_see_further_on_one_side(
    scale: int, reach: tuple[int, int]
) -> None:
    tail = nn.ConvTranspose2d(1, 1, 9, scale, 4, output_padding=scale - 1)
    layers = (conv(5), *(conv(3) for _ in range(4)), tail)
    assert reach_of(*layers) == reach
    assert radius_of(*layers) == max(reach)


def test_layers_after_a_pixel_shuffle_reach_less_far() -> None:
    assert radius_of(conv(3), nn.PixelShuffle(2), conv(3)) == 2
    assert radius_of(conv(3), nn.PixelShuffle(2), *(conv(3) for _ in range(4))) == 3
    assert radius_of(conv(3), nn.PixelShuffle(2), *(conv(3) for _ in range(5))) == 4


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_reads_two_rows_on_each_side(scale: int) -> None:
    assert reach_of(BicubicBase(scale)) == (2, 2)


def test_layers_behind_bicubic_reach_an_lr_pixel_further_each_time_they_leave_its_block() -> None:
    # Row -1 of x3 reads LR rows -2 to 1, row -2 lies on LR row -1 alone, row -3 reads -3 to 0.
    convolutions = [conv(3) for _ in range(6)]
    radii = [radius_of(BicubicBase(3), *convolutions[:count]) for count in range(7)]
    assert radii == [2, 2, 2, 3, 3, 3, 4]


def test_a_module_counts_its_children_in_order_and_a_shared_layer_each_time() -> None:
    shared = conv(3)
    assert radius_of(nn.Sequential(conv(5), nn.ReLU(), conv(1))) == 2
    assert radius_of(shared, shared, shared) == 3
    assert radius_of(conv(3, dilation=2, padding=2)) == 2


@pytest.mark.parametrize("options", [{"stride": 2}, {"padding": 0}])
def test_layers_that_change_the_size_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="does not keep the size"):
        radius_of(conv(3), conv(3, **options))
