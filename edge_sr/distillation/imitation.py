"""A student that imitates a larger network's picture and features: FAKD, LSFD and others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_sr.distillation.affinity import AffinityLoss
from edge_sr.distillation.features import distillation_loss, on_one_grid
from edge_sr.distillation.lsfd import (
    FeatureRegressor,
    FitNetRegressor,
    LocalFeatureLoss,
    fourier_distance,
    residual_attention,
)
from edge_sr.distillation.lsfd_options import LsfdOptions
from edge_sr.distillation.pisr import Objective, Terms
from edge_sr.models.network import Network

# The papers' losses are weighed for pictures of 0 to 255, ours are of 0 to 1.
GREY_LEVELS = 255.0
# LSFD's term is compared with the pictures' loss over these iterations, before it weighs as much.
BALANCE_FROM, BALANCE_UNTIL = 500, 1000
FIRST_ALPHA2 = 10.0


class ImitationStage(Objective):
    """alpha |S - HR| + (1 - alpha) |S - T| + the feature loss, summed over positions, + FFT loss.

    S and T are the student's and the teacher's picture of LR, compared in grey levels of 0 to 255,
    means over pixels; see :class:`LsfdOptions`. The regressors that some feature losses have, one
    for each position, are trained with the student and are no part of ``model``.

    The distillation term of lsfd contains its weight. Where ``alpha2`` is None that is the paper's
    10 for 1000 iterations, then for good what makes the term, averaged over iterations 500 to 1000,
    equal to the pictures' loss: the paper chooses it so, but does not say how.
    """

    alpha2: Tensor
    iterations: Tensor
    balance: Tensor

    def __init__(
        self,
        student: Network,
        teacher: Network,
        options: LsfdOptions,
        *,
        imitation_loss: str,
        lambda_student: float,
    ) -> None:
        super().__init__()
        self.model, self.options = student, options
        self._frozen = [teacher.requires_grad_(False).eval()]
        self.positions = _positions(student, teacher, options, imitation_loss)
        self.losses = nn.ModuleList(
            _position_loss(
                imitation_loss,
                student.feature_channels[position],
                teacher.feature_channels[position],
                options,
            )
            for position in self.positions
        )
        self.has_attention = imitation_loss == "lsfd"
        self.weights = {
            "reconstruction": GREY_LEVELS * options.alpha,
            "imitation": GREY_LEVELS * (1 - options.alpha),
        }
        if self.positions:
            is_local = imitation_loss == "lfd" or _is_normalized_fitnet(imitation_loss, options)
            weight = options.alpha1 if is_local else lambda_student
            self.weights["distillation"] = 1.0 if self.has_attention else weight
        if options.fft_weight:
            self.weights["fourier"] = GREY_LEVELS * options.fft_weight
        alpha2 = FIRST_ALPHA2 if options.alpha2 is None else options.alpha2
        self.register_buffer("alpha2", torch.tensor(alpha2, dtype=torch.float32))
        self.register_buffer("iterations", torch.tensor(0))
        # Sums of the pictures' loss and of the unweighted distillation term.
        self.register_buffer("balance", torch.zeros(2, dtype=torch.float64))

    def forward(self, lr: Tensor, hr: Tensor) -> Terms:
        """LR [N, C, h, w] and HR [N, C, H, W] in [0, 1]; one call is one iteration."""
        assert isinstance(self.model, Network)
        sr, features = self.model.picture_and_features(lr)
        with torch.no_grad():
            target, targets = self._frozen[0].picture_and_features(lr)
        terms = {
            "reconstruction": (sr - hr).abs().mean(),
            "imitation": (sr - target).abs().mean(),
        }
        if self.positions:
            distance = self._distance(sr, target, features, targets)
            terms["distillation"] = distance
            if self.has_attention:
                terms["distillation"] = self.alpha2.clone() * distance
                self._balance(terms, distance.detach())
        if "fourier" in self.weights:
            terms["fourier"] = fourier_distance(sr, target)
        return terms

    def _distance(
        self,
        sr: Tensor,
        target: Tensor,
        features: tuple[Tensor, ...],
        targets: tuple[Tensor, ...],
    ) -> Tensor:
        """The feature loss, summed over positions."""
        total = sr.new_zeros(())
        for loss, position in zip(self.losses, self.positions, strict=True):
            mine, theirs = on_one_grid(features[position], targets[position])
            if not self.has_attention:
                total = total + loss(mine, theirs)
                continue
            attention = GREY_LEVELS * residual_attention(
                sr,
                target,
                mine,
                pooling=self.options.attention_pooling,
                with_gradient=self.options.attention_gradient,
            )
            total = total + loss(mine, theirs, attention)
        return total

    @torch.no_grad()
    def _balance(self, terms: Terms, distance: Tensor) -> None:
        """Count this iteration, sum up both terms, and after the last one set ``alpha2``."""
        if self.options.alpha2 is not None:
            return
        done = int(self.iterations)
        self.iterations += 1
        if not BALANCE_FROM <= done < BALANCE_UNTIL:
            return
        names = ("reconstruction", "imitation")
        pictures = torch.stack([self.weights[name] * terms[name] for name in names]).sum()
        self.balance += _over_processes(torch.stack([pictures, distance]).double())
        if done + 1 == BALANCE_UNTIL:
            self.alpha2.copy_(self.balance[0] / self.balance[1])


def _over_processes(values: Tensor) -> Tensor:
    """The mean over the processes of a ``torchrun`` job: of the global batch, in each of them."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(values)
        values /= torch.distributed.get_world_size()
    return values


def _positions(
    student: Network, teacher: Network, options: LsfdOptions, imitation_loss: str
) -> tuple[int, ...]:
    """Indices of the compared features; ValueError if the networks have not the same positions."""
    if imitation_loss == "none":
        return ()
    mine, theirs = len(student.feature_channels), len(teacher.feature_channels)
    if mine != theirs:
        raise ValueError(
            f"the student {student.spec.name} has features at {mine} positions and the teacher "
            f"{teacher.spec.name} at {theirs}; --imitation-loss none compares pictures alone"
        )
    if max(options.positions, default=0) > mine:
        raise ValueError(f"positions {options.positions}: {student.spec.name} has {mine} of them")
    return tuple(n - 1 for n in options.positions) or tuple(range(mine))


def _is_normalized_fitnet(imitation_loss: str, options: LsfdOptions) -> bool:
    return imitation_loss == "fitnet" and options.fitnet_form == "normalized"


def _position_loss(
    name: str, channels: int, teacher_channels: int, options: LsfdOptions
) -> nn.Module:
    """The loss of a name in ``config.IMITATION_LOSSES["lsfd"]`` at one position."""
    if name == "fakd":
        return AffinityLoss()
    regressor: nn.Module
    if name in ("lfd", "lsfd"):
        regressor = FeatureRegressor(channels, teacher_channels)
    elif _is_normalized_fitnet(name, options):
        regressor = FitNetRegressor(channels, teacher_channels)
    else:
        return distillation_loss(name, channels, teacher_channels)
    return LocalFeatureLoss(regressor, norm_axis=options.norm_axis, reduction=options.reduction)
