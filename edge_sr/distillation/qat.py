"""Quantisation-aware fine-tuning of a finished student."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from edge_sr.data.patches import PicturePair
from edge_sr.distillation.pisr import Objective, Terms
from edge_sr.distillation.targets import with_targets
from edge_sr.models.fsrcnn import Fsrcnn
from edge_sr.models.network import Network
from edge_sr.models.quantized import QuantizedFsrcnn, blocks_of


class QatStage(Objective):
    """|Y - Q(X)| + lambda_float |F(X) - Q(X)|, means over pixels.

    Q is the student as its INT8 graph computes it, F the float student that it began from or, where
    one is given, a ``teacher`` of the same scale and channels, whose pictures are made once before
    the first iteration. PReLU slopes stay, so that INT8 and float may share a native model.
    """

    def __init__(
        self,
        student: Fsrcnn,
        ranges: Mapping[str, float],
        *,
        lambda_float: float,
        teacher: Network | None = None,
        self_ensemble: bool = False,
    ) -> None:
        super().__init__()
        self._self_ensemble = self_ensemble
        self._teacher = [] if teacher is None else [teacher.requires_grad_(False).eval()]
        self._float = [] if self._teacher else [_frozen_copy(student)]
        for _, _, activation in blocks_of(student):
            activation.get_parameter("weight").requires_grad_(False)
        self.model = QuantizedFsrcnn(student, ranges)
        self.weights = {"reconstruction": 1.0, "imitation": lambda_float}

    def ranges(self) -> dict[str, float]:
        """The learnt range of each quantised activation, by the exported graph's names."""
        assert isinstance(self.model, QuantizedFsrcnn)
        return self.model.ranges()

    def with_targets(self, pairs: Sequence[PicturePair]) -> Sequence[PicturePair]:
        """The pairs with the teacher's pictures, if there is one."""
        if not self._teacher:
            return pairs
        return with_targets(pairs, self._teacher[0], self_ensemble=self._self_ensemble)

    def forward(self, lr: Tensor, hr: Tensor, target: Tensor | None = None) -> Terms:
        """LR [N, 1, h, w]; HR and a teacher's picture [N, 1, H, W]; all in [0, 1]."""
        sr = self.model(lr)
        if target is None:
            with torch.no_grad():
                target = self._float[0].to(lr.device)(lr)
        return {
            "reconstruction": (sr - hr).abs().mean(),
            "imitation": (sr - target).abs().mean(),
        }


def _frozen_copy(student: Fsrcnn) -> Fsrcnn:
    step, student.native_step = student.native_step, None
    frozen = copy.deepcopy(student).requires_grad_(False).eval()
    student.native_step = step
    frozen.native_step = None if step is None else step.of_copy(frozen)
    return frozen
