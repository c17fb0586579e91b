from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
import video_quality

from edge_sr.data.resample import upscale


def write_clip(path: Path, frames: int = 3) -> Path:
    rng = np.random.default_rng(0)
    world = np.kron(rng.integers(0, 256, (12, 20)), np.ones((6, 6))).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(frames):
            grey = np.ascontiguousarray(world[:64, index : index + 96])
            frame = av.VideoFrame.from_ndarray(grey, format="gray")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def bicubic(lr: np.ndarray) -> np.ndarray:
    return upscale(lr, 2)


def test_a_perfect_gradient_has_neither_error_nor_step() -> None:
    error, step = video_quality.banding(bicubic, 2)
    assert error < 1
    assert step == 1


def test_banding_finds_lost_levels() -> None:
    error, step = video_quality.banding(lambda lr: bicubic(lr) // 8 * 8, 2)
    assert error > 6
    assert step == 8


def test_flicker_is_what_changes_over_time() -> None:
    frame = np.full((64, 64), 100, np.uint8)
    still = video_quality.Encoded.of([frame], [0], 2).still[0]
    noisy = video_quality.flicker(bicubic, still)
    stronger = video_quality.flicker(lambda lr: 3 * (bicubic(lr) - 70), still)
    assert 0 < noisy < 1.5
    assert stronger == pytest.approx(3 * noisy, rel=0.01)
    assert video_quality.flicker(lambda lr: 0 * bicubic(lr), still) == 0


def test_a_clip_is_worse_at_a_higher_crf(tmp_path: Path) -> None:
    frames = video_quality.read_luma(write_clip(tmp_path / "c.mp4"), 10)
    assert [frame.shape for frame in frames] == [(64, 96)] * 3
    clip = video_quality.Encoded.of(frames, [0, 40], 2)
    (first, _), (second, _) = (
        video_quality.clip_score(bicubic, clip.larger, clip.moving[crf], 2) for crf in (0, 40)
    )
    assert first > second > 10


@pytest.mark.slow
def test_a_bundle_is_scored_beside_bicubic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Path(video_quality.__file__).parents[1] / "runtime/bundles/fsrcnn-x2.esr"
    out = tmp_path / "record.json"
    arguments = [str(bundle), "--clips", str(write_clip(tmp_path / "c.mp4")), "--crf", "0", "30"]
    assert video_quality.main([*arguments, "--frames", "2", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    record = json.loads(lines[-1])
    assert json.loads(out.read_text()) == record
    assert {"bicubic", "fsrcnn-x2 fp32", "fsrcnn-x2 int8"} <= set(record["rows"])
    assert lines[0] == "| clip | | CRF 0 | CRF 30 |"


def test_what_is_no_clip_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no clip")
    for path in (broken, tmp_path / "none.mp4"):
        assert video_quality.main(["nothing.esr", "--clips", str(path)]) == 1
        assert "Traceback" not in capsys.readouterr().err
