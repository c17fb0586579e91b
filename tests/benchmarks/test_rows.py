from __future__ import annotations

from typing import Any

from side_by_side.bursts import Timing
from side_by_side.cases import Case
from side_by_side.rows import Measured, best_others, case_rows, native_medians, peak_case


def measured(case: Case, median: float, *, disturbed: int = 0, **facts: Any) -> Measured:
    timing = Timing(median, median * 0.9, median * 1.2, 50, 12, disturbed)
    return Measured(case, timing, {"psnr_db": 52.44, "version": "1.2", **facts})


NATIVE = measured(Case("native", "int8"), 8.0, detail="avx512vnni", peak_mb=42.0, idle_mb=27.0)
CAPPED = measured(Case("native", "int8", isa="avx2"), 16.0, detail="avx2")
OPENVINO = measured(Case("openvino", "int8", option="hint=f32"), 24.0)
SLOW = measured(Case("ncnn", "int8"), 100.0)
FLOAT = measured(Case("ncnn", "fp32"), 3.0)
ALL = [SLOW, CAPPED, FLOAT, OPENVINO, NATIVE]


def test_rows_come_fastest_first_with_their_ratios() -> None:
    rows = case_rows(ALL, {("int8", "avx512vnni"): 6.0, ("int8", "avx2"): 10.0})
    assert [row["median_ms"] for row in rows] == [3.0, 8.0, 16.0, 24.0, 100.0]
    assert [row.get("to_native") for row in rows] == [None, 1.0, 2.0, 3.0, 12.5]
    assert [row.get("to_floor") for row in rows] == [None, 1.333, 1.6, None, None]
    assert rows[1]["floor_ms"] == 6.0
    assert rows[1] == rows[1] | {
        "runtime": "native",
        "setting": "fused",
        "isa": "avx512vnni",
        "version": "1.2",
        "p10_ms": 7.2,
        "p90_ms": 9.6,
        "samples": 50,
        "bursts": 12,
        "psnr_db": 52.4,
        "peak_mb": 42.0,
        "idle_mb": 27.0,
    }


def test_a_floor_is_of_the_same_precision_and_isa() -> None:
    rows = case_rows([NATIVE], {("fp32", "avx512vnni"): 6.0, ("int8", "avx2"): 10.0})
    assert "to_floor" not in rows[0]


def test_other_load_is_a_warning() -> None:
    loud = measured(Case("ncnn", "fp32"), 1.0, disturbed=10)
    calm = measured(Case("ncnn", "fp32"), 2.0, disturbed=9)
    rows = case_rows([loud, calm], {})
    assert rows[0]["warning"] == "other load in 10 of 12 bursts"
    assert "warning" not in rows[1]


def test_ratios_are_to_the_uncapped_engine_or_else_to_the_fastest_cap() -> None:
    faster_cap = measured(Case("native", "int8", isa="scalar"), 1.0)
    assert native_medians([faster_cap, NATIVE, CAPPED, SLOW]) == {"int8": 8.0}
    other_cap = measured(Case("native", "int8", isa="avx512"), 9.0)
    assert native_medians([CAPPED, other_cap]) == {"int8": 9.0}


def test_best_other_is_the_fastest_with_something_to_compare() -> None:
    best = best_others(case_rows(ALL, {}))
    assert best == {
        "int8": {
            "runtime": "openvino",
            "setting": "sub-pixel hint=f32",
            "median_ms": 24.0,
            "to_native": 3.0,
        }
    }
    assert best_others(case_rows([NATIVE, CAPPED], {})) == {}


def test_peak_cases_have_their_own_names() -> None:
    names = {peak_case(p, isa).name for p in ("fp32", "int8") for isa in ("avx2", "avx512")}
    assert len(names) == 4
