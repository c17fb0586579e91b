"""Who may import whom: no package pulls in more than its room needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN_AFTER_IMPORT = {
    "runtime": {"torch", "onnx", "ray", "edge_sr", "calibration", "export"},
    "calibration": {"torch", "edge_sr.models", "edge_sr.distillation"},
    "edge_sr": {"torch", "runtime"},
}
# The rooms where networks live; the light modules of edge_sr must not lead there.
HEAVY = ("edge_sr.models", "edge_sr.distillation", "edge_sr.published")


def light_modules(package: str) -> list[str]:
    files = sorted((ROOT / package).rglob("*.py"))
    names = [".".join(f.relative_to(ROOT).with_suffix("").parts) for f in files]
    names = [name.removesuffix(".__init__") for name in names]
    return [name for name in names if not name.startswith(HEAVY)]


@pytest.mark.parametrize("package", FORBIDDEN_AFTER_IMPORT)
def test_import_of_every_module_stays_light(package: str) -> None:
    modules = light_modules(package)
    assert len(modules) > 4
    code = f"import importlib, sys; [importlib.import_module(m) for m in {modules}]; "
    code += "print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(run.stdout.split())
    assert not FORBIDDEN_AFTER_IMPORT[package] & loaded


def test_static_import_contracts_hold() -> None:
    pytest.importorskip("importlinter", reason="import-linter comes with the dev extra")
    code = "from importlinter.cli import lint_imports_command as command; command()"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert run.returncode == 0, run.stdout + run.stderr
