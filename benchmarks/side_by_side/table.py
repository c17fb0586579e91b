"""Sections as text."""

from __future__ import annotations

from typing import Any

_NUMBERS = (
    f"{'median ms':>10}{'p10':>9}{'p90':>9}{'x native':>9}{'x floor':>9}{'PSNR dB':>9}"
    f"{'peak MB':>9}"
)
# Two orders of float32 sums differ by about 150 dB; what lies beyond this says no more.
_EQUAL_DB = 100


def section_lines(section: dict[str, Any]) -> list[str]:
    """A section's heading, rows, summary and warnings."""
    width, height = section["size"]
    threads = section["threads"]
    where = "threads" if threads > 1 else f"thread on CPU {section['cpus'][0]}"
    settings = [_setting(row) for row in section["rows"]]
    column = max(len(setting) for setting in ["setting", *settings])
    lines = [
        "",
        f"{section['bundle']}: {section['model']} x{section['scale']}, {width}x{height}, "
        f"{threads} {where}, {section['macs_per_pixel']} MACs a pixel",
        _floors(section["peaks"]),
        f"{'runtime':<12}{'precision':<10}{'setting':<{column}}{_NUMBERS}",
    ]
    for row, setting in zip(section["rows"], settings, strict=True):
        lines.append(
            f"{row['runtime']:<12}{row['precision']:<10}{setting:<{column}}{_numbers(row)}"
        )
    for precision, best in section["best_others"].items():
        lines.append(
            f"{precision}: native is {best['to_native']:.2f} times as fast as the best other, "
            f"{best['runtime']} {best['setting']} ({best['median_ms']:.2f} ms)"
        )
    for row, setting in zip(section["rows"], settings, strict=True):
        if "warning" in row:
            name = f"{row['runtime']} {row['precision']} {setting}"
            lines.append(f"warning: {name}: {row['warning']}")
    for peak in section["peaks"]:
        if "warning" in peak:
            lines.append(f"warning: floor {peak['precision']} {peak['isa']}: {peak['warning']}")
    lines += [f"left out: {name}: {reason}" for name, reason in section["left_out"].items()]
    return lines


def _floors(peaks: list[dict[str, Any]]) -> str:
    if not peaks:
        return "floor unknown: it needs a C++ compiler and a native row of an ISA that peak.cc has"
    parts = [
        f"{peak['precision']} {peak['isa']} {peak['gmac_per_s']:.0f} GMAC/s = "
        f"{peak['floor_ms']:.2f} ms"
        for peak in peaks
    ]
    return "floor " + ", ".join(parts)


def _setting(row: dict[str, Any]) -> str:
    return f"{row['setting']} {row['isa']}".strip()


def _numbers(row: dict[str, Any]) -> str:
    psnr = row["psnr_db"]
    shown = f">{_EQUAL_DB}" if psnr > _EQUAL_DB else f"{psnr:.1f}"
    return (
        f"{row['median_ms']:>10.2f}{row['p10_ms']:>9.2f}{row['p90_ms']:>9.2f}"
        f"{_ratio(row, 'to_native')}{_ratio(row, 'to_floor')}{shown:>9}{row['peak_mb']:>9.0f}"
    )


def _ratio(row: dict[str, Any], key: str) -> str:
    return f"{row[key]:>9.2f}" if key in row else f"{'':>9}"
