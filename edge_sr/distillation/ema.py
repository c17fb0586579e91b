"""Exponential moving average of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightAverage:
    """Running average of a module's parameters; ``decay`` 0 follows them exactly.

    The decay warms up as (1 + n) / (10 + n) so that early averages forget the initial weights.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.average = {k: v.detach().clone() for k, v in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the parameters after one optimiser step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        names = list(self.average)
        parameters = dict(module.named_parameters())
        torch._foreach_lerp_(
            [self.average[n] for n in names], [parameters[n].detach() for n in names], 1 - decay
        )

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """Exchange the module's parameters with the average; call twice to undo."""
        for name, parameter in module.named_parameters():
            kept: Tensor = parameter.detach().clone()
            parameter.copy_(self.average[name])
            self.average[name].copy_(kept)
