from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Without its suffix, in a folder of its own."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "out"
