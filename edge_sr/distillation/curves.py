"""Loss and PSNR curves of a run as one picture."""

from __future__ import annotations

import json
from pathlib import Path


def draw_curves(run: Path) -> Path:
    """Write ``curves.png`` from the logs of all stages below ``run``."""
    from matplotlib.figure import Figure

    logs = sorted(run.glob("*/log.jsonl"), key=lambda path: path.parent.name, reverse=True)
    figure = Figure(figsize=(10, 3.6 * max(1, len(logs))), layout="constrained")
    for row, log in enumerate(logs):
        records = [json.loads(line) for line in log.read_text().splitlines()]
        left = figure.add_subplot(len(logs), 2, 2 * row + 1)
        left.plot([r["iteration"] for r in records], [r["reconstruction"] for r in records])
        left.set(title=f"{log.parent.name}: reconstruction loss", xlabel="iteration", yscale="log")
        scored = [r for r in records if "psnr" in r]
        right = figure.add_subplot(len(logs), 2, 2 * row + 2)
        right.plot([r["iteration"] for r in scored], [r["psnr"] for r in scored], color="tab:green")
        right.set(title=f"{log.parent.name}: held-out PSNR (dB)", xlabel="iteration")
        for axes in (left, right):
            axes.grid(alpha=0.3)
    target = run / "curves.png"
    figure.savefig(target, dpi=110)
    return target
