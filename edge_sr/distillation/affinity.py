"""Spatial affinity of FAKD (He et al., ICIP 2020): how alike the positions of a map are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

EPSILON = 1e-8


class AffinityLoss(nn.Module):
    """Mean absolute difference of the student's and the teacher's affinity, [N, P, P] each.

    Takes features [N, C, h, w] on one grid of P = h*w positions; channels may differ, and the
    teacher's get no gradient. Affinities are cosines between positions. A 48x48 map has 21 MB of
    them a sample, so that samples are taken one after the other and leave only their gradient.
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean over samples and pairs of positions."""
        distance: Tensor = _Distance.apply(  # type: ignore[no-untyped-call]
            unit_columns(student), unit_columns(teacher)
        )
        return distance


def unit_columns(features: Tensor) -> Tensor:
    """[N, C, h, w] to [N, C, P] whose columns have norm 1, with the released code's epsilon."""
    columns = features.flatten(2)
    norm: Tensor = torch.linalg.vector_norm(columns, dim=1, keepdim=True)
    return columns / (norm + EPSILON)


class _Distance(torch.autograd.Function):
    """mean |S^T S - T^T T| of columns [N, C, P]; its gradient is 2 S sign(S^T S - T^T T)."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        total, grads = student.new_zeros(()), torch.empty_like(student)
        for row, (mine, theirs) in enumerate(zip(student, teacher, strict=True)):
            difference = mine.T @ mine - theirs.T @ theirs
            total += difference.abs().mean()
            torch.matmul(mine, difference.sign_(), out=grads[row])
        pairs = len(student) * student.shape[2] ** 2
        ctx.save_for_backward(grads.mul_(2 / pairs))
        return total / len(student)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (of_student,) = ctx.saved_tensors
        return grads[0] * of_student, None
