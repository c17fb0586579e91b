"""Scores that the papers print, to stand beside our own.

PISR (Lee et al., ECCV 2020), LSFD (arXiv 2111.10988), FAKD (He et al., ICIP 2020), IDN (Hui et al.,
CVPR 2018) and DRN (arXiv 1907.02843). ``published.csv`` holds one row for each paper, table,
method, scale and data set; its note says where a figure is a misprint.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True)
class Published:
    """One printed score: PSNR in dB, SSIM if the table has it.

    ``protocol`` is that of :mod:`edge_sr.metrics.protocols`, or ``cited`` for rows that a paper
    took from others.
    """

    paper: str
    table: str
    method: str
    scale: int
    dataset: str
    protocol: str
    psnr: float
    ssim: float | None
    note: str


def published_rows() -> list[Published]:
    """All rows of all papers."""
    with _FILE.open(newline="") as file:
        return [
            Published(
                paper=row["paper"],
                table=row["table"],
                method=row["method"],
                scale=int(row["scale"]),
                dataset=row["set"],
                protocol=row["protocol"],
                psnr=float(row["psnr"]),
                ssim=float(row["ssim"]) if row["ssim"] else None,
                note=row["note"],
            )
            for row in csv.DictReader(file)
        ]


def published_scores(dataset: str, scale: int) -> list[Published]:
    """All rows of a data set (Set5, Set14, B100, Urban100, Manga109; in any case) at a scale.

    Raises ValueError, with the sets there are, for another name.
    """
    rows = published_rows()
    named = [row for row in rows if row.dataset.lower() == dataset.lower()]
    if not named:
        sets = ", ".join(dict.fromkeys(row.dataset for row in rows))
        raise ValueError(f"no paper has scores of {dataset}; name the folder {sets}")
    return [row for row in named if row.scale == scale]


def table_lines(title: str, ours: Sequence[Published], theirs: Sequence[Published]) -> list[str]:
    """A text table of all rows, best PSNR first; ``>`` marks ours."""
    rows = sorted([*ours, *theirs], key=lambda row: -row.psnr)
    width = max(len(title), *(len(row.method) for row in rows))
    lines = [f"  {title:<{width}}  {'PSNR':>6}  {'SSIM':>6}  protocol  source"]
    for row in rows:
        mark = ">" if row in ours else " "
        ssim = "" if row.ssim is None else f"{row.ssim:.4f}"
        source = f"{row.paper} {row.table}".strip() + (f" ({row.note})" if row.note else "")
        score = f"{row.psnr:>6.2f}  {ssim:>6}  {row.protocol:<8}"
        lines.append(f"{mark} {row.method:<{width}}  {score}  {source}")
    return lines
