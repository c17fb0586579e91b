"""Show what a bundle holds, after checking every file of it.

    python -m runtime.info fsrcnn-x2-int8.esr

The last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from runtime.cli import run_main
from runtime.manifest import read_manifest, verify_file


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.info",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--json", action="store_true", help="only the JSON line on stdout")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Check digests and sizes; returns the facts of the manifest."""
    manifest = read_manifest(args.bundle)
    for name in manifest.files:
        verify_file(args.bundle, name, manifest)
    facts: dict[str, Any] = {
        "bundle": str(args.bundle),
        "model": manifest.model,
        "scale": manifest.scale,
        "channels": manifest.channels,
        "receptive_field_radius": manifest.receptive_field_radius,
        "precisions": list(manifest.precisions),
        "default_precision": manifest.default_precision,
        "bytes": sum(entry.bytes for entry in manifest.files.values()),
        "files": {name: entry.bytes for name, entry in manifest.files.items()},
        "quality": manifest.quality,
        "provenance": manifest.provenance,
    }
    if not args.json:
        _print_facts(facts)
    return facts


def _print_facts(facts: dict[str, Any]) -> None:
    lines = [
        f"{facts['bundle']}: {facts['model']} x{facts['scale']}, all files intact",
        f"precisions {' '.join(facts['precisions'])} (default {facts['default_precision']}), "
        f"halo {facts['receptive_field_radius']} px, {facts['bytes'] / 1e6:.2f} MB",
    ]
    for precision, quality in facts["quality"].items():
        if isinstance(quality, dict) and "psnr" in quality and "drop_db" in quality:
            lines.append(
                f"  {precision}: {quality['psnr']:.2f} dB, {quality['drop_db']:+.3f} dB below fp32"
            )
    print("\n".join(lines))  # noqa: T201


def main(argv: list[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
