"""SOAP, the optimiser that small networks learn fastest with (Vyas et al., 2024)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Soap(torch.optim.Optimizer):
    """Adam in the eigenbasis of Shampoo's preconditioner (SOAP, arXiv 2409.11321, algorithm 3).

    A weight of more than one dimension is seen as a matrix G of [out, rest]. Running averages of
    G G^T and G^T G give two bases, refreshed every ``refresh_every`` steps by one step of
    orthogonal iteration; Adam's second moment is kept in these bases, its first in the weight's
    own. The bases begin as the identity, not with the first gradient's eigenvectors, most of which
    are arbitrary. Vectors, such as biases and PReLU slopes, are plain Adam. The matrices cost
    out^2 + rest^2 numbers each, so this is for layers whose sides are at most a few hundred.
    ``weight_decay`` pulls matrices, not vectors, to zero by lr * weight_decay of themselves a step.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        *,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        refresh_every: int = 10,
    ) -> None:
        if refresh_every < 1:
            raise ValueError(f"refresh_every {refresh_every} must be at least 1")
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        defaults["refresh_every"] = refresh_every
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change all parameters that have a gradient. ``closure`` must be None."""
        if closure is not None:
            raise ValueError("this optimiser takes gradients, not a closure")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        # Contiguous, whatever the memory format: rows of the matrix are outputs.
        matrix = grad.contiguous().reshape(grad.shape[0], -1) if grad.dim() > 1 else grad
        state = self.state[parameter]
        if not state:
            _begin(state, matrix)
        state["step"] += 1
        first, second = group["betas"]
        count = float(state["step"])
        state["mean"].lerp_(matrix, 1 - first)
        turned = _to_basis(matrix, state)
        state["square"].mul_(second).addcmul_(turned, turned, value=1 - second)
        spread = (state["square"] / (1 - second**count)).sqrt_().add_(group["eps"])
        change = _to_basis(state["mean"] / (1 - first**count), state).div_(spread)
        change = _from_basis(change, state).reshape(grad.shape)
        if matrix.dim() > 1:
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(change, alpha=group["lr"])
        if matrix.dim() > 1:
            state["rows"].lerp_(matrix @ matrix.T, 1 - second)
            state["columns"].lerp_(matrix.T @ matrix, 1 - second)
            if count % group["refresh_every"] == 0:
                for side in ("rows", "columns"):
                    basis = state[f"{side}_basis"]
                    basis.copy_(torch.linalg.qr(state[side] @ basis).Q)


def _begin(state: dict[str, Any], matrix: Tensor) -> None:
    state["step"] = torch.zeros(())
    state["mean"] = torch.zeros_like(matrix)
    state["square"] = torch.zeros_like(matrix)
    if matrix.dim() > 1:
        for side, size in zip(("rows", "columns"), matrix.shape, strict=True):
            state[side] = matrix.new_zeros(size, size)
            state[f"{side}_basis"] = torch.eye(size, dtype=matrix.dtype, device=matrix.device)


def _to_basis(matrix: Tensor, state: dict[str, Any]) -> Tensor:
    if matrix.dim() < 2:
        return matrix
    turned: Tensor = state["rows_basis"].T @ matrix @ state["columns_basis"]
    return turned


def _from_basis(matrix: Tensor, state: dict[str, Any]) -> Tensor:
    if matrix.dim() < 2:
        return matrix
    turned: Tensor = state["rows_basis"] @ matrix @ state["columns_basis"].T
    return turned
