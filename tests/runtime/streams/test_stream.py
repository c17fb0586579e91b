from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_support import make_tiny_bundle
from video_support import Clip, NearestUpscaler, make_clip, read_back

from runtime import upscale
from runtime.streams.endpoints import StreamOptions, open_source, sink_opener
from runtime.streams.stream import run_stream
from runtime.streams.y4m import y4m_source
from runtime.video.encoder import EncodeOptions
from runtime.video.frame import Frame
from runtime.video.pipeline import VideoOptions

ROOT = Path(__file__).parents[3]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.esr")


@pytest.fixture(scope="module")
def y4m(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("y4m") / "a.y4m"
    header = b"YUV4MPEG2 W32 H24 F25:1 Ip A1:1 C420mpeg2 XCOLORRANGE=LIMITED\n"
    generator = np.random.default_rng(3)
    frames = [generator.integers(16, 235, 1152).astype(np.uint8).tobytes() for _ in range(6)]
    path.write_bytes(header + b"".join(b"FRAME\n" + frame for frame in frames))
    return path.read_bytes()


def start(*args: object, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "runtime.upscale", *map(str, args)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=ENVIRONMENT, **(pipes | options))


def run(*args: object, data: bytes = b"") -> tuple[int, bytes, str]:
    process = start(*args)
    out, err = process.communicate(data, timeout=60)
    return process.returncode, out, err.decode()


def last_json(text: str) -> dict[str, Any]:
    return dict(json.loads(text.splitlines()[-1]))


def test_pipe_in_and_out_holds_video_alone(tmp_path: Path, bundle: Path, y4m: bytes) -> None:
    code, out, err = run("-", "-", "--bundle", bundle, data=y4m)
    assert code == 0, err
    assert out.startswith(b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420mpeg2 XCOLORRANGE=LIMITED\nFRAME\n")
    assert out.count(b"FRAME\n") == 6
    assert out.index(b"FRAME") + 6 * (6 + 64 * 48 * 3 // 2) == len(out)
    (tmp_path / "a.y4m").write_bytes(y4m)
    assert run(tmp_path / "a.y4m", tmp_path / "b.y4m", "--bundle", bundle)[0] == 0
    assert (tmp_path / "b.y4m").read_bytes() == out


def test_json_goes_to_the_end_of_stderr_where_video_goes_to_stdout(
    bundle: Path, y4m: bytes
) -> None:
    code, out, err = run("-", "-", "--bundle", bundle, "--json", data=y4m)
    assert (code, out[:9]) == (0, b"YUV4MPEG2")
    result = last_json(err)
    assert (result["frames"], result["width"], result["height"]) == (6, 64, 48)
    assert err.count("\n") == 1
    code, out, err = run("-", "-", "--bundle", bundle, "--json", data=y4m[:-1])
    assert code == 1
    assert last_json(err)["error"]["message"].startswith("stdin is truncated: frame 6 has 1151")


def test_pieces_through_a_pipe_become_a_file(tmp_path: Path, bundle: Path, y4m: bytes) -> None:
    data = y4m.replace(b"LIMITED", b"FULL")
    process = start("-", tmp_path / "b.mp4", "--bundle", bundle)
    assert process.stdin is not None
    for begin in range(0, len(data), 1000):
        process.stdin.write(data[begin : begin + 1000])
        process.stdin.flush()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert last_json(out.decode())["frames"] == 6
    read = read_back(tmp_path / "b.mp4")
    assert len(read.frames) == 6
    assert read.stream["colors"][3] == 2


def test_truncated_input_leaves_no_file(tmp_path: Path, bundle: Path, y4m: bytes) -> None:
    code, _, err = run("-", tmp_path / "b.mp4", "--bundle", bundle, "--quiet", data=y4m[:-1])
    assert code == 1
    assert err == "error: stdin is truncated: frame 6 has 1151 of 1152 bytes\n"
    assert list(tmp_path.iterdir()) == []


def test_raw_video_through_pipes(tmp_path: Path, bundle: Path, y4m: bytes) -> None:
    raw = b"".join(part for part in y4m.split(b"FRAME\n")[1:])
    options = ("--raw-input", "32x24:yuv420p:25", "--raw-output", "--bundle", bundle)
    code, out, err = run("-", "-", *options, data=raw)
    assert (code, len(out)) == (0, 6 * 64 * 48 * 3 // 2), err
    assert "32x24 -> 64x48 yuv420p 25 fps" in err
    assert out == b"".join(run("-", "-", "--bundle", bundle, data=y4m)[1].split(b"FRAME\n")[1:])


def test_reader_that_closes_ends_it_quietly(bundle: Path) -> None:
    header, frame = b"YUV4MPEG2 W320 H240 F25:1\n", b"FRAME\n" + bytes(320 * 240 * 3 // 2)
    process = start("-", "-", "--bundle", bundle, "--quiet")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(header + frame)
    process.stdin.flush()
    assert process.stdout.read(9) == b"YUV4MPEG2"
    process.stdout.close()
    with pytest.raises(BrokenPipeError):
        process.stdin.writelines([frame] * 1000)
    assert process.wait(timeout=20) == 141
    assert process.stderr.read() == b""


def test_signal_ends_a_wait_for_a_silent_pipe(tmp_path: Path, bundle: Path, y4m: bytes) -> None:
    process = start("-", tmp_path / "b.mp4", "--bundle", bundle, "--quiet")
    assert process.stdin is not None
    process.stdin.write(y4m)
    process.stdin.flush()
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob(".b.*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 130
    assert list(tmp_path.iterdir()) == []
    process.communicate()


def test_terminal_is_one_clear_error(tmp_path: Path, bundle: Path, y4m: bytes) -> None:
    _, terminal = os.openpty()
    process = start("-", tmp_path / "b.mp4", "--bundle", bundle, "--quiet", stdin=terminal)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err.startswith(b"error: stdin is a terminal; pipe video into it")
    (tmp_path / "a.y4m").write_bytes(y4m)
    process = start(tmp_path / "a.y4m", "-", "--bundle", bundle, "--quiet", stdout=terminal)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err.startswith(b"error: stdout is a terminal; pipe it on")


def test_file_with_sound_to_frames_alone_has_a_note(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(has_audio=True))
    code = upscale.main([str(source), str(tmp_path / "b.y4m"), "--bundle", str(bundle)])
    out, err = capsys.readouterr()
    assert code == 0
    assert last_json(out)["frames"] == 12
    assert "note: audio stream 1 is left out: only frames are carried here" in err
    with y4m_source(tmp_path / "b.y4m") as read:
        assert len(list(read)) == 12


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("none.y4m", "b.mp4"), "none.y4m does not exist"),
        (("a.y4m", "a.y4m"), "is the input itself"),
        (("a.y4m", "old.mp4"), "exists; pass --overwrite"),
        (("a.y4m", "b.avi"), "b.avi does not end in one of"),
        (("a.y4m", "b.mp4", "--raw-output"), "b.mp4 does not end in one of .raw .yuv"),
        (("a.y4m", "missing/b.mp4"), "does not exist"),
        (("a.yuv", "b.mp4"), "a.yuv is raw video: describe it by --raw-input"),
        (("empty.y4m", "b.mp4"), "the input holds no frame"),
    ],
)
def test_paths_that_cannot_work(
    tmp_path: Path,
    bundle: Path,
    y4m: bytes,
    capsys: pytest.CaptureFixture[str],
    args: tuple[str, ...],
    message: str,
) -> None:
    (tmp_path / "a.y4m").write_bytes(y4m)
    (tmp_path / "a.yuv").write_bytes(y4m)
    (tmp_path / "empty.y4m").write_bytes(y4m[: y4m.index(b"FRAME")])
    (tmp_path / "old.mp4").touch()
    source, target, *options = args
    ends = [str(tmp_path / source), str(tmp_path / target)]
    assert upscale.main([*ends, *options, "--bundle", str(bundle), "--quiet"]) == 1
    assert not (tmp_path / "b.mp4").exists()
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_untagged_small_video_that_becomes_large_has_a_note(tmp_path: Path, y4m: bytes) -> None:
    (tmp_path / "a.y4m").write_bytes(y4m)
    options = StreamOptions(encode=EncodeOptions(preset="ultrafast"))
    for matrix, notes in ((None, 1), (6, 0)):
        with open_source(tmp_path / "a.y4m", options) as source:
            video = VideoOptions(size=(1280, 720), matrix=matrix)
            sink = sink_opener(tmp_path / "b.mp4", options)
            result = run_stream(source, sink, NearestUpscaler(), video)
        assert (result.frames, len(result.notes)) == (6, notes)
        assert read_back(tmp_path / "b.mp4").stream["colors"][0] == (matrix or 2)


def test_failing_sink_stops_the_source(tmp_path: Path, y4m: bytes) -> None:
    (tmp_path / "a.y4m").write_bytes(y4m)
    stopped = []

    class Full:
        name, notes = "full", []

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *error: object) -> None: ...

        def write(self, frame: Frame) -> None:
            raise OSError("no space left")

    with open_source(tmp_path / "a.y4m", StreamOptions()) as source:

        class Endless:
            info, notes = source.info, []

            def __iter__(self) -> Iterator[Frame]:
                yield from source
                while not stopped:
                    time.sleep(0.01)

            def stop(self) -> None:
                stopped.append(True)

        with pytest.raises(OSError, match="no space left"):
            run_stream(Endless(), lambda info: Full(), NearestUpscaler())
    assert stopped
