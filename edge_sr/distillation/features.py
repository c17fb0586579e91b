"""Feature losses that PISR is compared with (its table 1 and, in the supplement, D).

All take features [N, C, H, W] on one grid, the student's first. MAE needs equal channels.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class MaeLoss(nn.Module):
    """Mean absolute difference (PISR, table 1)."""

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean over all elements."""
        return (student - teacher).abs().mean()


class FitNetLoss(nn.Module):
    """Mean squared difference after a learnt 1x1 convolution (Romero et al., ICLR 2015, eq. 3)."""

    def __init__(self, channels: int, teacher_channels: int) -> None:
        super().__init__()
        self.regressor = nn.Conv2d(channels, teacher_channels, 1)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean over all elements."""
        difference: Tensor = self.regressor(student) - teacher
        return difference.square().mean()


class AttentionLoss(nn.Module):
    """Mean squared difference of attention maps: the channels' mean square, normalised per sample.

    AT of Zagoruyko and Komodakis, ICLR 2017, equation 2.
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean over samples and positions."""
        maps = [
            functional.normalize(features.square().mean(dim=1).flatten(1))
            for features in (student, teacher)
        ]
        return (maps[0] - maps[1]).square().mean()


class StatisticalMapLoss(nn.Module):
    """Mean squared difference of the channels' mean (SRKD, Gao et al., ACCV 2018)."""

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean over samples and positions."""
        return (student.mean(dim=1) - teacher.mean(dim=1)).square().mean()


def distillation_loss(
    name: str, channels: int, teacher_channels: int, *, scale_map: str = "CxHxW"
) -> nn.Module:
    """The loss of a name in ``config.FEATURE_LOSSES`` between maps of so many channels."""
    from edge_sr.distillation.vid import VidLoss

    if name in ("laplace", "gaussian"):
        return VidLoss(channels, teacher_channels, density=name, scale_map=scale_map)
    if name == "fitnet":
        return FitNetLoss(channels, teacher_channels)
    if name == "mae" and channels != teacher_channels:
        raise ValueError(
            f"imitation loss mae compares equal channels, but the student's features have "
            f"{channels} and the teacher's {teacher_channels}; fitnet learns to convert them"
        )
    losses = {"mae": MaeLoss, "at": AttentionLoss, "srkd": StatisticalMapLoss}
    if name not in losses:
        raise ValueError(f"imitation loss {name!r} is unknown")
    return losses[name]()


def on_one_grid(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps on the coarser one's grid: the finer is averaged over each of its positions.

    Features of a network that upscales first lie on the HR grid, others on the LR grid.
    """
    sides = (student.shape[-2:], teacher.shape[-2:])
    if sides[0] == sides[1]:
        return student, teacher
    coarse, fine = sorted(sides)
    window = fine[0] // coarse[0]
    if fine != (coarse[0] * window, coarse[1] * window):
        raise ValueError(
            f"features of {sides[0][1]}x{sides[0][0]} and {sides[1][1]}x{sides[1][0]} positions "
            "lie on no common grid"
        )
    if sides[0] == fine:
        return functional.avg_pool2d(student, window), teacher
    return student, functional.avg_pool2d(teacher, window)
