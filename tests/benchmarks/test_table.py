from __future__ import annotations

from typing import Any

from side_by_side.table import section_lines


def row(runtime: str, median: float, **more: Any) -> dict[str, Any]:
    usual = {"runtime": runtime, "precision": "int8", "setting": "sub-pixel", "isa": ""}
    numbers = {"p10_ms": median - 1, "p90_ms": median + 1, "psnr_db": 52.46, "peak_mb": 41.6}
    return {**usual, "median_ms": median, **numbers, **more}


def section(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "bundle": "b.esr",
        "model": "fsrcnn",
        "scale": 2,
        "macs_per_pixel": 12464,
        "size": [640, 360],
        "threads": 1,
        "cpus": [3],
        "peaks": [],
        "rows": list(rows),
        "best_others": {},
        "left_out": {},
        **more,
    }


NATIVE = row("native", 8.0, setting="fused", isa="avx512vnni", to_native=1.0, to_floor=1.25)
PEAK = {"precision": "int8", "isa": "avx512vnni", "gmac_per_s": 543.2, "floor_ms": 6.4}


def test_heading_says_what_was_run() -> None:
    lines = section_lines(section(NATIVE))
    assert lines[0] == ""
    assert lines[1] == "b.esr: fsrcnn x2, 640x360, 1 thread on CPU 3, 12464 MACs a pixel"
    assert "4 threads," in section_lines(section(NATIVE, threads=4, cpus=[0, 1, 2, 3]))[1]


def test_numbers_stand_under_their_headings() -> None:
    long = row("openvino", 24.0, setting="a setting longer than usual", psnr_db=150.0)
    heading, *rows = section_lines(section(NATIVE, long))[3:]
    assert {len(line) for line in rows} == {len(heading)}
    # The end of a heading is the end of its column.
    ends = {name: heading.index(name) + len(name) for name in ("median ms", "x floor", "PSNR dB")}
    assert rows[0][: ends["median ms"]].endswith(" 8.00")
    assert rows[0][: ends["x floor"]].endswith("     1.00     1.25")
    assert rows[0][: ends["PSNR dB"]].endswith(" 52.5")
    assert rows[1][: ends["PSNR dB"]].endswith(" >100")
    assert rows[1][: ends["x floor"]].endswith(" " * 18)
    assert rows[0].startswith("native      int8      fused avx512vnni ")
    assert rows[0].endswith(" 42")


def test_floors_are_named_or_their_absence_explained() -> None:
    assert section_lines(section(NATIVE, peaks=[PEAK, {**PEAK, "precision": "fp32"}]))[2] == (
        "floor int8 avx512vnni 543 GMAC/s = 6.40 ms, fp32 avx512vnni 543 GMAC/s = 6.40 ms"
    )
    assert section_lines(section(NATIVE))[2].startswith("floor unknown: ")


def test_summary_warnings_and_what_was_left_out_follow() -> None:
    best = {"runtime": "ncnn", "setting": "sub-pixel", "median_ms": 24.0, "to_native": 3.0}
    lines = section_lines(
        section(
            {**NATIVE, "warning": "other load"},
            best_others={"int8": best},
            peaks=[{**PEAK, "warning": "load too"}],
            left_out={"torch fp32 x": "reason"},
        )
    )
    assert lines[5:] == [
        "int8: native is 3.00 times as fast as the best other, ncnn sub-pixel (24.00 ms)",
        "warning: native int8 fused avx512vnni: other load",
        "warning: floor int8 avx512vnni: load too",
        "left out: torch fp32 x: reason",
    ]
