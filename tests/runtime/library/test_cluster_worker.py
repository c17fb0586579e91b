"""What a worker of a cluster does with a part of a video, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bundle_support import make_tiny_bundle
from video_support import Clip, make_clip

from runtime import Upscaler
from runtime.library import cluster_worker
from runtime.library.cluster_worker import (
    EncodedSegment,
    EngineOrder,
    InputFile,
    describe_engine,
    encode_part,
    pack_bundle,
    unpack_bundle,
)
from runtime.library.workplace import EngineOptions
from runtime.video.pipeline import VideoOptions, fingerprint, plan_video


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.esr")


@pytest.fixture
def part(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    """Arguments of :func:`encode_part`, for this process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cluster_worker, "_engines", {})
    source = make_clip(tmp_path / "a.mp4", Clip(width=64, height=48))
    order = EngineOrder(pack_bundle(bundle), EngineOptions(threads=1))
    job = plan_video(source, ".mp4", 2, VideoOptions(segment_frames=5))
    return order, describe_engine(order), InputFile(source, fingerprint(source)), job, range(1, 3)


def test_worker_gives_whole_segments(part: tuple[Any, ...]) -> None:
    segments = encode_part(*part)
    assert isinstance(segments, list)
    assert all(isinstance(segment, EncodedSegment) for segment in segments)
    assert [(s.number, s.end.frames, len(s.packets)) for s in segments] == [(1, 5, 5), (2, 2, 2)]


def test_worker_opens_an_engine_once(
    part: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_again(*args: object, **options: object) -> Upscaler:
        raise AssertionError("opened again")

    monkeypatch.setattr(Upscaler, "open", open_again)
    assert isinstance(encode_part(*part), list)


def test_worker_that_does_not_see_the_input_says_so(part: tuple[Any, ...]) -> None:
    order, expected, file, job, segments = part
    away = InputFile(file.path.with_name("none.mp4"), file.fingerprint)
    error = encode_part(order, expected, away, job, segments)
    assert isinstance(error, FileNotFoundError)
    assert "none.mp4 is not there on worker" in str(error)


def test_worker_that_sees_another_file_says_so(part: tuple[Any, ...]) -> None:
    order, expected, file, job, segments = part
    file.path.write_bytes(file.path.read_bytes() + b"\0")
    error = encode_part(order, expected, file, job, segments)
    assert isinstance(error, ValueError)
    assert "a.mp4 is another file on worker" in str(error)


def test_worker_with_another_engine_says_so(part: tuple[Any, ...]) -> None:
    order, expected, *others = part
    other = type(expected)(expected.engine, "1.0")
    error = encode_part(order, other, *others)
    assert isinstance(error, RuntimeError)
    assert "the first one has onnxruntime" in str(error)
    assert "and PyAV 1.0; install the same on all" in str(error)


def test_bundle_travels_by_its_content(bundle: Path, tmp_path: Path) -> None:
    packed = pack_bundle(bundle)
    path = unpack_bundle(packed, tmp_path)
    assert pack_bundle(path) == packed
    (path / "model.int8.onnx").write_bytes(b"damaged")
    with Upscaler.open(unpack_bundle(packed, tmp_path)) as upscaler:
        assert upscaler.scale == 2
    other = make_tiny_bundle(tmp_path / "other.esr", seed=1)
    assert pack_bundle(other) != packed
