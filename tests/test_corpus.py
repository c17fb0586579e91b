from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from runtime.manifest import read_manifest

CORPUS = Path(__file__).resolve().parent / "corpus"
TARGETS = ("json", "manifest", "safetensors", "network_file", "frame")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("regenerate", CORPUS / "regenerate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_seeds_are_those_of_the_script(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "CORPUS", tmp_path)
    script.main()
    for target in TARGETS:
        written = {path.name: path.read_bytes() for path in (tmp_path / target).iterdir()}
        present = {path.name: path.read_bytes() for path in (CORPUS / target).glob("seed_*")}
        assert written == present


@pytest.mark.parametrize("name", ["small", "full"])
def test_both_readers_take_the_manifest_seeds(tmp_path: Path, name: str) -> None:
    shutil.copy(CORPUS / "manifest" / f"seed_{name}", tmp_path / "manifest.json")
    assert read_manifest(tmp_path).scale == 2
