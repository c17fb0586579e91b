from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import onnx
import pytest
from graph_support import float_graph, op_types, random_weight
from onnx import helper

from export.graph import encode, finish
from export.simplify import simplify


@pytest.fixture
def twin() -> onnx.ModelProto:
    """Grey levels in and out, with a sum of constants that a simplifier folds."""
    nodes = [
        helper.make_node("Add", ["one", "one"], ["two"], "constants"),
        helper.make_node("Mul", ["lr", "two"], ["twice"], "twice"),
        helper.make_node("Conv", ["twice", "w"], ["sr"], "c"),
    ]
    weights = {"one": np.array(1, np.float32), "w": random_weight(1, 1, 1, 1)}
    return finish(float_graph(nodes, weights))


def stand_in(monkeypatch: pytest.MonkeyPatch, result: Any) -> None:
    """An onnxsim that returns ``result``, or raises it."""

    def fake(model: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
        if isinstance(result, Exception):
            raise result
        return (result, True)

    module = types.ModuleType("onnxsim")
    module.simplify = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "onnxsim", module)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.9")


def test_constants_are_folded_and_the_count_is_told(twin: onnx.ModelProto) -> None:
    pytest.importorskip("onnxsim", reason="onnxsim is optional")
    simplified, note = simplify(twin)
    assert "constants" not in [node.name for node in simplified.graph.node]
    assert "3 nodes to" in note
    assert simplified.graph.input[0] == twin.graph.input[0]
    assert simplified.ir_version == 10


def test_without_onnxsim_the_graph_stays_and_the_note_says_so(
    twin: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxsim", None)
    simplified, note = simplify(twin)
    assert encode(simplified) == encode(twin)
    assert "not installed" in note


def test_wrong_result_is_dropped(twin: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = onnx.ModelProto()
    wrong.CopyFrom(twin)
    wrong.graph.node[0].op_type = "Sub"
    stand_in(monkeypatch, wrong)
    simplified, note = simplify(twin)
    assert op_types(simplified)[0] == "Add"
    assert "changed the result" in note


def test_failure_inside_onnxsim_is_reported_and_survived(
    twin: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, RuntimeError("no such pass"))
    simplified, note = simplify(twin)
    assert encode(simplified) == encode(twin)
    assert note == "onnxsim 9.9 failed (no such pass); the graph is used as it is"


def test_other_opset_is_not_used(twin: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(twin)
    other.opset_import[0].version = 17
    stand_in(monkeypatch, other)
    simplified, note = simplify(twin)
    assert simplified.opset_import[0].version == 20
    assert "changed the opset" in note
