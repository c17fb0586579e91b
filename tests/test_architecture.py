"""Who may import whom: no package pulls in more than its room needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

FORBIDDEN_AFTER_IMPORT = {
    "runtime": {"torch", "onnx", "edge_sr", "calibration", "export"},
    "calibration": {"torch", "edge_sr.models", "edge_sr.distillation"},
    "edge_sr": {"torch", "runtime"},
}
HEAVY = ("edge_sr.models", "edge_sr.distillation")


@pytest.mark.parametrize("package", FORBIDDEN_AFTER_IMPORT)
def test_import_of_every_module_stays_light(package: str) -> None:
    code = (
        f"import importlib, pkgutil, sys, {package} as p; "
        f"[importlib.import_module(m.name) for m in pkgutil.walk_packages(p.__path__, "
        f"p.__name__ + '.') if not m.name.endswith('__main__') "
        f"and not m.name.startswith({HEAVY})]; print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not FORBIDDEN_AFTER_IMPORT[package] & set(run.stdout.split())


def test_static_import_contracts_hold() -> None:
    pytest.importorskip("importlinter", reason="import-linter comes with the dev extra")
    code = "import sys; from importlinter.cli import lint_imports_command as c; c()"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
