"""PISR's two training stages as objectives (Lee et al., ECCV 2020), and the plain baseline."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edge_sr.data.patches import PicturePair
from edge_sr.distillation.features import distillation_loss, on_one_grid
from edge_sr.distillation.targets import with_targets
from edge_sr.models.network import Network
from edge_sr.models.pisr_teacher import PisrTeacher, PlainTeacher, Teacher

Terms = dict[str, Tensor]


class Objective(nn.Module):
    """What one stage optimises.

    ``forward(lr, hr)`` gives unweighted terms, ``weights`` their factors.

    ``model`` is what the stage delivers; other submodules are trained with it, unless frozen.
    """

    weights: dict[str, float]
    model: nn.Module

    def with_targets(self, pairs: Sequence[PicturePair]) -> Sequence[PicturePair]:
        """Training pictures with what ``forward`` takes beside LR and HR; by default nothing."""
        return pairs

    def score(self, lr: Tensor, hr: Tensor) -> Tensor:
        """The picture to be judged against HR; by default the model's picture of LR."""
        sr: Tensor = self.model(lr)
        return sr


class Baseline(Objective):
    """Reconstruction loss alone: mean absolute (l1) or squared (l2) error against HR."""

    def __init__(self, student: Network, reconstruction_loss: str = "l1") -> None:
        super().__init__()
        self.model = student
        self.is_squared = reconstruction_loss == "l2"
        self.weights = {"reconstruction": 1.0}

    def forward(self, lr: Tensor, hr: Tensor) -> Terms:
        """LR [N, C, h, w] and HR [N, C, H, W] in [0, 1]."""
        error = self.model(lr) - hr
        return {"reconstruction": (error.square() if self.is_squared else error.abs()).mean()}


class TeacherStage(Objective):
    """Stage 1: |Y - F(G(Y))| + lambda_T |X - G(Y)| (equations 2 to 4), means over pixels."""

    def __init__(self, teacher: PisrTeacher, *, lambda_teacher: float) -> None:
        super().__init__()
        self.model = teacher
        self.weights = {"reconstruction": 1.0, "imitation": lambda_teacher}

    def forward(self, lr: Tensor, hr: Tensor) -> Terms:
        """LR [N, C, h, w] and HR [N, C, H, W] in [0, 1]."""
        imitated, sr = self.model(hr)
        return {
            "reconstruction": (sr - hr).abs().mean(),
            "imitation": (imitated - lr).abs().mean(),
        }

    def score(self, lr: Tensor, hr: Tensor) -> Tensor:
        """The teacher's reconstruction of HR."""
        sr: Tensor = self.model(hr)[1]
        return sr


class PlainTeacherStage(Objective):
    """Stage 1 without hourglass: |Y - F(Y)|, mean over pixels."""

    def __init__(self, teacher: PlainTeacher) -> None:
        super().__init__()
        self.model = teacher
        self.weights = {"reconstruction": 1.0}

    def forward(self, lr: Tensor, hr: Tensor) -> Terms:
        """HR [N, C, H, W] in [0, 1]; LR is not used."""
        del lr
        return {"reconstruction": (self.model(hr) - hr).abs().mean()}

    def score(self, lr: Tensor, hr: Tensor) -> Tensor:
        """The teacher's reconstruction of HR."""
        del lr
        sr: Tensor = self.model(hr)
        return sr


class OutputStage(Objective):
    """|Y - Y_S| + lambda |Y_T - Y_S|: the student imitates a larger network's picture.

    That picture is made once of each training picture, before the first iteration.
    """

    def __init__(
        self,
        student: Network,
        teacher: Network,
        *,
        lambda_student: float,
        self_ensemble: bool = False,
    ) -> None:
        super().__init__()
        self.model, self._self_ensemble = student, self_ensemble
        self._frozen = [teacher.requires_grad_(False).eval()]
        self.weights = {"reconstruction": 1.0, "distillation": lambda_student}

    def with_targets(self, pairs: Sequence[PicturePair]) -> Sequence[PicturePair]:
        """The pairs with the teacher's pictures."""
        return with_targets(pairs, self._frozen[0], self_ensemble=self._self_ensemble)

    def forward(self, lr: Tensor, hr: Tensor, target: Tensor) -> Terms:
        """LR [N, C, h, w]; HR and the teacher's picture [N, C, H, W]; all in [0, 1]."""
        sr = self.model(lr)
        return {
            "reconstruction": (sr - hr).abs().mean(),
            "distillation": (sr - target).abs().mean(),
        }


class StudentStage(Objective):
    """Stage 2: |Y - Y_S| + lambda_S L_distill on the last features (equation 7).

    Those are what the reconstruction layer reads: FSRCNN's expanding layer's, for example.
    """

    def __init__(
        self,
        student: Network,
        teacher: Teacher,
        *,
        lambda_student: float,
        imitation_loss: str,
        scale_map: str,
    ) -> None:
        super().__init__()
        self.model = student
        self._frozen = [teacher.requires_grad_(False).eval()]
        self.distill = distillation_loss(
            imitation_loss, student.feature_channels[-1], teacher.channels, scale_map=scale_map
        )
        self.weights = {"reconstruction": 1.0, "distillation": lambda_student}

    def forward(self, lr: Tensor, hr: Tensor) -> Terms:
        """LR [N, C, h, w] and HR [N, C, H, W] in [0, 1]."""
        assert isinstance(self.model, Network)
        sr, (*_, features) = self.model.picture_and_features(lr)
        with torch.no_grad():
            target = self._frozen[0].features(lr, hr)
        return {
            "reconstruction": (sr - hr).abs().mean(),
            "distillation": self.distill(*on_one_grid(features, target)),
        }
