"""What fails in the zoo of clips today, and how its tests run the program."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from runtime import upscale

# What is wrong today, by name of the case.
HOLE = "FFmpeg's Matroska reader goes on after a hole without a word"
KNOWN: dict[str, str] = {
    f"{codec}-hole-{on_error}": HOLE for codec in ("mpeg2", "vp9") for on_error in ("stop", "skip")
}


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON object and stderr."""
    code = upscale.main(["--json", "--preset", "ultrafast", *(str(arg) for arg in args)])
    out, err = capsys.readouterr()
    return code, json.loads(out.splitlines()[-1]) if out else {}, err


def assert_refused(code: int, err: str, target: Path) -> None:
    assert code == 1
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert list(target.parent.iterdir()) == []


def marked(names: Iterable[str]) -> list[Any]:
    waits = {"fifo": [pytest.mark.slow]}
    return [
        pytest.param(
            name, marks=[pytest.mark.xfail(strict=True, reason=KNOWN[name]), *waits.get(name, [])]
        )
        if name in KNOWN
        else pytest.param(name)
        for name in names
    ]
