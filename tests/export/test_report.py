from __future__ import annotations

import base64
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from graph_support import float_graph
from onnx import helper
from pictures_support import synthetic_luma

from calibration.frames import CalibrationFrames
from calibration.table import CalibrationTable
from edge_sr.models.spec import ModelSpec
from export.charts import MOST_LAYERS, gain_chart, latency_chart, layer_chart, observer_chart
from export.crops import busiest_square, crops_of
from export.float_graph import Check
from export.int8 import Int8Build, KeptLayer
from export.native_pack import NativeModel, Unpacked
from export.plan import BuildPlan
from export.provenance import library_versions
from export.report import BuildFacts, report_html, report_json, report_of
from export.scores import Quality, held_out_pairs, signless
from export.source import Source
from export.verify import Layer
from runtime.manifest import FileEntry

FRAMES = CalibrationFrames((("a", synthetic_luma(32, 32)),), (), "d" * 64)
PAIRS = held_out_pairs(
    [(f"{i}.png", synthetic_luma(160, 150, seed=i)) for i in range(5)],
    2,
)
NEAREST = float_graph(
    [
        helper.make_node("Conv", ["lr", "w"], ["phases"], "c"),
        helper.make_node("DepthToSpace", ["phases"], ["sr"], "s", blocksize=2, mode="CRD"),
    ],
    {"w": np.ones((4, 1, 1, 1), np.float32)},
)
LATENCY: dict[str, Any] = {
    "width": 640,
    "height": 360,
    "backend": "onnxruntime 1.0, CPUExecutionProvider",
    "threads": 1,
    "warm_up": 3,
    "results": [
        {
            "precision": name,
            "median_ms": 10.0,
            "p90_ms": 12.0,
            "samples": 9,
            "is_steady": name != "int8",
        }
        for name in ("fp32", "int8")
    ],
    "device": {"cpu": "Some CPU", "cores": 4, "isa": ["avx2"], "memory_gib": 8.0},
}


def facts_for(*, kept: tuple[KeptLayer, ...] = ()) -> BuildFacts:
    """A build of two layers, one picture, int8."""
    spec = ModelSpec("tiny", 2, "y", 3)
    source = Source(
        Path("weights/tiny.safetensors"), "s" * 64, spec, sidecar={"training": {"seed": 7}}
    )
    plan = BuildPlan("tiny", 2, "checkpoint", ("int8",), None, Path("tiny-x2-int8.esr"))
    table = CalibrationTable("mse", {"a": 1.5}, "m" * 64, "d" * 64)
    precisions = {"fp32": ("float32", "float32"), "int8": ("int8", "float32" if kept else "int8")}
    return BuildFacts(
        source=source,
        plan=plan,
        steps=("exported", "<rewritten & simplified>"),
        checks=(Check("graph against PyTorch", 1e-7, 1e-4, "of the range"),),
        quality={
            "fp32": Quality(31.0, 0.0, {"0.png": 31.0}),
            "int8": Quality(30.96, 0.04, {"0.png": 30.96}),
        },
        bicubic={"0.png": 29.0},
        layers={
            name: [Layer("first", "5x5, 1 to 8", a), Layer("tail", "5x5, 8 to 4", b)]
            for name, (a, b) in precisions.items()
        },
        int8=Int8Build(
            NEAREST,
            NEAREST,
            table,
            {"minmax": 0.06, "mse": 0.04},
            {"minmax": 0.9, "mse": 0.7},
            {"first": 0.03, "tail": 0.02},
            kept,
        ),
        native=NativeModel(b"", 2, 1),
        inputs=("lr", "a"),
        latency=LATENCY,
        mixed_ms=(1.25, 2.5)[: 1 + len(kept)] if kept else (),
        frames=FRAMES,
    )


def page_for(facts: BuildFacts) -> str:
    report = report_of(facts, {"model.fp32.onnx": FileEntry("e" * 64, 10)}, 1000)
    return report_html(report, crops_of({"fp32": NEAREST, "int8": NEAREST}, PAIRS, 2))


