"""The tests of the C++ library itself: every kernel and the engine on every ISA of this CPU."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from core_support import needs_compiler, run


@pytest.mark.slow
@needs_compiler
def test_core_passes_its_own_tests(core_build: Path) -> None:
    shown = run("ctest", "--test-dir", core_build, "--output-on-failure", "-j", "2")
    found = re.search(r"100% tests passed.* out of (\d+)", shown)
    assert found is not None
    assert int(found.group(1)) >= 25
