"""How the command lines end: one JSON line, or one clear error."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any


def print_json(value: dict[str, Any]) -> None:
    """One compact line on stdout."""
    try:
        print(json.dumps(value, separators=(",", ":")), flush=True)  # noqa: T201
    except BrokenPipeError:
        # The reader, such as `head`, has had enough; the interpreter must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run_main(body: Callable[[Namespace], dict[str, Any]], args: Namespace) -> int:
    """Run a command; returns its exit code: 0 done, 1 failed, 130 interrupted.

    The result ends stdout as one JSON line; an ``exit_code`` in it is taken out and returned.
    OSError, ValueError and RuntimeError become one line: on stderr, and with ``args.json`` as an
    object on stdout.
    """
    try:
        result = dict(body(args))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        return 130
    except (OSError, ValueError, RuntimeError) as error:
        message = " ".join(str(error).split())
        print(f"error: {message}", file=sys.stderr)  # noqa: T201
        if getattr(args, "json", False):
            print_json({"error": {"type": type(error).__name__, "message": message}})
        return 1
    code = int(result.pop("exit_code", 0))
    print_json(result)
    return code
