"""Losses of LSFD, local-selective feature distillation (Park and Cho, arXiv 2111.10988).

Features are [N, C, h, w], the student's first, on one grid. Pictures are [N, C, H, W].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_sr.distillation.checks import require_one_of
from edge_sr.distillation.lsfd_options import NORM_AXES, POOLINGS, REDUCTIONS


class FeatureRegressor(nn.Sequential):
    """DR: the student's features as the teacher's, [N, C_S, h, w] to [N, C_T, h, w].

    Five 3x3 convolutions, each with a leaky ReLU of slope 0.1: an answer sees 11x11 positions.
    """

    def __init__(self, channels: int, teacher_channels: int) -> None:
        layers: list[nn.Module] = []
        for inputs in (channels, *[teacher_channels] * 4):
            layers += [nn.Conv2d(inputs, teacher_channels, 3, padding=1), nn.LeakyReLU(0.1)]
        super().__init__(*layers)


class FitNetRegressor(nn.Sequential):
    """One 1x1 convolution and a ReLU: what LSFD's tables call FitNet has it in place of DR."""

    def __init__(self, channels: int, teacher_channels: int) -> None:
        super().__init__(nn.Conv2d(channels, teacher_channels, 1), nn.ReLU())


def unit_features(features: Tensor, norm_axis: str) -> Tensor:
    """Features over their L2 norm: of a sample (``chw``), or of each position (``c``)."""
    dims = {"chw": (1, 2, 3), "c": (1,)}[norm_axis]
    norm: Tensor = torch.linalg.vector_norm(features, dim=dims, keepdim=True)
    return features / norm.clamp_min(1e-12)


class LocalFeatureLoss(nn.Module):
    """LFD: |D|_1 with D = F_T/||F_T|| - R(F_S)/||R(F_S)||, R a learnt regressor.

    With ``attention`` [N, 1, h, w] of :func:`residual_attention` it is LSFD: |SFD * D|_1. The paper
    names neither the norm's axes, see :func:`unit_features`, nor what |.|_1 runs over: ``mean`` is
    over all elements, ``sum`` over those of a sample, averaged over samples.
    """

    def __init__(self, regressor: nn.Module, *, norm_axis: str, reduction: str) -> None:
        super().__init__()
        require_one_of("norm axis", norm_axis, NORM_AXES)
        require_one_of("reduction", reduction, REDUCTIONS)
        self.regressor = regressor
        self.norm_axis, self.reduction = norm_axis, reduction

    def difference(self, student: Tensor, teacher: Tensor) -> Tensor:
        """D, in the shape of the teacher's features."""
        imitated = unit_features(self.regressor(student), self.norm_axis)
        return unit_features(teacher, self.norm_axis) - imitated

    def forward(self, student: Tensor, teacher: Tensor, attention: Tensor | None = None) -> Tensor:
        """The loss without its weight (the paper's alpha_1 or alpha_2)."""
        distance = self.difference(student, teacher).abs()
        if attention is not None:
            distance = distance * attention
        return distance.mean() if self.reduction == "mean" else distance.sum() / len(distance)


def residual_attention(
    student: Tensor, teacher: Tensor, features: Tensor, *, pooling: str, with_gradient: bool
) -> Tensor:
    """SFD, [N, 1, h, w] for ``features`` of h x w: where the pictures differ, the loss weighs more.

    The channels' sum of |T - S|, in the pictures' unit, pooled over the HR pixels of a position by
    their ``mean`` or ``sum``. It is a constant unless ``with_gradient``.
    """
    require_one_of("pooling", pooling, POOLINGS)
    residual = (teacher - student).abs().sum(dim=1, keepdim=True)
    window = residual.shape[-1] // features.shape[-1]
    pooled = functional.avg_pool2d(residual, window) * (window**2 if pooling == "sum" else 1)
    return pooled if with_gradient else pooled.detach()


def fourier_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """|FFT(S) - FFT(T)|_1: mean over the real and imaginary parts of an orthonormal 2-D FFT."""
    spectrum = torch.fft.rfft2(student - teacher, norm="ortho")
    return torch.view_as_real(spectrum).abs().mean()
