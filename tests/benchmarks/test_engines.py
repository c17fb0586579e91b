from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from side_by_side.cases import PACKAGES, PRECISIONS, plan_cases
from side_by_side.chain import read_chain
from side_by_side.process import worker_environment
from side_by_side.reference import psnr_db, reference_frame
from side_by_side.subject import LEAST_PSNR_DB

from runtime.bench import moving_texture

# One process for each runtime: they set thread counts for all that follows.
CODE = """
import json, sys, numpy as np
from pathlib import Path
from side_by_side.cases import Case
from side_by_side.engines import Job, open_engine
bundle, frame, out = map(Path, sys.argv[1:4])
reasons = {}
for index, fields in enumerate(json.loads(sys.argv[4])):
    try:
        engine = open_engine(Job(Case(**fields), bundle, 1, np.load(frame)))
        engine.run()
        np.save(out / f"{index}.npy", engine.result())
    except RuntimeError as error:
        reasons[index] = str(error)
print(json.dumps(reasons))
"""
# What a CPU or a release may lack.
EXCUSES = ("runs as", "one engine only")


@pytest.mark.parametrize("runtime", PACKAGES)
def test_every_case_of_an_installed_runtime_is_right(
    shipped: Path, tmp_path: Path, runtime: str
) -> None:
    if importlib.util.find_spec(PACKAGES[runtime][0]) is None:
        pytest.skip(f"{PACKAGES[runtime][1]} is not installed")
    cases = plan_cases(
        [runtime],
        PRECISIONS,
        isas=("auto",),
        bundled=("fp32", "int8"),
        can_edit_graphs=importlib.util.find_spec("onnx") is not None,
    )
    frame = moving_texture(48, 20)
    np.save(tmp_path / "frame.npy", frame)
    fields = json.dumps([case.__dict__ for case in cases])
    words = [str(shipped), str(tmp_path / "frame.npy"), str(tmp_path), fields]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words],
        env={**os.environ, **worker_environment(1)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reasons = json.loads(done.stdout.splitlines()[-1])
    assert all(reason.startswith(EXCUSES) or EXCUSES[1] in reason for reason in reasons.values())
    assert len(reasons) < len(cases)
    reference = reference_frame(read_chain(shipped), frame)
    for index, case in enumerate(cases):
        if str(index) not in reasons:
            result = np.load(tmp_path / f"{index}.npy")
            assert psnr_db(result, reference) >= LEAST_PSNR_DB[case.precision], case.name
