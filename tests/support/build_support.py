"""Helpers for tests that build bundles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def quick_latency() -> Iterator[None]:
    """Two samples of a small frame meanwhile: for tests that time nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("OUTPUT_WIDTH", 96),
            ("OUTPUT_HEIGHT", 48),
            ("WARM_UP", 0),
            ("LEAST_SAMPLES", 2),
            ("SECONDS", 0.0),
        ):
            patch.setattr(f"export.latency.{name}", value)
        yield


def words_for(checkpoint: Path, pictures: Path, out: Path) -> list[str]:
    """Options of a build from these files."""
    paths = {"--checkpoint": checkpoint, "--calibration": pictures, "--out": out}
    return [word for flag, path in paths.items() for word in (flag, str(path))]


def last_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The object that a command printed last."""
    result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return result
