from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures_support import synthetic_luma, write_pictures

from runtime import Upscaler, info, read_manifest, upscale
from runtime.installed import SCALES, STUDENTS, installed_bundle

READY = installed_bundle()


@pytest.mark.parametrize("content", STUDENTS)
@pytest.mark.parametrize("scale", SCALES)
def test_installed_bundles_are_intact(
    scale: int, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = installed_bundle(scale, content=content)
    assert info.main([str(bundle)]) == 0
    assert "all files intact" in capsys.readouterr().out
    manifest = read_manifest(bundle)
    assert manifest.scale == scale
    assert {"fp32", "int8"} <= set(manifest.precisions)
    assert "model.native" in manifest.files


@pytest.mark.parametrize("tile_size", [17, 40, 64])
def test_tiled_equals_whole_frame_on_the_real_network(tile_size: int) -> None:
    lr = synthetic_luma(90, 70)
    with Upscaler.open(READY) as whole, Upscaler.open(READY, tile_size=tile_size) as tiled:
        expected, got = whole.upscale_luma(lr), tiled.upscale_luma(lr)
    difference = np.abs(expected.astype(int) - got.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 1e-4


def test_precisions_differ_little_but_truly() -> None:
    lr = synthetic_luma(64, 64)
    sr = {}
    for precision in ("fp32", "fp16", "int8"):
        with Upscaler.open(READY, precision=precision) as upscaler:
            sr[precision] = upscaler.upscale_luma(lr).astype(float)
    assert np.abs(sr["fp16"] - sr["fp32"]).mean() < 0.1
    assert 0 < np.abs(sr["int8"] - sr["fp32"]).mean() < 3


def test_picture_is_upscaled_without_naming_a_bundle(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "in", 1)
    assert upscale.main([str(folder / "00.png"), str(tmp_path / "out.png"), "--quiet"]) == 0
    assert (tmp_path / "out.png").is_file()
