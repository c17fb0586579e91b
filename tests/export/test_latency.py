from __future__ import annotations

from pathlib import Path

import pytest
from bundle_support import make_rgb_bundle
from pictures_support import synthetic_rgb

from export import latency
from export.latency import measure_latency


@pytest.mark.parametrize(("macs", "size"), [(0.0, (64, 36)), (1.0, (64, 36)), (3.0, (32, 18))])
def test_large_network_shows_smaller_frames(
    macs: float, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_rgb_bundle(tmp_path / "colour.esr")
    for name, value in (("OUTPUT_WIDTH", 128), ("OUTPUT_HEIGHT", 72), ("SECONDS", 0.0)):
        monkeypatch.setattr(latency, name, value)
    monkeypatch.setattr(latency, "LATENCY_MACS", 2 * 10 * 64 * 36)
    found = measure_latency(bundle, ("fp32",), synthetic_rgb(20, 24), scale=2, macs=macs)
    assert (found["width"], found["height"]) == size
    assert found["results"][0]["backend"].startswith("onnxruntime")
