from __future__ import annotations

import subprocess
import sys

import pytest

from edge_sr.__main__ import COMMANDS, main


@pytest.mark.parametrize("module", COMMANDS.values())
def test_every_command_answers_help_with_an_example(module: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert f"python -m {module}" in run.stdout


def test_dispatcher_passes_the_exit_code_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--bicubic", "--data", "does-not-exist"]) == 1
    assert "does-not-exist" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["nothing"]])
def test_unknown_command_is_misuse(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "usage: edge-sr {build,upscale" in capsys.readouterr().err
