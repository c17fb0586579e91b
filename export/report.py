"""What was built, how good and how fast it is: as data and as one self-contained page."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from calibration.frames import CalibrationFrames
from export.charts import gain_chart, latency_chart, layer_chart, observer_chart
from export.crops import Crop
from export.float_graph import Check
from export.int8 import Int8Build
from export.native_pack import NativeModel, Unpacked
from export.plan import BuildPlan
from export.provenance import git_commit, library_versions
from export.scores import Picture, Quality, mean, signless
from export.source import Source
from export.verify import Layer
from runtime.manifest import FileEntry

CPU_NOTE = (
    "ONNX Runtime on a CPU executes this placement of Q/DQ pairs in float: it shows the quality "
    "of INT8, not its speed. The pairs become integer arithmetic in an engine that fuses them."
)
SCORE_NOTE = (
    "Scores compare 8-bit luminance with 8-bit luminance, so they lie slightly below those of a "
    "checkpoint run in float."
)
RGB_SCORE_NOTE = (
    "Scores compare the luminance of 8-bit RGB pictures with that of the originals, as the papers "
    "of RGB networks do."
)


@dataclass(frozen=True)
class BuildFacts:
    """Everything a build found out."""

    source: Source
    plan: BuildPlan
    steps: tuple[str, ...]
    checks: tuple[Check, ...]
    quality: Mapping[str, Quality]
    bicubic: Mapping[str, float]
    layers: Mapping[str, list[Layer]]
    int8: Int8Build | None
    native: NativeModel | Unpacked
    inputs: tuple[str, ...]
    latency: dict[str, Any]
    mixed_ms: tuple[float, ...]
    frames: CalibrationFrames


def report_of(facts: BuildFacts, files: Mapping[str, FileEntry], size: int) -> dict[str, Any]:
    """The content of report.json."""
    plan, int8 = facts.plan, facts.int8
    note = RGB_SCORE_NOTE if facts.source.spec.channels == "rgb" else SCORE_NOTE
    return {
        "bundle": plan.out.name,
        "built": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "model": plan.model,
        "scale": plan.scale,
        "channels": facts.source.spec.channels,
        "receptive_field_radius": facts.source.spec.receptive_field_radius,
        "tileable": facts.source.spec.tileable,
        "precisions": list(plan.precisions),
        "graphs": list(plan.graphs),
        "default_precision": plan.default_precision,
        "quality": {
            name: {**asdict(quality), "allowed_db": plan.max_drop.get(name)}
            for name, quality in facts.quality.items()
        },
        "bicubic": {"psnr": mean(facts.bicubic), "per_picture": dict(facts.bicubic)},
        "observer": int8.table.observer if int8 else None,
        "observer_drops": dict(int8.observer_drops) if int8 else {},
        "observer_distances": dict(int8.observer_distances) if int8 else {},
        "layer_drops": dict(int8.layer_drops) if int8 else {},
        "kept_float": [asdict(kept) for kept in int8.kept_float] if int8 else [],
        "mixed_ms": [round(ms, 3) for ms in facts.mixed_ms],
        "layers": _layer_rows(facts),
        "int8_layers": _int8_count(facts),
        "native": _native_values(facts.native),
        "steps": list(facts.steps),
        "checks": [asdict(check) for check in facts.checks],
        "latency": facts.latency,
        "files": {name: asdict(entry) for name, entry in files.items()},
        "bytes": size,
        "provenance": _provenance(facts),
        "notes": [note, CPU_NOTE] if int8 else [note],
    }


def report_json(report: Mapping[str, Any]) -> bytes:
    """Indented text of report.json."""
    return (json.dumps(report, indent=2) + "\n").encode()


def report_html(report: Mapping[str, Any], crops: Sequence[Crop]) -> str:
    """One page with every chart and picture inside it; nothing is loaded from elsewhere."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("export", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    quality = report["quality"]
    charts = {
        "gain": gain_chart(
            report["bicubic"]["per_picture"],
            {name: scores["per_picture"] for name, scores in quality.items()},
        ),
        "latency": latency_chart(report["latency"]["results"]),
    }
    if report["observer"]:
        charts["observers"] = observer_chart(
            report["observer_drops"],
            report["observer_distances"],
            report["observer"],
            quality["int8"]["allowed_db"],
        )
        charts["layers"] = layer_chart(
            report["layer_drops"], {kept["layer"] for kept in report["kept_float"]}
        )
    environment.filters["signless"] = signless
    page = environment.get_template("report.html.j2").render(
        report=report,
        charts={name: _data_uri("image/svg+xml", svg.encode()) for name, svg in charts.items()},
        crops=[_crop_values(crop) for crop in crops],
        device=_device_text(report["latency"]["device"]),
        latency={row["precision"]: row for row in report["latency"]["results"]},
    )
    return str(page)


def _device_text(device: Mapping[str, Any]) -> str:
    """Facts about the machine in one line."""
    parts = [
        device.get("cpu"),
        f"{device.get('cores')} cores",
        " ".join(device.get("isa", ())),
        f"{device.get('memory_gib')} GiB",
        device.get("system"),
        f"Python {device.get('python')}",
        f"ONNX Runtime {device.get('onnxruntime')}",
    ]
    return ", ".join(str(part) for part in parts if part)


def _layer_rows(facts: BuildFacts) -> list[dict[str, Any]]:
    """One row per convolution of the learnt path: its precision in every graph, its input range."""
    rows = []
    ranges = facts.int8.table.ranges if facts.int8 else {}
    for index, layer in enumerate(facts.layers["fp32"]):
        rows.append(
            {
                "name": layer.name,
                "shape": layer.shape,
                "precision": {
                    name: of_graph[index].precision for name, of_graph in facts.layers.items()
                },
                "input_range": ranges.get(facts.inputs[index]),
            }
        )
    return rows


def _int8_count(facts: BuildFacts) -> dict[str, int] | None:
    """How many convolutions of the learnt path run in INT8, of how many."""
    if "int8" not in facts.layers:
        return None
    layers = facts.layers["int8"]
    return {
        "quantized": sum(layer.precision == "int8" for layer in layers),
        "convolutions": len(layers),
    }


def _native_values(native: NativeModel | Unpacked) -> dict[str, Any]:
    if isinstance(native, Unpacked):
        return {"packed": False, "reason": native.reason}
    return {"packed": True, "layers": native.layers, "int8_layers": native.int8_layers}


def _provenance(facts: BuildFacts) -> dict[str, Any]:
    source, plan = facts.source, facts.plan
    return {
        "source": source.path.name,
        "source_sha256": source.sha256,
        **_int8_source(source),
        "training": _training_text(source.sidecar.get("training")),
        "git_commit": git_commit(),
        "calibration": plan.calibration.name if plan.calibration else "built-in frames",
        "calibration_sha256": facts.frames.digest,
        "calibration_frames": len(facts.frames.calibrate),
        "held_out_frames": len(facts.frames.hold_out),
        "versions": library_versions(),
    }


def _int8_source(source: Source) -> dict[str, str]:
    if source.int8 is None:
        return {}
    return {"int8_source": source.int8.path.name, "int8_source_sha256": source.int8.sha256}


def _training_text(training: Any) -> str | None:
    """How the checkpoint was trained, as far as its sidecar says."""
    if not isinstance(training, dict):
        return None
    facts = [(key, training.get(key)) for key in ("method", "iterations", "seed")]
    return ", ".join(f"{key} {value}" for key, value in facts if value is not None) or None


def _crop_values(crop: Crop) -> dict[str, Any]:
    return {
        "name": crop.name,
        "x": crop.x,
        "y": crop.y,
        "views": [
            {"title": view.title, "psnr": view.psnr, "uri": _picture_uri(view.pixels)}
            for view in crop.views
        ],
    }


def _picture_uri(pixels: Picture) -> str:
    import cv2

    bgr = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    encoded, data = cv2.imencode(".png", bgr)
    assert encoded
    return _data_uri("image/png", data.tobytes())


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
