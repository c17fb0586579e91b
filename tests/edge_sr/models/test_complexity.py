from __future__ import annotations

import pytest
import torch

from edge_sr.models import build_model
from edge_sr.models.complexity import Complexity, complexity_of
from edge_sr.models.reparam import use_training_form

SCALES = (2, 3, 4)

# Parameters, and 10**9 MACs for 1280x720, at x2, x3 and x4, to the digits that are known. A
# transposed convolution counts at LR; where the last column is given, it counts at HR there.
# What runs twice, as SAN's non-local layers do, counts twice.
NETWORKS: list[tuple[str, dict[str, bool], tuple[int, int, int], str, str]] = [
    ("fsrcnn", {}, (12_644,) * 3, "2.872 1.276 0.718", "6.007 4.992 4.637"),
    ("fsrcnn", {"shared_prelu": False}, (12_809,) * 3, "2.872 1.276 0.718", "6.007 4.992 4.637"),
    ("fsrcnn_l", {}, (125_504,) * 3, "28.82 12.81 7.21", "31.96 16.53 11.13"),
    ("vdsr", {}, (665_921,) * 3, "612.6 612.6 612.6", ""),
    ("vdsr", {"bias": False}, (664_704,) * 3, "612.6 612.6 612.6", ""),
    ("idn", {}, (552_769,) * 3, "126.96 56.43 31.74", "139.74 71.58 47.72"),
    ("idn_rgb", {}, (590_915,) * 3, "135.75 60.33 33.94", "174.10 105.79 81.88"),
    ("idn_rgb_subpixel", {}, (579_276, 587_931, 600_048), "133.05 60.02 34.46", ""),
    ("carn", {}, (964_163, 1_148_803, 1_111_875), "222.8 118.8 90.9", ""),
    ("carn_m", {}, (257_027, 303_427, 294_147), "91.2 46.1 32.5", ""),
    ("edsr_s", {}, (1_369_859, 1_554_499, 1_517_571), "316.2 160.3 114.2", ""),
    ("edsr_t", {}, (40_729_603, 43_680_003, 43_089_923), "9384.7 4476.5 2894.5", ""),
    ("rcan_s", {}, (5_023_603, 5_208_243, 5_171_315), "1148.6 530.3 322.3", ""),
    ("rcan_t", {}, (15_444_643, 15_629_283, 15_592_355), "3526.8 1587.2 916.9", ""),
    ("san_s", {}, (4_848_786, 5_033_426, 4_996_498), "1108 512 312", ""),
    ("san_t", {}, (15_713_752, 15_898_392, 15_861_464), "3605 1622 936", ""),
    ("drn", {}, (1_927_667, 2_112_307, 2_075_379), "442.7 216.5 145.8", ""),
    ("drn_plus", {}, (17_605_043, 20_555_443, 19_965_363), "4053 2107 1562", ""),
]


def is_rounded_to(macs: int, printed: str) -> bool:
    """Whether ``printed`` is ``macs`` in 10**9, to its own digits."""
    digits = len(printed.partition(".")[2])
    return abs(macs / 1e9 - float(printed)) <= 0.5001 * 10**-digits


@pytest.mark.parametrize("at", range(3), ids=("x2", "x3", "x4"))
@pytest.mark.parametrize("row", NETWORKS, ids=("-".join((row[0], *row[1])) for row in NETWORKS))
def test_costs_are_those_of_the_papers(
    row: tuple[str, dict[str, bool], tuple[int, int, int], str, str], at: int
) -> None:
    name, options, parameters, macs, hr_macs = row
    with torch.device("meta"):
        network = build_model(name, SCALES[at], **options)
    cost = complexity_of(network)
    assert cost.parameters == parameters[at]
    assert is_rounded_to(cost.macs, macs.split()[at])
    assert is_rounded_to(cost.hr_macs, (hr_macs or macs).split()[at])


def test_cost_grows_with_the_picture_and_the_network_is_left_as_it_was() -> None:
    network = build_model("vdsr", 2, width=4, depth=3)
    weights = 9 * (4 + 16 + 4)
    assert complexity_of(network, width=100, height=60) == Complexity(
        weights + 9, weights * 6000, weights * 6000
    )
    assert network(torch.rand(1, 1, 4, 4)).device.type == "cpu"
    assert not any(module._forward_hooks for module in network.modules())


def test_layers_on_pooled_features_do_not_grow() -> None:
    network = build_model("vdsr", 2, width=4, depth=3)
    network.layers.append(torch.nn.AdaptiveAvgPool2d(1))
    network.layers.append(torch.nn.Conv2d(4, 4, 1))
    weights = 9 * (4 + 16)
    cost = complexity_of(network, width=100, height=60)
    # The tail works on one pixel now.
    assert cost.macs == weights * 6000 + 16 + 9 * 4


def test_training_form_costs_the_same() -> None:
    network = build_model("idn_rgb", 3, width=16, d=4)
    before = complexity_of(network)
    assert complexity_of(use_training_form(network)) == before
