"""Show what a bundle holds, after checking every file of it, with what can run it here.

    python -m runtime.info fsrcnn-x2-int8.esr

The last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from runtime.backends import BACKENDS, open_backend
from runtime.cli import run_main
from runtime.errors import BackendError, ModelFormatError, UnsupportedError
from runtime.manifest import Manifest, read_manifest, verify_file


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
        "size_multiple": manifest.size_multiple,
        "tileable": manifest.tileable,
        "precisions": list(manifest.precisions),
        "default_precision": manifest.default_precision,
        "bytes": sum(entry.bytes for entry in manifest.files.values()),
        "files": {name: entry.bytes for name, entry in manifest.files.items()},
        "quality": manifest.quality,
        "provenance": manifest.provenance,
        "backends": {name: backend_facts(name, args.bundle, manifest) for name in BACKENDS},
    }
    if not args.json:
        _print_facts(facts)
    return facts


def backend_facts(name: str, bundle: Path, manifest: Manifest) -> dict[str, Any]:
    """What a backend runs of the bundle on this machine, and why not the rest."""
    facts: dict[str, Any] = {"version": None, "runs": {}, "refuses": {}}
    for precision in manifest.precisions:
        try:
            backend = open_backend(name, bundle, manifest, precision=precision, threads=1)
        except (UnsupportedError, ModelFormatError, BackendError) as error:
            facts["refuses"][precision] = str(error).removeprefix(f"{name}: ")
            continue
        info = backend.info
        backend.close()
        facts["version"] = info.version
        if info.precision == precision:
            facts["runs"][precision] = info.provider
        else:
            facts["refuses"][precision] = f"this CPU has no {precision}; {info.precision} runs"
    return facts


def _print_facts(facts: dict[str, Any]) -> None:
    kind = "RGB" if facts["channels"] == "rgb" else "luminance"
    windows = f"halo {facts['receptive_field_radius']} px" if facts["tileable"] else "not tileable"
    lines = [
        f"{facts['bundle']}: {facts['model']} x{facts['scale']} on {kind}, all files intact",
        f"precisions {' '.join(facts['precisions'])} (default {facts['default_precision']}), "
        f"{windows}, {facts['bytes'] / 1e6:.2f} MB",
    ]
    for precision, quality in facts["quality"].items():
        if isinstance(quality, dict) and "psnr" in quality and "drop_db" in quality:
            lines.append(
                f"  {precision}: {quality['psnr']:.2f} dB, {quality['drop_db']:+.3f} dB below fp32"
            )
    for name, backend in facts["backends"].items():
        lines += _backend_lines(name, backend)
    print("\n".join(lines))  # noqa: T201


def _backend_lines(name: str, backend: dict[str, Any]) -> list[str]:
    lines = []
    if backend["runs"]:
        runs = ", ".join(f"{precision} on {on}" for precision, on in backend["runs"].items())
        lines.append(f"{name} {backend['version']}: {runs}")
    refused: dict[str, list[str]] = {}
    for precision, reason in backend["refuses"].items():
        refused.setdefault(reason, []).append(precision)
    return lines + [f"{name} not for {', '.join(of)}: {reason}" for reason, of in refused.items()]


def main(argv: list[str] | None = None) -> int:
    """Command line entry."""
    return run_main(run, parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
