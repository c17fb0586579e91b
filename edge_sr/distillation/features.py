"""Feature losses without an estimator."""

from __future__ import annotations

from torch import Tensor, nn


class MaeLoss(nn.Module):
    """Mean absolute difference of equally shaped features (PISR, table 1)."""

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean over all elements."""
        return (student - teacher).abs().mean()
