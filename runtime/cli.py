"""How the command lines end: one JSON line, or one clear error."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any, TextIO

# As a shell shows a program that SIGPIPE ended.
NOT_READ_ON = 141


def print_json(value: dict[str, Any], file: TextIO | None = None) -> None:
    """One compact line on stdout, or on ``file``."""
    try:
        print(json.dumps(value, separators=(",", ":")), file=file, flush=True)
    except BrokenPipeError:
        _forget_stdout()


def run_main(
    body: Callable[[Namespace], dict[str, Any]],
    args: Namespace,
    *,
    is_stdout_taken: bool = False,
) -> int:
    """Run a command; returns its exit code: 0 done, 1 failed, 130 interrupted, 141 not read on.

    The result ends stdout as one JSON line; an ``exit_code`` in it is taken out and returned.
    OSError, ValueError and RuntimeError become one line: on stderr, and with ``args.json`` as an
    object on stdout. Where stdout is taken by data, JSON is written with ``args.json`` alone, to
    stderr.
    """
    has_json = bool(getattr(args, "json", False))
    json_file = sys.stderr if is_stdout_taken else sys.stdout
    try:
        result = dict(body(args))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        return 130
    except BrokenPipeError:
        _forget_stdout()
        return NOT_READ_ON
    except (OSError, ValueError, RuntimeError) as error:
        message = " ".join(str(error).split())
        print(f"error: {message}", file=sys.stderr)  # noqa: T201
        if has_json:
            print_json({"error": {"type": type(error).__name__, "message": message}}, json_file)
        return 1
    code = int(result.pop("exit_code", 0))
    if has_json or not is_stdout_taken:
        print_json(result, json_file)
    return code


def _forget_stdout() -> None:
    """The reader, such as `head`, has had enough; the interpreter must not complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
