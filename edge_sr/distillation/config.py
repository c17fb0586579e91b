"""All options of a training run, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from edge_sr.data.compression import MAX_CRF
from edge_sr.distillation.checks import require, require_one_of
from edge_sr.distillation.lsfd_options import LsfdOptions

METHODS = ("pisr", "lsfd", "baseline", "qat")
FEATURE_LOSSES = ("laplace", "gaussian", "mae", "fitnet", "at", "srkd")
# Of each method that imitates; method lsfd always imitates the teacher's picture, too.
IMITATION_LOSSES = {
    "pisr": (*FEATURE_LOSSES, "output"),
    "lsfd": ("lfd", "lsfd", "fakd", "fitnet", "at", "srkd", "mae", "none"),
}
TEACHERS = ("hourglass", "plain")
SCALE_MAPS = ("CxHxW", "Cx1x1", "1xHxW", "1x1x1")
STARTS = ("bicubic", "default")
SCHEDULES = ("cosine", "step")
RECONSTRUCTION_LOSSES = ("l1", "l2")
# Symmetries of the square that each augmentation draws from.
AUGMENTATIONS = {"dihedral": 8, "flip": 2}
# First learning rate of each optimiser, where none is given; fine-tuning by qat takes a tenth.
LEARNING_RATES = {"soap": 3e-3, "adam": 1e-3}
# What a method's paper asks for, in place of the defaults below.
METHOD_DEFAULTS: dict[str, dict[str, Any]] = {
    "lsfd": {
        "imitation_loss": "lsfd",
        "lambda_student": 10.0,
        "iterations": 300_000,
        "patch_size": 48,
        "shrinks": (1,),
        "pattern_share": 0.0,
        "augmentation": "flip",
        "optimizer": "adam",
        "beta2": 0.99,
        "learning_rate": 1e-4,
        "schedule": "step",
        "warm_up": 0,
        "ema_decay": 0.0,
    },
}
ModelOption = int | float | bool | str


@dataclass(frozen=True)
class RunConfig:
    """One training run; written to ``run.json`` and read back to resume it.

    The defaults are PISR's; :meth:`of` puts in those of another method. ``recipe`` says which
    published row the options are of, how much of its length, and what was changed.

    ``model_options`` are what ``build_model`` takes, such as ``{"s": 16}`` of FSRCNN.
    ``patch_size`` is the LR side in pixels. ``lambda_teacher`` weighs PISR's imitation loss on the
    encoder's picture (equation 4), ``lambda_student`` the feature loss (equation 7);
    ``teacher_form`` is hourglass, or plain for a teacher without encoder, and ``transfer`` starts
    the student from an hourglass's decoder. ``teacher`` is a run whose teacher is taken instead of
    training one, or the checkpoint of a network that sees LR, whose features are imitated, or whose
    picture if ``imitation_loss`` is output. ``lsfd`` are further options of method lsfd, whose
    teacher is such a checkpoint. ``lambda_float`` weighs the distance of a QAT student's picture
    from that of its float form, or of such a checkpoint. With ``self_ensemble`` the checkpoint's
    picture, where it is made once before training, is the mean over the 8 symmetries of the square.

    Training pictures are used at 1/shrink of their size for each of ``shrinks``, equally often;
    ``pattern_share`` of the patches are synthetic text, stripes, noise and the like. LR went
    through H.264 at each of ``h264_crf``, equally often, 0 being lossless. ``init`` is a checkpoint
    of the same network to start from, all but the tail if its scale is another (Dong et al.,
    FSRCNN, section 3.4: the layers before
    it serve all scales). The learning rate rises linearly for ``warm_up`` iterations, at most a
    tenth of a stage, and falls from ``learning_rate`` (None: the optimiser's own): by ``schedule``
    cosine to ``final_learning_rate``, by step times ``step_factor`` every ``step_every``.
    ``beta1`` and ``beta2`` are the optimiser's (None: its own); ``weight_decay`` is decoupled from
    the loss. ``reconstruction_loss`` of a baseline is l1 or l2, the mean absolute or squared error.
    ``augmentation`` is dihedral, or flip for horizontal flips alone. ``bf16`` lets PyTorch's layers
    compute in bfloat16 (autocast), of a frozen teacher, too; on a CPU a wide FSRCNN takes them
    instead of the native step.
    """

    recipe: str | None = None
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
    pattern_share: float = 0.01
    h264_crf: tuple[int, ...] = (0,)
    augmentation: str = "dihedral"
    optimizer: str = "soap"
    beta1: float | None = None
    beta2: float | None = None
    learning_rate: float | None = None
    final_learning_rate: float = 1e-5
    schedule: str = "cosine"
    step_every: int = 150_000
    step_factor: float = 0.5
    warm_up: int = 200
    weight_decay: float = 0.0
    reconstruction_loss: str = "l1"
    lambda_teacher: float = 1e-4
    lambda_student: float = 1e-6
    lambda_float: float = 1.0
    teacher: str | None = None
    teacher_form: str = "hourglass"
    self_ensemble: bool = False
    transfer: bool = True
    imitation_loss: str = "laplace"
    scale_map: str = "CxHxW"
    lsfd: LsfdOptions = field(default_factory=LsfdOptions)
    start: str = "bicubic"
    init: str | None = None
    ema_decay: float = 0.999
    bf16: bool = False
    seed: int = 0
    held_out: int = 8
    log_every: int = 100
    evaluate_every: int = 1000

    def __post_init__(self) -> None:
        """Refuse values outside their range with ValueError."""
        require_one_of("method", self.method, METHODS)
        for name, offered in (
            ("teacher_form", TEACHERS),
            ("scale_map", SCALE_MAPS),
            ("start", STARTS),
            ("optimizer", LEARNING_RATES),
            ("schedule", SCHEDULES),
            ("reconstruction_loss", RECONSTRUCTION_LOSSES),
            ("augmentation", AUGMENTATIONS),
        ):
            require_one_of(name, getattr(self, name), offered)
        self._check_imitation()
        self._check_data()
        self._check_optimisation()

    def _check_imitation(self) -> None:
        offered = IMITATION_LOSSES.get(self.method, (self.imitation_loss,))
        require(
            self.imitation_loss in offered,
            f"imitation loss {self.imitation_loss!r} of method {self.method} is not one of "
            f"{' '.join(offered)}",
        )
        sees_lr = str(self.teacher).endswith(".safetensors")
        require(
            sees_lr or (self.imitation_loss != "output" and self.method != "lsfd"),
            f"{'method lsfd' if self.method == 'lsfd' else 'imitation loss output'} needs a "
            "network that sees LR: --teacher CHECKPOINT",
        )
        require(
            self.teacher is None or self.method != "baseline", "method baseline takes no teacher"
        )
        require(
            self.teacher is None or sees_lr or self.method != "qat",
            f"method qat imitates a checkpoint's picture, which teacher {self.teacher} is not",
        )
        makes_pictures = self.method == "qat" or self.imitation_loss == "output"
        require(
            not self.self_ensemble or (sees_lr and makes_pictures),
            "a self-ensemble is of the picture of a --teacher CHECKPOINT: with --method qat or "
            "--imitation-loss output",
        )
        require(
            self.method == "lsfd" or self.lsfd == LsfdOptions(),
            f"options of method lsfd are given to method {self.method}: {self.lsfd.changes()}",
        )
        require(
            self.reconstruction_loss == "l1" or self.method == "baseline",
            f"reconstruction loss {self.reconstruction_loss} is for method baseline alone",
        )
        require(
            self.method != "qat" or self.init is not None,
            "method qat fine-tunes a student: name its checkpoint with --init",
        )
        for name in ("lambda_teacher", "lambda_student", "lambda_float"):
            value = getattr(self, name)
            require(value >= 0, f"{name} {value} must not be negative")

    def _check_data(self) -> None:
        require(0 <= self.pattern_share < 1, f"pattern_share {self.pattern_share} not in [0, 1)")
        require(
            bool(self.shrinks)
            and min(self.shrinks) >= 1
            and len(set(self.shrinks)) == len(self.shrinks),
            f"shrinks {self.shrinks} must be different whole numbers from 1 on",
        )
        require(
            bool(self.h264_crf)
            and all(0 <= crf <= MAX_CRF for crf in self.h264_crf)
            and len(set(self.h264_crf)) == len(self.h264_crf),
            f"h264_crf {self.h264_crf} must be different whole numbers of 0 to {MAX_CRF}",
        )
        require(self.patch_size >= 8, f"patch_size {self.patch_size} must be at least 8")
        require(self.held_out >= 0, f"held_out {self.held_out} must not be negative")

    def _check_optimisation(self) -> None:
        counts = ("iterations", "teacher_iterations", "batch_size", "step_every", "log_every")
        for name in counts:
            require(getattr(self, name) >= 1, f"{name} {getattr(self, name)} must be at least 1")
        require(
            self.evaluate_every >= 1 and self.evaluate_every % self.log_every == 0,
            f"evaluate_every {self.evaluate_every} must be a multiple of log_every "
            f"{self.log_every}, since scores stand in the log",
        )
        first = self.first_learning_rate
        last = self.final_learning_rate if self.schedule == "cosine" else 0.0
        require(
            0 <= last <= first and first > 0, f"learning rates {first} to {last} must fall, above 0"
        )
        for name in ("ema_decay", "beta1", "beta2"):
            value = getattr(self, name)
            require(value is None or 0 <= value < 1, f"{name} {value} must be in [0, 1)")
        require(0 < self.step_factor <= 1, f"step_factor {self.step_factor} must be in (0, 1]")
        require(self.weight_decay >= 0, f"weight_decay {self.weight_decay} must not be negative")
        require(self.warm_up >= 0, f"warm_up {self.warm_up} must not be negative")

    @property
    def first_learning_rate(self) -> float:
        """The rate that each stage begins with."""
        if self.learning_rate is not None:
            return self.learning_rate
        return LEARNING_RATES[self.optimizer] * (0.1 if self.method == "qat" else 1.0)

    @staticmethod
    def of(given: dict[str, Any]) -> RunConfig:
        """A new run of options by name, those of ``lsfd`` among them; ValueError if out of range.

        What is not given is the method's own default, or that of this class.
        """
        flat = {**METHOD_DEFAULTS.get(given.get("method", ""), {}), **given}
        lsfd = {k: flat.pop(k) for k in LSFD_NAMES & set(flat)}
        return RunConfig(**flat, lsfd=LsfdOptions(**lsfd))

    def option(self, name: str) -> Any:
        """The value of one of ``OPTION_NAMES``."""
        return getattr(self.lsfd if name in LSFD_NAMES else self, name)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary for ``run.json``."""
        return asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> RunConfig:
        """Inverse of :meth:`to_json`; ValueError for unknown or missing keys."""
        lsfd = LsfdOptions(**_with_tuples(LsfdOptions, values.get("lsfd", {})))
        return RunConfig(**{**_with_tuples(RunConfig, values), "lsfd": lsfd})


LSFD_NAMES = {option.name for option in fields(LsfdOptions)}
OPTION_NAMES = {option.name for option in fields(RunConfig)} - {"lsfd"} | LSFD_NAMES
TUPLES = {"data", "shrinks", "h264_crf", "positions"}


def _with_tuples(options: type[RunConfig] | type[LsfdOptions], values: Any) -> dict[str, Any]:
    """A JSON object's values for a class of options, of which none may be missing."""
    known = {option.name for option in fields(options)}
    if set(values) != known:
        raise ValueError(f"run options differ from this version's: {set(values) ^ known}")
    return {k: tuple(v) if k in TUPLES else v for k, v in values.items()}
