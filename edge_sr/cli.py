"""How the training side's command lines end: one JSON line, or one clear error."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any


def run_main(body: Callable[[Namespace], dict[str, Any]], args: Namespace) -> int:
    """Run a command; returns its exit code: 0 done, 1 failed, 130 interrupted.

    The result ends stdout as one JSON line. OSError, ValueError and RuntimeError become one line:
    on stderr, and with ``--json`` as an object on stdout.
    """
    try:
        result = body(args)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        return 130
    except (OSError, ValueError, RuntimeError) as error:
        message = " ".join(str(error).split())
        print(f"error: {message}", file=sys.stderr)  # noqa: T201
        if args.json:
            print(json.dumps({"error": {"type": type(error).__name__, "message": message}}))  # noqa: T201
        return 1
    try:
        print(json.dumps(result, separators=(",", ":")), flush=True)  # noqa: T201
    except BrokenPipeError:
        # The reader, such as `head`, has had enough; the interpreter must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
