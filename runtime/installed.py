"""The bundles that are installed with the package: one for each scale."""

from __future__ import annotations

from pathlib import Path

BUNDLES = Path(__file__).parent / "bundles"
SCALES = (2, 3, 4)


def installed_bundle(scale: int = 2) -> Path:
    """The ready bundle of a scale. Raises FileNotFoundError if this installation is without it."""
    bundle = BUNDLES / f"fsrcnn-x{scale}.esr"
    if not bundle.is_dir():
        raise FileNotFoundError(
            f"no x{scale} bundle is installed; build one with: "
            f"python -m export.build --scale {scale} --precision int8, then pass it"
        )
    return bundle
