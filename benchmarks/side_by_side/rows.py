"""From timings to the rows of a section: ratios to the native engine and to the floor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from side_by_side.bursts import Timing
from side_by_side.cases import Case

PEAK = "peak"


@dataclass(frozen=True)
class Measured:
    """A case, its timing, and what its worker said: version, detail, psnr_db, memory."""

    case: Case
    timing: Timing
    facts: Mapping[str, Any]


def peak_case(precision: str, isa: str) -> Case:
    """The case that times the machine's peak."""
    return Case(PEAK, precision, "", isa)


def case_rows(
    measured: list[Measured], floors_ms: Mapping[tuple[str, str], float]
) -> list[dict[str, Any]]:
    """A row for each case, fastest first; floors are by precision and ISA."""
    native = native_medians(measured)
    rows = []
    for one in sorted(measured, key=lambda m: m.timing.median):
        case, timing = one.case, one.timing
        floor = floors_ms.get((case.precision, str(one.facts.get("detail", ""))))
        row: dict[str, Any] = {
            "runtime": case.runtime,
            "version": one.facts.get("version", ""),
            "precision": case.precision,
            "setting": case.label,
            "isa": one.facts.get("detail", ""),
            "median_ms": round(timing.median, 3),
            "p10_ms": round(timing.p10, 3),
            "p90_ms": round(timing.p90, 3),
            "samples": timing.samples,
            "bursts": timing.bursts,
            "disturbed": timing.disturbed,
            "psnr_db": round(float(one.facts["psnr_db"]), 1),
            "peak_mb": one.facts.get("peak_mb", 0.0),
            "idle_mb": one.facts.get("idle_mb", 0.0),
        }
        if case.precision in native:
            row["to_native"] = round(timing.median / native[case.precision], 2)
        if floor:
            row["floor_ms"] = round(floor, 3)
            row["to_floor"] = round(timing.median / floor, 3)
        if timing.warning:
            row["warning"] = timing.warning
        rows.append(row)
    return rows


def native_medians(measured: list[Measured]) -> dict[str, float]:
    """Median of the native engine by precision: uncapped if there, else the fastest cap's."""
    native = [one for one in measured if one.case.runtime == "native"]
    medians: dict[str, float] = {}
    for one in sorted(native, key=lambda m: (m.case.isa != "", m.timing.median)):
        medians.setdefault(one.case.precision, one.timing.median)
    return medians


def best_others(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By precision, the fastest other runtime and by how much the native engine is faster."""
    best: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda r: float(r["median_ms"])):
        if row["runtime"] != "native" and "to_native" in row:
            kept = ("runtime", "setting", "median_ms", "to_native")
            best.setdefault(row["precision"], {key: row[key] for key in kept})
    return best
