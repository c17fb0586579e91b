from __future__ import annotations

from collections.abc import Sequence

import pytest

from export.sensitivity import (
    Group,
    fewest_groups,
    find_float_tensors,
    group_drops,
    ranked_groups,
)

COST = {"a": 0.30, "b": 0.05, "c": 0.20, "d": 0.0}


def alike(tensor: str) -> float:
    return 1.0


def additive(kept: frozenset[str]) -> float:
    return sum(cost for name, cost in COST.items() if name not in kept)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [(0.26, ["a"]), (0.10, ["a", "c"]), (0.0, ["a", "c", "b"])],
)
def test_costliest_tensors_are_kept_until_the_budget_is_met(
    budget: float, expected: list[str]
) -> None:
    kept = find_float_tensors(list(COST), additive, cost_of=alike, budget_db=budget)
    assert [k.tensor for k in kept] == expected
    assert kept[-1].drop_db <= budget + 1e-12


def test_the_cheapest_that_is_enough_is_kept() -> None:
    kept = find_float_tensors(
        list(COST), additive, cost_of={"a": 9, "b": 1, "c": 2, "d": 1}.__getitem__, budget_db=0.36
    )
    assert [k.tensor for k in kept] == ["c"]
    kept = find_float_tensors(
        list(COST), additive, cost_of={"a": 90, "b": 1, "c": 2, "d": 1}.__getitem__, budget_db=0.31
    )
    assert [k.tensor for k in kept] == ["c", "b"]


def test_tensor_that_a_later_one_made_unnecessary_is_given_back() -> None:
    def drop(kept: frozenset[str]) -> float:
        if "pair" in kept:
            return 0.0 if "other" in kept else 0.4
        return 0.3 if "lone" in kept else 1.0

    kept = find_float_tensors(["lone", "pair", "other"], drop, cost_of=alike, budget_db=0.1)
    assert sorted(k.tensor for k in kept) == ["other", "pair"]


def test_budget_that_no_choice_meets_is_refused_with_the_figures() -> None:
    with pytest.raises(ValueError, match=r"loss is 0\.500 dB, over the budget of 0\.100 dB"):
        find_float_tensors(["a"], lambda kept: 0.5, cost_of=alike, budget_db=0.1)


LAYERS = [f"layer{index}" for index in range(40)]


def drop_with(layers: Sequence[str]) -> float:
    """Each layer loses a thousandth, one of them a lot."""
    return sum(0.5 if layer == "layer17" else 0.001 for layer in layers)


def test_few_layers_are_measured_alone() -> None:
    groups = group_drops(LAYERS, drop_with, 40)
    assert [group.layers for group in groups] == [(layer,) for layer in LAYERS]
    assert groups[17].drop_db == 0.5


def test_many_layers_are_measured_in_groups_down_to_the_one_that_costs_most() -> None:
    measured: list[tuple[str, ...]] = []

    def counted(layers: Sequence[str]) -> float:
        measured.append(tuple(layers))
        return drop_with(layers)

    groups = group_drops(LAYERS, counted, 12)
    assert len(measured) <= 12
    assert [layer for group in groups for layer in group.layers] == LAYERS
    assert Group(("layer17",), 0.5) in groups
    assert groups[0].title == "layer0 to layer5 (6 layers)"
    assert group_drops(LAYERS, drop_with, 12) == groups


def test_fewest_groups_are_found_by_halving() -> None:
    groups = [Group((name,), cost) for name, cost in COST.items()]
    ranked = ranked_groups(groups, alike)
    assert [group.title for group in ranked] == ["a", "c", "b", "d"]
    measured: list[int] = []

    def drop_of(layers: Sequence[str]) -> float:
        measured.append(len(layers))
        return additive(frozenset(layers))

    kept = fewest_groups(ranked, drop_of, budget_db=0.1)
    assert [group.title for group in kept] == ["a", "c"]
    assert len(measured) <= 2
