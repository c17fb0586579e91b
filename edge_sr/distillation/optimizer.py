"""The optimisers that a stage may take, by name."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from edge_sr.distillation.soap import Soap

# Decay of the averages of the gradient and of its square, where none is given.
BETAS = {"soap": (0.95, 0.95), "adam": (0.9, 0.999)}


def build_optimizer(
    name: str,
    parameters: Iterable[Tensor],
    learning_rate: float,
    *,
    betas: tuple[float | None, float | None] = (None, None),
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """An optimiser of ``BETAS``, with its own value in place of each beta that is None."""
    own = BETAS[name]
    first = own[0] if betas[0] is None else betas[0]
    second = own[1] if betas[1] is None else betas[1]
    if name == "soap":
        return Soap(parameters, learning_rate, betas=(first, second), weight_decay=weight_decay)
    return torch.optim.AdamW(
        parameters, learning_rate, betas=(first, second), weight_decay=weight_decay, foreach=True
    )
