"""Commands around the C++ library."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
missing = [tool for tool in ("cmake", "c++", "cc") if shutil.which(tool) is None]
needs_compiler = pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} absent")


def run(*command: str | Path, **environment: str) -> str:
    """Stdout of a command; the test fails with the end of all output if the command does."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout
