"""Upscaling on a Ray cluster of two workers on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bundle_support import make_tiny_bundle
from video_support import INTRA, Clip, damaged, make_clip, read_back

from runtime import upscale
from runtime.library.cluster import MIN_TASK_FRAMES, check_address, cut_tasks
from runtime.library.run import LibraryRun
from runtime.picture import write_picture
from runtime.progress import Progress
from runtime.video.pipeline import VideoOptions, plan_video

ROOT = Path(__file__).parents[3]
LONG = Clip(width=64, height=48, pts=tuple(range(3, 453)), options={"g": "25"}, has_audio=True)
OPTIONS = ("--preset", "fast", "--segment-frames", "25")
ON_RAY = ("--ray", "--ray-cpus", "1", "--threads", "1")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.esr")


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    ray = pytest.importorskip("ray", reason="Ray comes with the cluster extra")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "a.mp4", LONG)


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON object, and stderr."""
    code = upscale.main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    return code, json.loads(out.splitlines()[-1]) if out else {}, err


def workers_at(function: str) -> list[int]:
    """Processes below this one that run a task now."""
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if _title(pid).startswith(f"ray::{function}") and _is_below(pid)]


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:  # has ended meanwhile
        return ""


def _is_below(pid: int) -> bool:
    while pid > 1:
        if pid == os.getpid():
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_cluster_gives_the_same_bytes_as_one_run(
    two_workers: None,
    tmp_path: Path,
    bundle: Path,
    clip: Path,
    capsys: pytest.CaptureFixture[str],
    suffix: str,
) -> None:
    alone, target = tmp_path / f"alone{suffix}", tmp_path / f"b{suffix}"
    assert run(capsys, clip, alone, "--bundle", bundle, *OPTIONS)[0] == 0
    code, result, err = run(capsys, clip, target, "--bundle", bundle, *OPTIONS, *ON_RAY)
    assert (code, result["frames"], result["precision"]) == (0, 450, "int8")
    assert target.read_bytes() == alone.read_bytes()
    assert read_back(target).packets[0]
    assert "64x48 -> 128x96  onnxruntime int8 on CPUExecutionProvider" in err
    assert "upscale  450/450  100.0%" in err
    assert "ray" not in err.lower()
    assert sorted(path.name for path in tmp_path.iterdir()) == [alone.name, target.name]


@pytest.mark.parametrize("is_first_on_ray", [True, False])
def test_interrupted_run_is_gone_on_with_on_the_other_side(
    two_workers: None,
    tmp_path: Path,
    bundle: Path,
    clip: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_first_on_ray: bool,
) -> None:
    args = ("--bundle", bundle, *OPTIONS)
    alone, target = tmp_path / "alone.mp4", tmp_path / "b.mp4"
    assert run(capsys, clip, alone, *args)[0] == 0
    first, second = (ON_RAY, ()) if is_first_on_ray else ((), ON_RAY)
    advance = Progress.advance

    def interrupt(self: Any, count: int = 1) -> None:
        advance(self, count)
        if self.done == 160:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "advance", interrupt)
        code, _, err = run(capsys, clip, target, *args, *first)
    assert code == 130
    assert "--resume goes on with it" in err
    code, result, _ = run(capsys, clip, target, *args, *second, "--resume")
    assert (code, result["frames"]) == (0, 450)
    assert 100 <= result["resumed"] < 450
    assert target.read_bytes() == alone.read_bytes()


def test_task_of_a_killed_worker_is_done_again(
    two_workers: None,
    tmp_path: Path,
    bundle: Path,
    clip: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    args = ("--bundle", bundle, "--preset", "veryslow", "--segment-frames", "25")
    alone, target = tmp_path / "alone.mp4", tmp_path / "b.mp4"
    assert run(capsys, clip, alone, *args)[0] == 0
    killed: list[int] = []
    advance = Progress.advance

    def kill_one(self: Any, count: int = 1) -> None:
        advance(self, count)
        deadline = time.monotonic() + 5
        while not killed and time.monotonic() < deadline:
            for pid in workers_at("encode_part")[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    monkeypatch.setattr(Progress, "advance", kill_one)
    code, result, _ = run(capsys, clip, target, *args, *ON_RAY)
    assert killed
    assert (code, result["frames"], result["resumed"]) == (0, 450, 0)
    assert target.read_bytes() == alone.read_bytes()


def test_damaged_video_fails_alone_and_at_once(
    two_workers: None, tmp_path: Path, bundle: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, args = tmp_path / "in", ("--bundle", bundle, *OPTIONS)
    source.mkdir()
    damaged(make_clip(source / "bad.mp4", INTRA), 5)
    (source / "good.mp4").symlink_to(clip)
    write_picture(source / "p.png", read_back(clip).frames[0].to_ndarray(format="gray"))
    alone, there = tmp_path / "alone", tmp_path / "there"
    code, here, _ = run(capsys, source, alone, *args)
    assert (code, here["done"]) == (1, 2)
    code, result, err = run(capsys, source, there, *args, *ON_RAY)
    assert (code, result["done"], result["frames"]) == (1, 2, 451)
    assert result["failed"] == here["failed"]
    assert re.search(r"error: \S*bad.mp4: frame \d+.* is damaged: ", err)
    for name in ("good.mp4", "p.png"):
        assert (there / name).read_bytes() == (alone / name).read_bytes()
    assert sorted(path.name for path in there.iterdir()) == ["good.mp4", "p.png"]


@pytest.mark.parametrize("on_error", ["skip", "repeat"])
def test_damage_is_counted_once(
    two_workers: None,
    tmp_path: Path,
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
    on_error: str,
) -> None:
    clip = Clip(width=64, height=48, pts=tuple(range(400)), options=INTRA.options)
    source = damaged(make_clip(tmp_path / "a.mp4", clip), 55)
    args = ("--bundle", bundle, "--on-error", on_error, "--segment-frames", "50")
    _, alone, _ = run(capsys, source, tmp_path / "alone.mp4", *args)
    code, result, _ = run(capsys, source, tmp_path / "b.mp4", *args, *ON_RAY)
    assert code == 0
    for key in ("frames", "skipped", "repeated"):
        assert result[key] == alone[key]
    assert result["skipped"] + result["repeated"] == 1
    assert (tmp_path / "b.mp4").read_bytes() == (tmp_path / "alone.mp4").read_bytes()


def test_task_that_no_node_can_run_is_refused(
    two_workers: None, tmp_path: Path, bundle: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in (("--ray-cpus", "3"), ("--ray-cpus", "1", "--ray-gpus", "1")):
        args = (clip, tmp_path / "b.mp4", "--bundle", bundle, "--ray", *options)
        code, _, err = run(capsys, *args)
        assert (code, err.count("\n")) == (1, 1)
        assert "no node of the cluster has" in err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_keeps_what_is_finished_and_ends_the_workers(
    tmp_path: Path, bundle: Path, clip: Path, number: int
) -> None:
    pytest.importorskip("ray", reason="Ray comes with the cluster extra")
    command = [sys.executable, "-m", "runtime.upscale", str(clip), str(tmp_path / "b.mp4")]
    options = ["--bundle", str(bundle), "--preset", "veryslow", "--segment-frames", "25"]
    process = subprocess.Popen(
        [*command, *options, *ON_RAY],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
        start_new_session=True,
    )
    journal = tmp_path / "b.mp4.unfinished"
    deadline = time.monotonic() + 60
    # More than one segment of 16 kB, since the last commit may be cut off.
    while not (journal.exists() and journal.stat().st_size > 60_000):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # A terminal signals all processes of a group, whoever else ends a program that one.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.decode().endswith("--resume goes on with it\ninterrupted\n")
    assert journal.exists()
    # Neither a trace nor what Ray logs.
    assert not re.search(rb"Traceback|\[\d{4}-|INFO|WARNING", err)


def test_without_ray_the_error_names_the_extra(
    tmp_path: Path,
    bundle: Path,
    clip: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = run(capsys, clip, tmp_path / "b.mp4", "--bundle", bundle, *ON_RAY)
    assert (code, err.count("\n")) == (1, 1)
    assert 'pip install "edge-sr[cluster]"' in err


@pytest.mark.parametrize(
    "options",
    [
        ("a.mp4", "b.mp4", "--ray-cpus", "1"),
        ("a.mp4", "b.mp4", "--ray-gpus", "1"),
        ("a.mp4", "b.mp4", "--ray", "--ray-cpus", "0"),
        ("a.mp4", "b.mp4", "--ray", "--ray-cpus", "nan"),
        ("a.mp4", "b.mp4", "--ray", "some where"),
        ("a.png", "b.png", "--ray"),
        ("--ray", "a.mp4", "b.mp4"),
    ],
)
def test_options_that_do_not_fit_are_misuse(options: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="2"):
        upscale.main(list(options))


def test_address_where_nothing_listens_is_one_error_soon(
    tmp_path: Path,
    bundle: Path,
    clip: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = pytest.importorskip("ray", reason="Ray comes with the cluster extra")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", "127.0.0.1:99999"):
        args = (clip, tmp_path / "b.mp4", "--bundle", bundle, "--ray", address)
        code, _, err = run(capsys, *args)
        assert (code, err.count("\n")) == (1, 1)
        assert f"no Ray cluster at {address}: " in err


def test_address_is_as_ray_takes_it() -> None:
    for text in ("local", "auto", "10.0.0.1:6379", "ray://head.example:10001"):
        assert check_address(text) == text
    with pytest.raises(ValueError, match="is not local, auto, HOST:PORT"):
        check_address("out.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize("keys", [10, 300])
@pytest.mark.parametrize("length", [7, 60, 250])
def test_tasks_hold_every_segment_once_and_little_decoding_in_vain(
    tmp_path: Path, suffix: str, keys: int, length: int
) -> None:
    clip = Clip(width=16, height=16, pts=tuple(range(900)), options={"g": str(keys)})
    source = make_clip(tmp_path / f"a{suffix}", clip)
    job = plan_video(source, ".mkv", 2, VideoOptions(segment_frames=length))
    tasks = list(cut_tasks(job, [range(job.plan.count)]))
    assert [number for task in tasks for number in task] == list(range(job.plan.count))
    with job.open_reader() as reader:
        leads = [reader.lead(task.start) for task in tasks]
    for task, lead in zip(tasks[:-1], leads[:-1], strict=True):
        frames = len(task) * length
        assert frames >= max(MIN_TASK_FRAMES, 2 * lead)
        assert frames - length < max(MIN_TASK_FRAMES, 2 * lead)
    if suffix == ".mp4" and keys == 10:
        assert max(leads) <= 20
    if suffix == ".ts":
        assert leads == [task.start * length for task in tasks]
    gap = [range(1), range(2, job.plan.count)] if job.plan.count > 2 else [range(1)]
    assert [n for task in cut_tasks(job, gap) for n in task] == [n for run in gap for n in run]


def test_interrupted_library_is_gone_on_with(
    two_workers: None,
    tmp_path: Path,
    bundle: Path,
    clip: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (source / name).symlink_to(clip)
    args = (source, tmp_path / "out", "--bundle", bundle, *OPTIONS)
    alone = tmp_path / "alone.mp4"
    assert run(capsys, clip, alone, *args[2:])[0] == 0
    frames = 0

    def interrupt(self: object, count: int = 1) -> None:
        nonlocal frames
        frames += count
        if frames == 700:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LibraryRun, "advance", interrupt)
        assert run(capsys, *args, *ON_RAY)[0] == 130
    code, result, _ = run(capsys, *args, "--resume", *ON_RAY)
    assert (code, result["failed"]) == (0, [])
    assert result["resumed"] > 0 or result["skipped_existing"] > 0
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        assert (tmp_path / "out" / name).read_bytes() == alone.read_bytes()
