from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace

import pytest

from runtime.cli import run_main


def raising(error: BaseException):
    def body(args: Namespace) -> dict[str, object]:
        raise error

    return body


def test_result_is_one_json_line_and_its_exit_code_is_returned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_main(lambda args: {"a": 1, "exit_code": 1}, Namespace(json=False)) == 1
    assert capsys.readouterr().out == '{"a":1}\n'


@pytest.mark.parametrize("error", [OSError("disk\nfull"), ValueError("bad"), RuntimeError("x")])
def test_expected_error_is_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(raising(error), Namespace(json=True)) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    message = " ".join(str(error).split())
    assert json.loads(captured.out) == {"error": {"type": type(error).__name__, "message": message}}


def test_interrupt_exits_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(raising(KeyboardInterrupt()), Namespace(json=False)) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_reader_that_closes_early_is_no_error() -> None:
    code = (
        "import sys; from argparse import Namespace; from runtime.cli import run_main; "
        "sys.exit(run_main(lambda args: {'a': 'x' * 100000}, Namespace(json=True)))"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.close()
    assert run.stderr.read() == b""
    assert run.wait() == 0


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(AssertionError):
        run_main(raising(AssertionError("bug")), Namespace(json=False))
