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
    budget_db: float,
) -> list[KeptTensor]:
    """The tensors to keep float, most useful first, so that the loss is within ``budget_db``.

    ``drop_of`` measures the loss in dB with a set of tensors kept float. All candidates are ranked
    once by the loss with each alone kept float, then kept in that order until the budget is met;
    a last pass gives back those that proved unnecessary. Raises ValueError if even keeping all of
    them does not meet the budget.
    """
    least = drop_of(frozenset(candidates))
    if least > budget_db:
        raise ValueError(
            f"even with all {len(candidates)} tensors in float the loss is {least:.3f} dB, "
            f"over the budget of {budget_db:.3f} dB"
        )
    alone = {tensor: drop_of(frozenset({tensor})) for tensor in candidates}
    kept: list[KeptTensor] = []
    for tensor in sorted(candidates, key=lambda name: alone[name]):
        names = frozenset({tensor, *(k.tensor for k in kept)})
        drop = drop_of(names)
        kept.append(KeptTensor(tensor, drop))
        if drop <= budget_db:
            break
    return _without_unneeded(kept, drop_of, budget_db)


def _without_unneeded(
    kept: list[KeptTensor], drop_of: Callable[[frozenset[str]], float], budget_db: float
) -> list[KeptTensor]:
    for candidate in kept[:-1]:
        rest = [k for k in kept if k is not candidate]
        if drop_of(frozenset(k.tensor for k in rest)) <= budget_db:
            kept = rest
    return kept
