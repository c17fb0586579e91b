"""Charts of the report as SVG text."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
MOST_PICTURES = 10
MOST_LAYERS = 32
MOST_TIMES_MEDIAN = 4
COLOURS = {
    "bicubic": "#9aa5b1",
    "fp32": "#1d4e89",
    "fp16": "#2a9d8f",
    "bf16": "#8661c1",
    "int8": "#e07a3f",
}


def gain_chart(bicubic: Mapping[str, float], scores: Mapping[str, Mapping[str, float]]) -> str:
    """Gain over bicubic in dB, per held-out picture and precision."""
    figure, axes = _figure(6.4, 0.9 + 0.24 * min(len(bicubic), MOST_PICTURES) * (len(scores) + 0.8))
    height = 0.8 / len(scores)
    names = list(bicubic)[:MOST_PICTURES]
    for index, (precision, of_picture) in enumerate(scores.items()):
        gains = [of_picture[name] - bicubic[name] for name in names]
        places = [row + (index - (len(scores) - 1) / 2) * height for row in range(len(names))]
        axes.barh(places, gains, 0.92 * height, color=COLOURS[precision], label=precision)
        for place, gain in zip(places, gains, strict=True):
            axes.text(gain, place, f" {gain:+.2f}", va="center", fontsize=7.5, color=FAINT)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(names)), [_shortened(name) for name in names])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    shown = f"{len(names)} of {len(bicubic)} held-out pictures"
    axes.set_xlabel(f"dB over bicubic, {shown}")
    _legend_above(axes, len(scores))
    return _svg(figure)


def latency_chart(results: Sequence[Mapping[str, Any]]) -> str:
    """Median latency per precision with a line to the 90th percentile."""
    figure, axes = _figure(6.4, 0.9 + 0.42 * len(results))
    for row, result in enumerate(results):
        median, p90 = result["median_ms"], result["p90_ms"]
        axes.barh(row, median, 0.55, color=COLOURS[result["precision"]])
        axes.plot([median, p90], [row, row], color=INK, linewidth=1.2, marker="|", markersize=6)
        axes.text(p90, row, f"   {median:.1f} ms", va="center", fontsize=8.5, color=INK)
    axes.set_yticks(range(len(results)), [result["precision"] for result in results])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.22 * max(result["p90_ms"] for result in results))
    axes.set_xlabel("ms per frame: median (bar) and 90th percentile (line)")
    return _svg(figure)


def observer_chart(
    drops: Mapping[str, float], distances: Mapping[str, float], chosen: str, allowed: float
) -> str:
    """Loss of each observer with everything quantised, against the gate; distance from fp32."""
    figure, axes = _figure(6.4, 0.9 + 0.36 * len(drops))
    # An observer that fails would leave the others no room: its bar ends at the edge.
    edge = max(allowed, MOST_TIMES_MEDIAN * sorted(drops.values())[len(drops) // 2])
    for row, (name, drop) in enumerate(drops.items()):
        colour = COLOURS["int8"] if name == chosen else COLOURS["bicubic"]
        shown = min(drop, edge)
        axes.barh(row, shown, 0.55, color=colour)
        label = f"  {drop:.3f} dB, {distances[name]:.2f} levels from fp32"
        label += "" if shown == drop else ", beyond the scale"
        axes.text(max(shown, 0), row, label, va="center", fontsize=8.5, color=INK)
    axes.axvline(allowed, color="#c81e1e", linewidth=1.2, linestyle="--")
    axes.text(allowed, -0.62, f"allowed {allowed:g} dB", fontsize=8, color="#c81e1e", ha="center")
    axes.set_yticks(range(len(drops)), list(drops))
    axes.invert_yaxis()
    axes.set_xlim(min(0, *drops.values()), 1.7 * min(edge, max(allowed, *drops.values())))
    axes.set_xlabel("dB lost against fp32, everything quantised")
    return _svg(figure)


def layer_chart(drops: Mapping[str, float], kept: Collection[str]) -> str:
    """Loss of each convolution if it alone is quantised; those that stay float in grey.

    Of more than MOST_LAYERS, those with the largest loss.
    """
    largest = sorted(drops, key=lambda name: -drops[name])[:MOST_LAYERS]
    total, drops = len(drops), {name: drop for name, drop in drops.items() if name in largest}
    figure, axes = _figure(6.4, 0.9 + 0.3 * len(drops))
    for row, (name, drop) in enumerate(drops.items()):
        colour = COLOURS["bicubic"] if name in kept else COLOURS["int8"]
        axes.barh(row, drop, 0.55, color=colour)
        axes.text(max(drop, 0), row, f"  {drop + 0.0:.3f}", va="center", fontsize=8.5, color=INK)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(drops)), [_shortened(name) for name in drops])
    axes.invert_yaxis()
    axes.margins(x=0.15)
    shown = "" if total == len(drops) else f", the {len(drops)} largest of {total}"
    axes.set_xlabel(f"dB lost against fp32 if this convolution alone is quantised{shown}")
    return _svg(figure)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(length=0, labelsize=8.5, colors=INK)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.label.set(size=8.5, color=FAINT)
    return figure, axes


def _legend_above(axes: Any, columns: int) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False, fontsize=8.5)


def _shortened(name: str) -> str:
    return name if len(name) <= 24 else f"...{name[-21:]}"


def _svg(figure: Any) -> str:
    import matplotlib

    buffer = io.StringIO()
    fonts = ["Helvetica", "Arial", "DejaVu Sans", "sans-serif"]
    settings: dict[Any, Any] = {
        "svg.fonttype": "path",
        "svg.hashsalt": "edge-sr",
        "font.sans-serif": fonts,
    }
    with matplotlib.rc_context(settings):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()
