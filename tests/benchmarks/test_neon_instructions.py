from __future__ import annotations

from collections import Counter

import neon_instructions
import pytest


def test_missing_tools_are_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(neon_instructions.shutil, "which", lambda tool: None)
    code = neon_instructions.run_main(neon_instructions.run, neon_instructions.parse_args([]))
    assert code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "qemu-aarch64" in line
    assert "install cmake, g++-aarch64-linux-gnu, qemu-user" in line


def test_instructions_are_split_by_place_and_kind() -> None:
    listing = {
        0: ("conv", "fmla", "v0.4s, v1.4s, v2.s[0]"),
        4: ("conv", "ldr", "q5, [sp, #16]"),
        8: ("tail", "fmla", "v0.4s, v1.4s, v2.4s"),
        12: ("other", "fmla", "v0.4s, v1.4s, v2.4s"),
    }
    row = neon_instructions._per_pixel(
        Counter({0: 20, 4: 10, 8: 5, 12: 4, 16: 1}), listing, ("fmla",), pixels=10
    )
    assert (row["all"], row["conv"], row["tail"], row["other"]) == (4.0, 3.0, 0.5, 0.5)
    assert (row["multiply"], row["stack"]) == (2.5, 1.0)
    assert row["kernels"] == {"fmla": 2.5, "ldr": 1.0}
