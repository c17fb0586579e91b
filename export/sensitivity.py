"""Which tensors must stay float for INT8 to keep its quality, found by measuring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class KeptTensor:
    """A tensor left in float, and the PSNR loss of the network once it was, in dB."""

    tensor: str
    drop_db: float


def find_float_tensors(
    candidates: Sequence[str],
    drop_of: Callable[[frozenset[str]], float],
    *,
    cost_of: Callable[[str], float],
    budget_db: float,
) -> list[KeptTensor]:
    """The tensors to keep float, in the order found, so that the loss is within ``budget_db``.

    ``drop_of`` measures the loss in dB with a set of tensors kept float, ``cost_of`` says what
    keeping one costs. Each step keeps the candidate that lowers the loss most for its cost beside
    those kept already; of all plans met on this way that are within the budget the cheapest is
    taken, without what proves unnecessary, dear ones first. Raises ValueError if even keeping all
    of them does not meet the budget.
    """
    least = drop_of(frozenset(candidates))
    if least > budget_db:
        raise ValueError(
            f"even with all {len(candidates)} tensors in float the loss is {least:.3f} dB, "
            f"over the budget of {budget_db:.3f} dB"
        )
    kept: list[KeptTensor] = []
    plans: list[list[KeptTensor]] = []
    before = drop_of(frozenset())
    while len(kept) < len(candidates):
        if plans and _cost(kept, cost_of) >= min(_cost(plan, cost_of) for plan in plans):
            break
        names = frozenset(k.tensor for k in kept)
        rest = [tensor for tensor in candidates if tensor not in names]
        drops = {tensor: drop_of(names | {tensor}) for tensor in rest}
        plans += [[*kept, KeptTensor(t, drops[t])] for t in rest if drops[t] <= budget_db]
        gains = {tensor: (before - drops[tensor]) / cost_of(tensor) for tensor in rest}
        best = max(rest, key=lambda name: gains[name])
        before = drops[best]
        kept.append(KeptTensor(best, before))
    cheapest = min(plans, key=lambda plan: (_cost(plan, cost_of), plan[-1].drop_db))
    return _without_unneeded(cheapest, drop_of, cost_of, budget_db)


def _cost(plan: Sequence[KeptTensor], cost_of: Callable[[str], float]) -> float:
    return sum(cost_of(kept.tensor) for kept in plan)


def _without_unneeded(
    kept: list[KeptTensor],
    drop_of: Callable[[frozenset[str]], float],
    cost_of: Callable[[str], float],
    budget_db: float,
) -> list[KeptTensor]:
    for candidate in sorted(kept[:-1], key=lambda k: -cost_of(k.tensor)):
        rest = [k for k in kept if k is not candidate]
        if drop_of(frozenset(k.tensor for k in rest)) <= budget_db:
            kept = rest
    return kept
