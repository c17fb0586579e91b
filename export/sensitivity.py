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

    ``drop_of`` measures the loss in dB with a set of tensors kept float. Each step keeps the
    candidate that lowers the loss most beside those kept already, until the budget is met; a last
    pass gives back those that proved unnecessary. Raises ValueError if even keeping all of them
    does not meet the budget.
    """
    least = drop_of(frozenset(candidates))
    if least > budget_db:
        raise ValueError(
            f"even with all {len(candidates)} tensors in float the loss is {least:.3f} dB, "
            f"over the budget of {budget_db:.3f} dB"
        )
    kept: list[KeptTensor] = []
    while not kept or kept[-1].drop_db > budget_db:
        names = frozenset(k.tensor for k in kept)
        rest = [tensor for tensor in candidates if tensor not in names]
        drops = {tensor: drop_of(names | {tensor}) for tensor in rest}
        best = min(rest, key=lambda name: drops[name])
        kept.append(KeptTensor(best, drops[best]))
    return _without_unneeded(kept, drop_of, budget_db)


def _without_unneeded(
    kept: list[KeptTensor], drop_of: Callable[[frozenset[str]], float], budget_db: float
) -> list[KeptTensor]:
    for candidate in kept[:-1]:
        rest = [k for k in kept if k is not candidate]
        if drop_of(frozenset(k.tensor for k in rest)) <= budget_db:
            kept = rest
    return kept
