"""What is timed: a case is one runtime at one precision with one set of options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

PRECISIONS = ("fp32", "bf16", "int8")
# Caps of the native engine, as its EDGE_SR_ISA takes them; ``auto`` is none.
ISAS = (
    *("auto", "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16"),
    *("neon", "neondot"),
)
# Module to import and distribution that brings it, by the name used in tables and options.
PACKAGES: dict[str, tuple[str, str]] = {
    "native": ("runtime._core", "edge-sr with its native engine"),
    "onnxruntime": ("onnxruntime", "onnxruntime"),
    "openvino": ("openvino", "openvino"),
    "ncnn": ("ncnn", "ncnn"),
    "opencv": ("cv2", "opencv-python-headless"),
    "torch": ("torch", "torch"),
}
# Graphs of the transposed form are made with it.
_EDITS_GRAPHS = frozenset({"onnxruntime", "opencv"})
SUB_PIXEL, TRANSPOSED = "sub-pixel", "transposed"
_FORMS = (SUB_PIXEL, TRANSPOSED)

# Options worth trying, by runtime and precision; the best one of them races.
_OPTIONS: dict[str, dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "onnxruntime": {
        "fp32": (_FORMS, ("", "nchwc=off")),
        "int8": (_FORMS, ("", "nchwc=off")),
    },
    # The transposed form takes twice the time of the sub-pixel form here.
    "openvino": {
        "fp32": ((SUB_PIXEL,), ("hint=f32",)),
        "bf16": ((SUB_PIXEL,), ("hint=bf16",)),
        "int8": ((SUB_PIXEL,), ("hint=f32", "hint=bf16")),
    },
    "ncnn": {"fp32": (_FORMS, ("",)), "bf16": (_FORMS, ("",)), "int8": (_FORMS, ("",))},
    "opencv": {"fp32": (_FORMS, ("", "engine=classic")), "int8": ((SUB_PIXEL,), ("",))},
    "torch": {"fp32": (_FORMS, ("",)), "bf16": (_FORMS, ("",))},
}


@dataclass(frozen=True)
class Case:
    """One row of the table. ``isa`` caps the native engine's instructions; "" is no cap."""

    runtime: str
    precision: str
    form: str = SUB_PIXEL
    option: str = ""
    isa: str = ""

    @property
    def label(self) -> str:
        """What tells it from the other cases of its runtime and precision."""
        if self.runtime == "native":
            return f"fused, up to {self.isa}" if self.isa else "fused"
        return f"{self.form} {self.option}".strip()

    @property
    def name(self) -> str:
        """Unique among the cases of a section."""
        return f"{self.runtime} {self.precision} {self.label}"


def plan_cases(
    runtimes: Iterable[str],
    precisions: Iterable[str],
    *,
    isas: Iterable[str],
    bundled: Iterable[str],
    can_edit_graphs: bool,
) -> list[Case]:
    """All cases of a section; ``bundled`` are the precisions that the bundle holds.

    ``isas`` are the caps for the native engine, ``auto`` for none. BF16 needs no file of its own.
    """
    available = {"bf16", *bundled}
    wanted = [precision for precision in precisions if precision in available]
    caps = ["" if isa == "auto" else isa for isa in isas]
    cases: list[Case] = []
    for runtime in runtimes:
        if runtime == "native":
            cases += [Case("native", p, isa=isa) for isa in caps for p in wanted]
            continue
        for precision in wanted:
            forms, options = _OPTIONS[runtime].get(precision, ((), ()))
            for form in forms:
                if form == TRANSPOSED and runtime in _EDITS_GRAPHS and not can_edit_graphs:
                    continue
                cases += [Case(runtime, precision, form, option) for option in options]
    return cases


def finalists(medians_ms: Mapping[Case, float], margin: float = 0.05) -> list[Case]:
    """The fastest case of each runtime and precision, and those within ``margin`` of it.

    Every native case stays: its caps are rows of their own.
    """
    best: dict[tuple[str, str], float] = {}
    for case, median in medians_ms.items():
        key = case.runtime, case.precision
        best[key] = min(median, best.get(key, median))
    return [
        case
        for case, median in medians_ms.items()
        if case.runtime == "native" or median <= best[case.runtime, case.precision] * (1 + margin)
    ]
