"""What a build will do, decided before it starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime import manifest

PRECISIONS = ("fp32", "fp16", "int8")
# bf16 needs no build of its own: a bundle offers it where it was measured within its budget.
OFFERED = "bf16"
MAX_DROP_DB = {"fp16": 0.02, "bf16": 0.02, "int8": 0.10}


@dataclass(frozen=True)
class BuildPlan:
    """One build. ``requested`` is what was asked for; fp32 is always built besides.

    ``offers_bf16`` becomes true once bf16 was measured within its budget.
    """

    model: str
    scale: int
    source: str
    requested: tuple[str, ...]
    calibration: Path | None
    out: Path
    max_drop: Mapping[str, float] = field(default_factory=lambda: dict(MAX_DROP_DB))
    is_overwriting: bool = False
    has_html: bool = True
    threads: int = 0
    channels: str = "y"
    offers_bf16: bool = False

    @property
    def graphs(self) -> tuple[str, ...]:
        """The precisions with a graph of their own, highest first."""
        return tuple(p for p in PRECISIONS if p == "fp32" or p in self.requested)

    @property
    def precisions(self) -> tuple[str, ...]:
        """All precisions of the bundle, highest first."""
        offered = {*self.graphs, OFFERED} if self.offers_bf16 else {*self.graphs}
        return tuple(p for p in manifest.PRECISIONS if p in offered)

    @property
    def default_precision(self) -> str:
        """The lowest one asked for."""
        return max(self.requested, key=PRECISIONS.index)

    def lines(self) -> list[str]:
        """The plan for people."""
        gates = ", ".join(f"{p} {self.max_drop[p]:g} dB" for p in self.precisions if p != "fp32")
        frames = str(self.calibration) if self.calibration else "the built-in frames"
        return [
            f"model        {self.model} x{self.scale}{', RGB' if self.channels == 'rgb' else ''}",
            f"source       {self.source}",
            f"precisions   {', '.join(self.precisions)} (default {self.default_precision})",
            f"calibration  {frames}; every 4th picture held out for the gate",
            f"largest drop {gates or 'none: fp32 is the reference'}",
            f"bundle       {self.out}",
        ]

    def as_json(self) -> dict[str, Any]:
        """The plan for programs."""
        return {
            "source": self.source,
            "default_precision": self.default_precision,
            "calibration": str(self.calibration) if self.calibration else None,
            "max_drop": {p: self.max_drop[p] for p in self.precisions if p != "fp32"},
        }


def parse_precisions(text: str) -> tuple[str, ...]:
    """``fp32,int8`` to names, highest first; ValueError if one is unknown."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in PRECISIONS]
    if unknown or not names:
        given = ", ".join(unknown) or "nothing"
        raise ValueError(f"{given} is no precision to build; choose from {','.join(PRECISIONS)}")
    return tuple(p for p in PRECISIONS if p in names)


def parse_max_drop(text: str) -> dict[str, float]:
    """``int8=0.10,fp16=0.02`` over the defaults; ValueError if it does not read like that."""
    drops = dict(MAX_DROP_DB)
    for part in text.split(",") if text.strip() else ():
        match = re.fullmatch(r"\s*(\w+)\s*=\s*([0-9]*\.?[0-9]+)\s*", part)
        if not match or match[1] not in MAX_DROP_DB:
            raise ValueError(f"{part.strip()!r} is not PRECISION=DB, as in int8=0.10,fp16=0.02")
        drops[match[1]] = float(match[2])
    return drops


def default_out(model: str, scale: int, requested: tuple[str, ...]) -> Path:
    """``fsrcnn-x2-int8.esr`` for one precision, ``fsrcnn-x2.esr`` for several."""
    suffix = f"-{requested[0]}" if len(requested) == 1 else ""
    return Path(f"{file_stem(model)}-x{scale}{suffix}.esr")


def file_stem(model: str) -> str:
    """A network's name for files; the residual form is the one we deploy and is not named."""
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", model.replace("_residual", "", 1)).strip("-.") or "model"
    return stem[:80]


def check_out(out: Path, *, overwrite: bool) -> None:
    """OSError if ``out`` cannot become a bundle, before anything is computed."""
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(f"folder {out.absolute().parent} for the bundle does not exist")
    if not out.exists() and not out.is_symlink():
        return
    if not overwrite:
        raise FileExistsError(f"{out} exists; pass --overwrite to replace it, or another --out")
    if out.is_symlink() or not (out / "manifest.json").is_file():
        raise FileExistsError(f"{out} is not a bundle and is not replaced; pass another --out")
