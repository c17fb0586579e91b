from __future__ import annotations

import json
from pathlib import Path

import pytest
import untrained_bundles

from runtime import Upscaler, read_manifest


@pytest.mark.slow
def test_shapes_become_bundles_that_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        untrained_bundles, "SHAPES", (("small", "fsrcnn_residual", 3, {"d": 8, "s": 4, "m": 1}),)
    )
    assert untrained_bundles.main([str(tmp_path / "bundles"), "--json"]) == 0
    (bundle,) = json.loads(capsys.readouterr().out.splitlines()[-1])["bundles"]
    manifest = read_manifest(Path(bundle))
    assert manifest.scale == 3
    assert {"fp32", "int8"} <= set(manifest.precisions)
    assert "model.native" in manifest.files
    with Upscaler.open(bundle, precision="int8") as upscaler:
        assert upscaler.scale == 3


def test_all_shapes_have_names_of_their_own() -> None:
    names = [name for name, *_ in untrained_bundles.SHAPES]
    assert len(names) == len(set(names))
    assert {scale for _, _, scale, _ in untrained_bundles.SHAPES} == {2, 3, 4}
