"""Where a bundle comes from: library versions, the toolkit's commit."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

LIBRARIES = ("edge-sr", "torch", "onnx", "onnxscript", "onnxsim", "onnxruntime", "numpy")


def library_versions() -> dict[str, str]:
    """Versions of what took part, as far as installed."""
    found = {name: _version(name) for name in LIBRARIES}
    installed = {name: version for name, version in found.items() if version}
    return {"python": platform.python_version(), **installed}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """Commit of the checkout this package runs from, with ``+`` if files differ; None if no git."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        is_changed = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}+" if is_changed else commit


def _git(root: Path, *words: str) -> str:
    run = subprocess.run(
        ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=10
    )
    return run.stdout.strip()
