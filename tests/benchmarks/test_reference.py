from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from native_reference import read_native, run_float
from native_support import make_native_bundle, seed_model
from side_by_side.chain import Array, read_chain
from side_by_side.graphs import graph_path
from side_by_side.reference import depth_to_space, psnr_db, reference_frame


def test_shipped_student_equals_its_graph(shipped: Path, noise: Array) -> None:
    session = onnxruntime.InferenceSession(
        str(graph_path(shipped, "fp32")), providers=["CPUExecutionProvider"]
    )
    batch = noise.astype(np.float32)[None, None]
    expected = session.run(None, {session.get_inputs()[0].name: batch})[0][0, 0]
    found = reference_frame(read_chain(shipped), noise)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("name", ["x2_fp32", "x3_clip", "x4_deep"])
def test_every_kind_of_layer_equals_the_specification(
    tmp_path: Path, noise: Array, name: str
) -> None:
    model = seed_model(name)
    expected = run_float(read_native(model), noise)
    found = reference_frame(read_chain(make_native_bundle(tmp_path / "b", model)), noise)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_depth_to_space_takes_phases_row_by_row() -> None:
    phases = np.arange(8).reshape(4, 1, 2)
    assert depth_to_space(phases, 2).tolist() == [[0, 2, 1, 3], [4, 6, 5, 7]]


def test_psnr_is_of_grey_levels() -> None:
    grey = np.full((4, 5), 100.0)
    assert psnr_db(grey + 1, grey) == pytest.approx(20 * math.log10(255))
    assert psnr_db(grey, grey) == 200


def test_psnr_of_a_broken_result_is_no_number() -> None:
    grey = np.full((4, 5), 100.0)
    broken = grey.copy()
    broken[2, 3] = np.nan
    assert math.isnan(psnr_db(broken, grey))
    with pytest.raises(ValueError, match="shape"):
        psnr_db(grey[:2], grey)
