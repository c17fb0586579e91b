"""Figures in README come from the records beside the benchmarks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import network_speed
import torch

from edge_sr.models import MODELS, build_model

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "benchmarks" / "records"
NAMES = {
    "native": "**edge-sr native**",
    "openvino": "OpenVINO",
    "ncnn": "ncnn",
    "onnxruntime": "ONNX Runtime",
    "opencv": "OpenCV dnn",
}


def read(name: str) -> Any:
    return json.loads((RECORDS / name).read_text())


def three_digits(value: float) -> str:
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def speed_rows() -> list[str]:
    """README's table of one frame, from the record: each runtime's best setting."""
    record = read("cpu-640x360.json")
    rows = []
    for runtime, title in NAMES.items():
        cells, version = [], ""
        for precision in ("fp32", "bf16", "int8"):
            for section in sorted(record["sections"], key=lambda s: s["threads"]):
                found = [
                    row
                    for row in section["rows"]
                    if (row["runtime"], row["precision"]) == (runtime, precision)
                ]
                version = found[0]["version"] if found else version
                best = min((row["median_ms"] for row in found), default=None)
                cells.append("-" if best is None else three_digits(best))
        title = title if runtime == "native" else f"{title} {version}"
        rows.append(f"| {title} | {' | '.join(cells)} |")
    return rows


def test_speed_table_is_the_record() -> None:
    readme = (ROOT / "README.md").read_text()
    for row in speed_rows():
        assert row in readme


def test_video_figures_are_the_record() -> None:
    fps = {row["runtime"]: row["median_fps"] for row in read("video-360p-to-720p.json")["results"]}
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"at {fps['native']:.0f} frames a second" in readme
    assert f"in the same pipeline at {fps['openvino']:.0f};" in readme
    assert f"without a network, reaches {fps['bicubic']:.0f}" in readme


def facts_without_weights(name: str, scale: int) -> dict[str, Any]:
    with torch.device("meta"):
        return network_speed.facts_of(build_model(name, scale))


def test_figure_of_the_readme_is_the_record() -> None:
    record = read("before-after.json")
    ours, bicubic = record["psnr"]["edge-sr"], record["psnr"]["bicubic"]
    caption = " ".join((ROOT / "README.md").read_text().split())
    figures = f"{record['frames']} frames luminance PSNR is {ours:.2f} dB against {bicubic:.2f} dB"
    assert figures in caption


def test_networks_in_models_md_are_the_record_and_the_code() -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    record = read("network-speed.json")
    assert [row["name"] for row in record["results"]] == list(MODELS)
    for line in network_speed.table_lines(record["results"], record["size"])[2:]:
        assert line in page
    for row in record["results"]:
        facts = facts_without_weights(row["name"], record["scale"])
        assert facts == {key: row[key] for key in facts}
        for scale in (3, 4):
            facts = facts_without_weights(row["name"], scale)
            line = network_speed.table_lines([{**facts, "median_ms": 0.0}], "")[-1]
            assert " | ".join(line.split(" | ")[2:5]) in page
