"""All options of a training run, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from edge_sr.data.compression import MAX_CRF

METHODS = ("pisr", "baseline", "qat")
FEATURE_LOSSES = ("laplace", "gaussian", "mae", "fitnet", "at", "srkd")
IMITATION_LOSSES = (*FEATURE_LOSSES, "output")
TEACHERS = ("hourglass", "plain")
SCALE_MAPS = ("CxHxW", "Cx1x1", "1xHxW", "1x1x1")
STARTS = ("bicubic", "default")
# First learning rate of each optimiser, where none is given; fine-tuning by qat takes a tenth.
LEARNING_RATES = {"soap": 3e-3, "adam": 1e-3}
PATTERN_SHARE = 0.01
ModelOption = int | float | bool | str


@dataclass(frozen=True)
class RunConfig:
    """One training run; written to ``run.json`` and read back to resume it.

    ``model_options`` are what ``build_model`` takes, such as ``{"s": 16}`` of FSRCNN.
    ``patch_size`` is the LR side in pixels. ``lambda_teacher`` weighs PISR's imitation loss on the
    encoder's picture (equation 4), ``lambda_student`` the feature loss (equation 7);
    ``teacher_form`` is hourglass, or plain for a teacher without encoder, and ``transfer`` starts
    the student from an hourglass's decoder. ``teacher`` is a run whose teacher is taken instead of
    training one, or the checkpoint of a network that sees LR, whose features are imitated, or whose
    picture if ``imitation_loss`` is output.
    ``lambda_float`` weighs a QAT student's distance from its float form.

    Training pictures are used at 1/shrink of their size for each of ``shrinks``, equally often;
    ``pattern_share`` of the patches are synthetic text, stripes, noise and the like (None: 1 %,
    and none for qat, whose scales they would widen). LR went through H.264 at each of ``h264_crf``,
    equally often, 0 being lossless. ``init`` is a checkpoint of the same network to start from,
    all but the tail if its scale is another (Dong et al., FSRCNN, section 3.4: the layers before
    it serve all scales). The learning rate rises linearly for ``warm_up`` iterations, at most a
    tenth of a stage, and falls along a cosine from ``learning_rate`` (None: the optimiser's own) to
    ``final_learning_rate``; ``weight_decay`` is decoupled from the loss.
    """

    model: str = "fsrcnn_residual"
    model_options: Mapping[str, ModelOption] = field(default_factory=dict)
    scale: int = 2
    method: str = "pisr"
    data: tuple[str, ...] = ()
    iterations: int = 1_000_000
    teacher_iterations: int = 1_000_000
    batch_size: int = 16
    patch_size: int = 96
    shrinks: tuple[int, ...] = (1, 2, 4)
    pattern_share: float | None = None
    h264_crf: tuple[int, ...] = (0,)
    optimizer: str = "soap"
    learning_rate: float | None = None
    final_learning_rate: float = 1e-5
    warm_up: int = 200
    weight_decay: float = 0.0
    lambda_teacher: float = 1e-4
    lambda_student: float = 1e-6
    lambda_float: float = 1.0
    teacher: str | None = None
    teacher_form: str = "hourglass"
    transfer: bool = True
    imitation_loss: str = "laplace"
    scale_map: str = "CxHxW"
    start: str = "bicubic"
    init: str | None = None
    ema_decay: float = 0.999
    seed: int = 0
    held_out: int = 8
    log_every: int = 100
    evaluate_every: int = 1000

    def __post_init__(self) -> None:
        """Refuse values outside their range with ValueError."""
        _require(self.method in METHODS, f"method {self.method!r} is not one of {METHODS}")
        _require(
            self.imitation_loss in IMITATION_LOSSES,
            f"imitation loss {self.imitation_loss!r} is not one of {IMITATION_LOSSES}",
        )
        _require(
            self.imitation_loss != "output" or str(self.teacher).endswith(".safetensors"),
            "imitation loss output needs a network that sees LR: --teacher CHECKPOINT",
        )
        _require(
            self.teacher_form in TEACHERS,
            f"teacher form {self.teacher_form!r} is not one of {TEACHERS}",
        )
        _require(self.scale_map in SCALE_MAPS, f"scale map {self.scale_map!r} not in {SCALE_MAPS}")
        _require(
            self.method != "qat" or self.init is not None,
            "method qat fine-tunes a student: name its checkpoint with --init",
        )
        share = self.share_of_patterns
        _require(0 <= share < 1, f"pattern_share {share} not in [0, 1)")
        _require(
            bool(self.shrinks)
            and min(self.shrinks) >= 1
            and len(set(self.shrinks)) == len(self.shrinks),
            f"shrinks {self.shrinks} must be different whole numbers from 1 on",
        )
        _require(
            bool(self.h264_crf)
            and all(0 <= crf <= MAX_CRF for crf in self.h264_crf)
            and len(set(self.h264_crf)) == len(self.h264_crf),
            f"h264_crf {self.h264_crf} must be different whole numbers of 0 to {MAX_CRF}",
        )
        _require(self.start in STARTS, f"start {self.start!r} is not one of {STARTS}")
        for name in ("iterations", "teacher_iterations", "batch_size", "log_every"):
            _require(getattr(self, name) >= 1, f"{name} {getattr(self, name)} must be at least 1")
        _require(
            self.evaluate_every >= 1 and self.evaluate_every % self.log_every == 0,
            f"evaluate_every {self.evaluate_every} must be a multiple of log_every "
            f"{self.log_every}, since scores stand in the log",
        )
        _require(self.patch_size >= 8, f"patch_size {self.patch_size} must be at least 8")
        _require(
            self.optimizer in LEARNING_RATES,
            f"optimizer {self.optimizer!r} is not one of {tuple(LEARNING_RATES)}",
        )
        first, last = self.first_learning_rate, self.final_learning_rate
        _require(
            0 <= last <= first and first > 0, f"learning rates {first} to {last} must fall, above 0"
        )
        _require(0 <= self.ema_decay < 1, f"ema_decay {self.ema_decay} must be in [0, 1)")
        _require(self.weight_decay >= 0, f"weight_decay {self.weight_decay} must not be negative")
        _require(self.warm_up >= 0, f"warm_up {self.warm_up} must not be negative")
        _require(self.held_out >= 0, f"held_out {self.held_out} must not be negative")

    @property
    def first_learning_rate(self) -> float:
        """The rate that each stage begins with."""
        if self.learning_rate is not None:
            return self.learning_rate
        return LEARNING_RATES[self.optimizer] * (0.1 if self.method == "qat" else 1.0)

    @property
    def share_of_patterns(self) -> float:
        """The part of the patches that is synthetic."""
        if self.pattern_share is not None:
            return self.pattern_share
        return 0.0 if self.method == "qat" else PATTERN_SHARE

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary for ``run.json``."""
        return asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> RunConfig:
        """Inverse of :meth:`to_json`; ValueError for unknown or missing keys."""
        known = {option.name for option in fields(RunConfig)}
        if set(values) != known:
            raise ValueError(f"run options differ from this version's: {set(values) ^ known}")
        tuples = {name: tuple(values[name]) for name in ("data", "shrinks", "h264_crf")}
        return RunConfig(**{**values, **tuples})


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
