from __future__ import annotations

import os
import subprocess
import sys

import pytest
from native_support import SEEDS
from side_by_side.cases import (
    ISAS,
    PACKAGES,
    PRECISIONS,
    TRANSPOSED,
    Case,
    finalists,
    plan_cases,
)


def planned(
    runtimes: list[str],
    precisions: tuple[str, ...] = PRECISIONS,
    *,
    isas: tuple[str, ...] = ("auto",),
    bundled: tuple[str, ...] = ("fp32", "fp16", "int8"),
    can_edit_graphs: bool = True,
) -> list[Case]:
    return plan_cases(
        runtimes, precisions, isas=isas, bundled=bundled, can_edit_graphs=can_edit_graphs
    )


def test_native_runs_every_precision_at_every_cap() -> None:
    cases = planned(["native"], isas=("auto", "avx2"))
    assert [(c.precision, c.isa) for c in cases] == [
        *((p, "") for p in PRECISIONS),
        *((p, "avx2") for p in PRECISIONS),
    ]


def test_all_cases_have_their_own_name() -> None:
    cases = planned(list(PACKAGES), isas=ISAS)
    assert {case.runtime for case in cases} == set(PACKAGES)
    assert len({case.name for case in cases}) == len(cases)
    assert Case("native", "int8", isa="avx2").name == "native int8 fused, up to avx2"
    assert Case("ncnn", "fp32").name == "ncnn fp32 sub-pixel"


def test_int8_needs_a_bundle_that_holds_it_and_bf16_does_not() -> None:
    cases = planned(["native", "ncnn"], bundled=("fp32",))
    assert {case.precision for case in cases} == {"fp32", "bf16"}


def test_precisions_that_a_runtime_lacks_are_no_cases() -> None:
    assert planned(["onnxruntime", "opencv"], ("bf16",)) == []
    assert planned(["torch"], ("int8",)) == []
    assert len(planned(["openvino"], ("int8",))) == 2


def test_without_onnx_only_edited_graphs_are_left_out() -> None:
    without = planned(["onnxruntime", "opencv", "ncnn", "torch"], can_edit_graphs=False)
    transposed = {case.runtime for case in without if case.form == TRANSPOSED}
    assert transposed == {"ncnn", "torch"}
    assert {case.runtime for case in without} == {"onnxruntime", "opencv", "ncnn", "torch"}


def test_the_best_of_each_runtime_and_precision_race() -> None:
    fast, near, slow = (Case("onnxruntime", "fp32", option=str(i)) for i in range(3))
    other = Case("onnxruntime", "int8")
    capped, native = Case("native", "fp32", isa="avx2"), Case("native", "fp32")
    medians = {slow: 10.6, fast: 10.0, near: 10.5, other: 99.0, capped: 50.0, native: 1.0}
    assert finalists(medians) == [fast, near, other, capped, native]
    assert finalists(medians, margin=0.1) == [slow, fast, near, other, capped, native]
    assert finalists({}) == []


@pytest.mark.usefixtures("needs_core")
def test_caps_are_those_that_the_engine_names() -> None:
    code = (
        "import sys; from pathlib import Path; from runtime._core import Upscaler\n"
        "try: Upscaler(Path(sys.argv[1]).read_bytes(), 'fp32', 1, 0)\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(SEEDS / "seed_x2_fp32")],
        env={**os.environ, "EDGE_SR_ISA": "none-such"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("is not one of")[1].split() == list(ISAS[1:])
