"""Upscale every clip of a folder; compare what comes out with what went in, stream by stream.

    python benchmarks/video_clips.py clips/ --suffix .mkv --out record.json --markdown table.md

Each file goes through ``python -m runtime.upscale IN OUT --json``. A clip is OK (all that must be
the same is the same, or a note of the program says what is not), REFUSED (one clear line, exit code
not 0, no file left) or WRONG. Times must be exact unless the container counts in coarser ticks
(Matroska: 1 ms), to which they may be rounded. stdout is a table and, as its last line, one JSON
object; the exit code is 1 if any clip is WRONG.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clip_check.compare import compare_clips
from clip_check.facts import main_video, read_facts
from clip_check.summary import what_it_is

from runtime.atomic import written_beside
from runtime.cli import run_main

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
SKIPPED = frozenset({".txt", ".md", ".json"})


@dataclass(frozen=True)
class ClipResult:
    """How one clip fared; ``lines`` say what is wrong, or why it was refused."""

    clip: str
    target: str
    result: str
    lines: tuple[str, ...]
    # Differences that a note of the program announced.
    said: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    # What the clip is and what was checked of it, in a few words.
    special: str = ""
    checked: str = ""
    seconds: float = 0.0


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of the check."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/video_clips.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("clips", type=Path, help="folder of clips, or one clip")
    add("--suffix", choices=("same", *SUFFIXES), default="same", help="of the output")
    add("--out", type=Path, help="also write the JSON object here")
    add("--markdown", type=Path, help="also write the table here")
    add("--timeout", type=float, default=600, help="seconds for one clip, default %(default)s")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Check all clips; returns the object of the JSON line."""
    clips = [args.clips] if args.clips.is_file() else sorted(args.clips.iterdir())
    clips = [path for path in clips if path.is_file() and path.suffix.lower() not in SKIPPED]
    if not clips:
        raise ValueError(f"{args.clips} holds no clip")
    results = []
    for path in clips:
        suffix = path.suffix.lower() if args.suffix == "same" else args.suffix
        result = check_clip(path, suffix if suffix in SUFFIXES else ".mp4", args.timeout)
        print(f"{result.result:8} {result.clip}  {'; '.join(result.lines)}", file=sys.stderr)  # noqa: T201
        results.append(result)
    lines = table_lines(results)
    print("\n".join(lines))  # noqa: T201
    is_wrong = any(result.result == "WRONG" for result in results)
    record = {"clips": [asdict(result) for result in results]}
    for path, text in ((args.markdown, "\n".join(lines)), (args.out, json.dumps(record, indent=1))):
        if path is not None:
            with written_beside(path) as partial:
                partial.write_text(text + "\n")
    return record | {"exit_code": int(is_wrong)}


def check_clip(path: Path, suffix: str, timeout: float = 600) -> ClipResult:
    """Upscale one clip in a process of its own into an empty folder; compare."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"out{suffix}"
        command = [sys.executable, "-m", "runtime.upscale", str(path.absolute()), str(target)]
        start = time.monotonic()

        def ended(result: str, lines: Sequence[str], **more: Any) -> ClipResult:
            seconds = round(time.monotonic() - start, 1)
            return ClipResult(path.name, suffix, result, tuple(lines), seconds=seconds, **more)

        try:
            done = subprocess.run(
                [*command, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            return ended("WRONG", [f"no end after {timeout:g} s"])
        left = sorted(item.name for item in Path(folder).iterdir())
        if done.returncode:
            wrong = refusal_faults(done.returncode, done.stderr, left)
            lines = wrong or [done.stderr.splitlines()[-1].replace(f"{path.absolute()}", path.name)]
            return ended("WRONG" if wrong else "REFUSED", lines, special=description(path))
        if left != [target.name]:
            return ended("WRONG", [f"exit code 0, but the files are {left}"])
        notes = json.loads(done.stdout.splitlines()[-1])["notes"]
        try:
            found = compare_clips(path, target, notes=notes)
        except ValueError as error:
            return ended("WRONG", [f"exit code 0, but {error}"], notes=tuple(notes))
        result = "WRONG" if found.wrong else "OK"
        return ended(
            result,
            found.wrong,
            said=tuple(found.said),
            notes=tuple(notes),
            special=found.clip,
            checked=found.checked,
        )


def description(path: Path) -> str:
    """What a clip is; empty if it cannot be read."""
    try:
        return what_it_is(read_facts(path, main_video(path)))
    except ValueError:
        return ""


def refusal_faults(code: int, err: str, left: Sequence[str]) -> list[str]:
    """What is wrong with how the program refused an input."""
    faults = []
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    strange = [line for line in err.splitlines() if not line.startswith(("error: ", "note: "))]
    if len(errors) != 1 or not err.endswith(f"{errors[-1]}\n"):
        faults.append(f"stderr does not end in one line 'error: ...': {err[-300:]!r}")
    if strange:
        faults.append(f"stderr has other lines: {strange[0]!r}")
    if code not in (1, 2):
        faults.append(f"exit code {code}")
    if left:
        faults.append(f"files are left: {', '.join(left)}")
    return faults


def table_lines(results: Sequence[ClipResult]) -> list[str]:
    """The results in Markdown."""
    lines = ["| clip | what it is | to | result | checked |", "| -- | -- | -- | -- | -- |"]
    for result in results:
        notes = (f"noted: {note}" for note in result.notes)
        text = "; ".join(filter(None, (*result.lines, result.checked, *notes)))
        cells = (result.clip, result.special, result.target, result.result, text)
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
