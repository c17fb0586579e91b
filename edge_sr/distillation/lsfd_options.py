"""The options that only ``--method lsfd`` has."""

from __future__ import annotations

from dataclasses import dataclass, fields

from edge_sr.distillation.checks import require, require_one_of

NORM_AXES = ("chw", "c")
REDUCTIONS = ("mean", "sum")
POOLINGS = ("mean", "sum")
FITNET_FORMS = ("normalized", "square")


@dataclass(frozen=True)
class LsfdOptions:
    """What ``--method lsfd`` compares and how; where the paper is silent, see docs/training.md.

    Pictures are weighed ``alpha`` |S - HR| + (1 - alpha) |S - T|, in grey levels of 0 to 255.
    ``alpha1`` weighs lfd and the normalised fitnet, ``alpha2`` lsfd: None makes the term as large
    as the pictures' loss, once. Others, of other papers, are weighed by ``RunConfig``'s
    ``lambda_student``. ``norm_axis`` is chw, one norm for a sample, or c, one for each position;
    ``reduction`` is over a sample's elements. ``attention_pooling`` and ``attention_gradient``:
    how lsfd's attention is pooled, and whether it is more than a constant. ``positions`` are those
    of the networks' features that are compared, from 1 on in the order of depth, all by default.
    ``fitnet_form`` is normalized (a 1x1 convolution and ReLU, compared as by lfd) or square.
    """

    alpha: float = 0.5
    alpha1: float = 2000.0
    alpha2: float | None = None
    norm_axis: str = "chw"
    reduction: str = "mean"
    attention_pooling: str = "mean"
    attention_gradient: bool = False
    fft_weight: float = 0.0
    positions: tuple[int, ...] = ()
    fitnet_form: str = "normalized"

    def __post_init__(self) -> None:
        """Refuse values outside their range with ValueError."""
        require(0 <= self.alpha <= 1, f"alpha {self.alpha} must be in [0, 1]")
        for name in ("alpha1", "alpha2", "fft_weight"):
            value = getattr(self, name)
            require(value is None or value >= 0, f"{name} {value} must not be negative")
        require(
            all(n >= 1 for n in self.positions)
            and sorted(set(self.positions)) == list(self.positions),
            f"positions {self.positions} must be rising whole numbers from 1 on",
        )
        for name, offered in (
            ("norm_axis", NORM_AXES),
            ("reduction", REDUCTIONS),
            ("attention_pooling", POOLINGS),
            ("fitnet_form", FITNET_FORMS),
        ):
            require_one_of(name, getattr(self, name), offered)

    def changes(self) -> str:
        """The options that are not the default's, for a message."""
        names = [f.name for f in fields(self) if getattr(self, f.name) != f.default]
        return " ".join(names)