class LinkCollector(HTMLParser):
    """Everything a page would load or point to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]
        assert tag != "script"


def test_native_model_or_the_reason_against_it_is_reported() -> None:
    report = report_of(facts_for(), {}, 0)
    assert report["native"] == {"packed": True, "layers": 2, "int8_layers": 1}
    refused = replace(facts_for(), native=Unpacked("it has a skip connection"))
    assert report_of(refused, {}, 0)["native"] == {
        "packed": False,
        "reason": "it has a skip connection",
    }


def test_json_holds_every_figure() -> None:
    report = report_of(facts_for(), {"model.fp32.onnx": FileEntry("e" * 64, 10)}, 1000)
    text = json.loads(report_json(report))
    assert text["quality"]["int8"]["drop_db"] == 0.04
    assert text["quality"]["int8"]["allowed_db"] == 0.10
    assert text["bicubic"]["psnr"] == 29.0
    assert text["observer"] == "mse"
    assert text["int8_layers"] == {"quantized": 2, "convolutions": 2}
    assert text["layers"][1] == {
        "name": "tail",
        "shape": "5x5, 8 to 4",
        "precision": {"fp32": "float32", "int8": "int8"},
        "input_range": 1.5,
    }
    assert text["provenance"]["source_sha256"] == "s" * 64
    assert text["provenance"]["source"] == "tiny.safetensors"
    assert text["provenance"]["training"] == "seed 7"
    assert text["provenance"]["versions"]["onnx"] == library_versions()["onnx"]
    assert any("executes this placement of Q/DQ pairs in float" in n for n in text["notes"])


def test_report_without_int8_does_not_speak_of_it() -> None:
    facts = facts_for()
    plan = replace(facts.plan, requested=("fp32",))
    quality, layers = {"fp32": facts.quality["fp32"]}, {"fp32": facts.layers["fp32"]}
    latency = {**LATENCY, "results": LATENCY["results"][:1]}
    facts = replace(facts, plan=plan, quality=quality, layers=layers, int8=None, latency=latency)
    report = report_of(facts, {}, 1000)
    assert report["observer"] is None
    assert report["int8_layers"] is None
    assert "INT8" not in report_html(report, [])


def test_page_loads_nothing_from_elsewhere() -> None:
    collector = LinkCollector()
    page = page_for(facts_for())
    collector.feed(page)
    assert len(collector.found) == 3 * 4 + 4
    assert all(link.startswith("data:image/") for link in collector.found)
    assert "url(" not in page
    assert "http" not in re.sub(r"data:[^\"]*", "", page)


def test_page_names_what_stays_float() -> None:
    kept = (KeptLayer("tail", ("a", "tail.weight"), 0.04),)
    page = page_for(facts_for(kept=kept))
    assert "a, tail.weight" in page
    assert "1 of 2" in page
    assert re.search(r"none</td>\s*<td></td>\s*<td[^>]*>0\.0400 dB</td>\s*<td[^>]*>1\.25 ms", page)
    assert "2.50 ms" in page
    assert "No tensor had to stay float" in page_for(facts_for())


def test_text_from_outside_is_escaped() -> None:
    page = page_for(facts_for())
    assert "&lt;rewritten &amp; simplified&gt;" in page
    assert "<rewritten" not in page


def test_unsteady_timing_is_marked() -> None:
    assert page_for(facts_for()).count("unsteady") == 1


def test_crops_show_one_place_in_every_version() -> None:
    crops = crops_of({"fp32": NEAREST}, PAIRS, 2)
    assert [crop.name for crop in crops] == ["0.png", "1.png", "2.png"]
    assert [view.title for view in crops[0].views] == ["bicubic", "fp32", "original"]
    assert {view.pixels.shape for crop in crops for view in crop.views} == {(120, 120)}
    assert crops[0].views[-1].psnr is None


def test_crop_pictures_decode_to_the_pixels() -> None:
    page = page_for(facts_for())
    encoded = re.findall(r"data:image/png;base64,([^\"]+)", page)[0]
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_UNCHANGED)
    expected = crops_of({"fp32": NEAREST}, PAIRS, 2)[0].views[0].pixels
    np.testing.assert_array_equal(pixels, expected)


def test_busiest_square_is_where_planes_differ() -> None:
    first, second = np.zeros((50, 60)), np.zeros((50, 60))
    second[31:34, 40:43] = 9
    y, x, side = busiest_square(first, second, 10)
    assert side == 10
    assert y <= 31
    assert y + side >= 34
    assert x <= 40
    assert x + side >= 43


def test_crop_of_a_small_picture_is_the_picture() -> None:
    assert busiest_square(np.zeros((7, 30)), np.ones((7, 30)), 120) == (0, 0, 7)


def test_chart_of_many_pictures_stays_readable() -> None:
    many = {f"{i}.png": 29.0 for i in range(200)}
    few = dict(list(many.items())[:10])
    heights = [
        ElementTree.fromstring(gain_chart(names, {"fp32": names})).attrib["height"]
        for names in (many, few)
    ]
    assert heights[0] == heights[1]


def test_charts_are_well_formed_pictures() -> None:
    charts = [
        gain_chart({"a <b>": 29.0}, {"fp32": {"a <b>": 31.0}, "int8": {"a <b>": 28.5}}),
        latency_chart(LATENCY["results"]),
        observer_chart({"minmax": 0.06, "mse": -0.01}, {"minmax": 1.0, "mse": 0.5}, "mse", 0.1),
        layer_chart({"first": 0.03, "tail": -0.01}, {"tail"}),
    ]
    for chart in charts:
        assert ElementTree.fromstring(chart).tag.endswith("svg")


@pytest.mark.parametrize(
    ("value", "text"), [(-0.00001, "0.0"), (0.12346, "0.1235"), (-0.5, "-0.5")]
)
def test_minus_zero_is_never_shown(value: float, text: str) -> None:
    assert str(signless(value)) == text


def test_run_of_layers_that_stays_float_shows_the_loss_that_was_measured() -> None:
    kept = (
        KeptLayer("first to third (3 layers)", ("a", "b"), None),
        KeptLayer("tail", ("c", "d"), 0.0321),
    )
    page = page_for(replace(facts_for(kept=kept), mixed_ms=()))
    assert "<code>first to third (3 layers)</code>" in page
    assert "0.0321 dB" in page
    assert '<td class="number"></td>' in page


def test_layers_of_a_large_network_are_shown_where_they_cost_most() -> None:
    def height(count: int) -> float:
        drops = {f"layer{index}": index / 1000 for index in range(count)}
        found = re.search(r'height="([0-9.]+)pt"', layer_chart(drops, set()))
        assert found
        return float(found[1])

    assert height(MOST_LAYERS - 5) < height(MOST_LAYERS) == height(MOST_LAYERS + 5)
