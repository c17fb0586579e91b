"""The bundles that are installed with the package: for clean pictures and for compressed video."""

from __future__ import annotations

from pathlib import Path

BUNDLES = Path(__file__).parent / "bundles"
SCALES = (2, 3, 4)
# Names of the students by what they were trained on.
STUDENTS = {"clean": "fsrcnn", "compressed": "fsrcnn-h264"}


def installed_bundle(scale: int = 2, *, content: str = "clean") -> Path:
    """The ready bundle of a scale for ``content``, a key of STUDENTS.

    Raises FileNotFoundError if this installation is without it.
    """
    bundle = BUNDLES / f"{STUDENTS[content]}-x{scale}.esr"
    if not bundle.is_dir():
        raise FileNotFoundError(
            f"no x{scale} bundle for {content} content is installed; build one with: "
            f"python -m export.build --scale {scale} --precision int8, then pass it"
        )
    return bundle
