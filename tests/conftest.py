"""Shared by all tests: few threads and one seed, so that runs repeat on any machine."""

from __future__ import annotations

import os
import random
import sys

import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")


@pytest.fixture(autouse=True)
def _same_seed_for_every_test() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the legacy generator is what libraries would use
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
