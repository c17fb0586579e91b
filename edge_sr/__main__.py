"""``edge-sr``: one console command that only dispatches to the modules."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "build": "export.build",
    "upscale": "runtime.upscale",
    "bench": "runtime.bench",
    "info": "runtime.info",
    "engine": "runtime.engine",
    "cache": "runtime.cache",
    "train": "edge_sr.train",
    "evaluate": "edge_sr.evaluate",
    "convert": "edge_sr.convert",
    "calibrate": "calibration.collect",
}


def main(argv: list[str] | None = None) -> int:
    """Run ``edge-sr COMMAND ...``; the exit code is the command's."""
    arguments = sys.argv[1:] if argv is None else argv
    usage = f"usage: edge-sr {{{','.join(COMMANDS)}}} ...   (edge-sr COMMAND --help tells more)"
    if arguments and arguments[0] in ("-h", "--help"):
        print(usage)  # noqa: T201
        return 0
    if not arguments or arguments[0] not in COMMANDS:
        print(usage, file=sys.stderr)  # noqa: T201
        return 2
    try:
        module = importlib.import_module(COMMANDS[arguments[0]])
    except ModuleNotFoundError as error:
        package = COMMANDS[arguments[0]].split(".")[0]
        extra = {"export": "export", "calibration": "export", "edge_sr": "train"}.get(package)
        hint = f'; install it with: pip install "edge-sr[{extra}]"' if extra else ""
        print(f"error: {error}{hint}", file=sys.stderr)  # noqa: T201
        return 1
    code: int = module.main(arguments[1:])
    return code


if __name__ == "__main__":
    sys.exit(main())
