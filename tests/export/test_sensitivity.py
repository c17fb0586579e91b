from __future__ import annotations

import pytest

from export.sensitivity import find_float_tensors

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
