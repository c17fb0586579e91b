"""What INT8 costs, and what must stay float for it to keep its quality, found by measuring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class KeptTensor:
    """A tensor left in float, and the PSNR loss of the network once it was, in dB."""

    tensor: str
    drop_db: float


@dataclass(frozen=True)
class Group:
    """Neighbouring layers, and the PSNR loss of the network if they alone are quantised, in dB."""

    layers: tuple[str, ...]
    drop_db: float

    @property
    def title(self) -> str:
        """For people."""
        return title_of(self.layers)


def title_of(layers: Sequence[str]) -> str:
    """The name of a layer, or the first and last of several and how many they are."""
    return layers[0] if len(layers) == 1 else f"{layers[0]} to {layers[-1]} ({len(layers)} layers)"


def group_drops(
    layers: Sequence[str], drop_of: Callable[[Sequence[str]], float], comparisons: int
) -> list[Group]:
    """The loss of each layer alone or, for more of them than ``comparisons``, of groups.

    Half of the comparisons goes into groups of equal length, in the order of the network; the rest
    halves those again and again that lose most. ``drop_of`` measures the loss in dB with some
    layers alone quantised.
    """
    if len(layers) <= comparisons:
        return [Group((layer,), drop_of([layer])) for layer in layers]
    count = max(1, comparisons // 2)
    bounds = [index * len(layers) // count for index in range(count + 1)]
    groups = [_measured(layers[start:stop], drop_of) for start, stop in pairwise(bounds)]
    for _ in range((comparisons - count) // 2):
        index = max(
            range(len(groups)), key=lambda i: (len(groups[i].layers) > 1, groups[i].drop_db)
        )
        whole = groups[index].layers
        middle = (len(whole) + 1) // 2
        halves = whole[:middle], whole[middle:]
        groups[index : index + 1] = [_measured(part, drop_of) for part in halves]
    return groups


def _measured(layers: Sequence[str], drop_of: Callable[[Sequence[str]], float]) -> Group:
    return Group(tuple(layers), drop_of(layers))


def ranked_groups(groups: Sequence[Group], cost_of: Callable[[str], float]) -> list[Group]:
    """Those that gain most for what keeping them in float costs come first."""
    return sorted(groups, key=lambda g: -g.drop_db / sum(cost_of(layer) for layer in g.layers))


def fewest_groups(
    ranked: Sequence[Group], drop_of: Callable[[Sequence[str]], float], *, budget_db: float
) -> list[Group]:
    """The first groups to keep float so that the loss is within ``budget_db``, as few as needed.

    Found by halving, so with few measurements. ``drop_of`` measures the loss in dB with some layers
    kept float; keeping all of them must be enough.
    """
    low, high = 0, len(ranked)
    while high - low > 1:
        middle = (low + high) // 2
        layers = [layer for group in ranked[:middle] for layer in group.layers]
        if drop_of(layers) <= budget_db:
            high = middle
        else:
            low = middle
    return list(ranked[:high])


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
