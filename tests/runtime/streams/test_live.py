from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from bundle_support import make_tiny_bundle
from video_support import Clip, NearestUpscaler, make_clip, read_back

from runtime import upscale
from runtime.streams import capture as capture_module
from runtime.streams import live as live_module
from runtime.streams import live_source
from runtime.streams.capture import CaptureOptions, Timeline, kind_of_source, shown_name
from runtime.streams.endpoints import StreamOptions, sink_opener
from runtime.streams.live import LiveReport, LiveResult, run_live
from runtime.streams.live_source import LiveOptions, LiveSource
from runtime.streams.raw import raw_info
from runtime.video.encoder import EncodeOptions
from runtime.video.frame import LAYOUTS, Frame

ROOT = Path(__file__).parents[3]
FAST = StreamOptions(encode=EncodeOptions(preset="ultrafast"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.esr")


class SlowUpscaler(NearestUpscaler):
    def __init__(self, seconds: float, workers: int = 1) -> None:
        super().__init__()
        self.seconds, self.max_concurrency = seconds, workers

    def upscale_luma(self, plane: np.ndarray, *, bit_depth: int = 8) -> np.ndarray:
        time.sleep(self.seconds)
        return super().upscale_luma(plane, bit_depth=bit_depth)


def play(
    source: str, target: Path, upscaler: NearestUpscaler, options: LiveOptions | None = None
) -> tuple[LiveResult, list[LiveReport]]:
    reports: list[LiveReport] = []
    live = LiveSource(source, options)
    result = run_live(live, sink_opener(target, FAST), upscaler, on_report=reports.append)
    return result, reports


def test_file_plays_at_its_own_speed_with_its_own_times(tmp_path: Path) -> None:
    clip = Clip(time_base=Fraction(1, 50), pts=(5, 7, 9, 12, 16, 20, 22, 30), has_audio=True)
    source = make_clip(tmp_path / "a.mp4", clip)
    begin = time.monotonic()
    result, _ = play(str(source), tmp_path / "b.mp4", NearestUpscaler(), LiveOptions(budget_s=5))
    assert time.monotonic() - begin >= 0.5
    assert (result.report.captured, result.report.written, result.report.dropped) == (8, 8, 0)
    assert result.failure is None
    assert result.notes == ("sound is not carried",)
    before, after = read_back(source), read_back(tmp_path / "b.mp4")
    assert after.times == [when - before.times[0] for when in before.times]
    assert after.stream["size"] == (64, 48)


@pytest.mark.parametrize("workers", [1, 2])
def test_slow_upscaler_drops_frames_in_order_within_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(live_module, "REPORT_INTERVAL_S", 0.4)
    source = make_clip(tmp_path / "a.mp4", Clip(pts=tuple(range(40))))
    upscaler = SlowUpscaler(0.1 * workers, workers)
    budget_s = 0.25 * workers
    options = LiveOptions(budget_s=budget_s)
    result, reports = play(str(source), tmp_path / "b.mp4", upscaler, options)
    report = result.report
    assert report.captured == report.written + report.dropped == 40
    assert 8 <= report.written <= 30
    assert report.p50_ms is not None
    assert 100 <= report.p50_ms <= 1000 * budget_s
    after = read_back(tmp_path / "b.mp4")
    assert len(after.times) == report.written
    assert after.times == sorted(set(after.times))
    # Times are those of the source: no frame is moved to close the gap of a dropped one.
    assert all((when * 25).denominator == 1 for when in after.times)
    assert len(reports) >= 2
    assert "captured 40  written" in str(report)


def test_slow_sink_drops_frames_too(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(pts=tuple(range(30))))
    written: list[int] = []

    class Slow:
        name, notes = "slow", []

        def __enter__(self) -> Slow:
            return self

        def __exit__(self, *error: object) -> None: ...

        def write(self, frame: Frame) -> None:
            time.sleep(0.1)
            written.append(frame.pts)

    live = LiveSource(str(source), LiveOptions(budget_s=0.3))
    result = run_live(live, lambda info: Slow(), NearestUpscaler())
    assert result.report.dropped > 5
    assert written == sorted(written)
    assert result.report.p50_ms is not None
    assert result.report.p50_ms < 350


def test_stop_finishes_the_file(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(pts=tuple(range(500))))
    live = LiveSource(str(source))
    timer = threading.Timer(0.5, live.stop)
    timer.start()
    result = run_live(live, sink_opener(tmp_path / "b.mp4", FAST), NearestUpscaler())
    assert result.failure is None
    assert 2 <= result.report.written < 100
    assert len(read_back(tmp_path / "b.mp4").times) == result.report.written


def test_failing_sink_ends_the_capture(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(pts=tuple(range(500))))

    class Full:
        name, notes = "full", []

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *error: object) -> None: ...

        def write(self, frame: Frame) -> None:
            raise OSError("no space left")

    begin = time.monotonic()
    with pytest.raises(OSError, match="no space left"):
        run_live(LiveSource(str(source)), lambda info: Full(), NearestUpscaler())
    assert time.monotonic() - begin < 5


def frame_at(pts: int, time_base: Fraction = Fraction(1, 1000)) -> Frame:
    return Frame((np.zeros((2, 2), np.uint8),), LAYOUTS["gray"], pts, 40, time_base)


def test_times_of_the_output_begin_at_0_and_never_go_back() -> None:
    info = raw_info(2, 2, LAYOUTS["gray"], Fraction(25))
    timeline = Timeline(info)
    ticks = Fraction(1, 25)
    assert [timeline.place(frame_at(n, ticks)).pts for n in (90, 91, 95)] == [0, 1, 5]
    # The source jumps back and goes on.
    assert [timeline.place(frame_at(n, ticks)).pts for n in (3, 4, 6)] == [6, 7, 9]
    timeline.restart(2.0)
    assert [timeline.place(frame_at(n, ticks)).pts for n in (1000, 1001)] == [59, 60]
    assert timeline.place(frame_at(1002, ticks)).time_base == ticks


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("/dev/video0", "device"),
        ("rtsp://host/x", "url"),
        ("udp://127.0.0.1:5", "url"),
        ("a.mp4", "file"),
    ],
)
def test_kinds_of_sources(source: str, kind: str) -> None:
    assert kind_of_source(source) == kind


def test_password_is_not_shown() -> None:
    assert shown_name("rtsp://me:secret@cam/1") == "rtsp://***@cam/1"
    assert shown_name("rtsp://cam/1?a=b@c") == "rtsp://cam/1?a=b@c"


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def camera(url: str, frames: int, times: int = 1) -> Iterator[None]:
    """Another process, as both ends of one connection would wait for each other in one."""
    command = [sys.executable, str(ROOT / "tests" / "support" / "send_stream.py"), url]
    process = subprocess.Popen([*command, str(frames), str(times)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "READ_TIMEOUT_S", 1.2)
    monkeypatch.setattr(live_source, "RETRY_PAUSE_S", 0.1)


def need_protocol(protocol: str) -> None:
    try:
        av.open(f"{protocol}://127.0.0.1:1", timeout=0.1).close()
    except av.error.ProtocolNotFoundError:
        pytest.skip(f"this build of PyAV has no {protocol}")
    except av.error.FFmpegError:
        pass


@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize("protocol", ["udp", "tcp", "rtsp"])
def test_network_stream_is_written_and_its_end_is_a_failure(tmp_path: Path, protocol: str) -> None:
    need_protocol(protocol)
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    port = free_port(kind)
    listening = "?listen=1" if protocol == "tcp" else ""
    chosen = {"analyzeduration": "300000"}
    if protocol == "rtsp":
        chosen |= {"rtsp_flags": "listen", "listen_timeout": "5"}
    options = LiveOptions(budget_s=1.0, capture=CaptureOptions(chosen))
    url = f"{protocol}://127.0.0.1:{port}"
    with camera(url, 40):
        result, _ = play(url + listening, tmp_path / "b.mkv", NearestUpscaler(), options)
    assert result.failure is not None
    assert f"{protocol}://127.0.0.1:{port}" in result.failure
    assert result.report.captured == result.report.written + result.report.dropped
    assert result.report.written >= 20
    times = read_back(tmp_path / "b.mkv").times
    assert len(times) == result.report.written
    assert 0 <= times[0] < 1
    assert times == sorted(set(times))


@pytest.mark.usefixtures("short_timeouts")
def test_source_that_comes_back_goes_on_in_the_same_file(tmp_path: Path) -> None:
    need_protocol("tcp")
    port = free_port(socket.SOCK_STREAM)
    url = f"tcp://127.0.0.1:{port}"
    said: list[str] = []

    with camera(url, 25, times=2):
        # After the second time there is nobody to listen to.
        live = LiveSource(
            f"{url}?listen=1&listen_timeout=2000",
            LiveOptions(
                budget_s=2.0, reconnect=1, capture=CaptureOptions({"analyzeduration": "300000"})
            ),
            say=said.append,
        )
        result = run_live(live, sink_opener(tmp_path / "b.mkv", FAST), NearestUpscaler())
    assert result.reconnects == 1
    assert result.failure is not None
    assert len(said) == 2
    assert "opening it again" in said[0]
    times = read_back(tmp_path / "b.mkv").times
    assert len(times) == result.report.written >= 30
    assert times == sorted(set(times))
    assert max(np.diff([float(t) for t in times])) < 5


def test_silence_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    need_protocol("udp")
    monkeypatch.setattr(capture_module, "OPEN_TIMEOUT_S", 0.2)
    port = free_port(socket.SOCK_DGRAM)
    with pytest.raises(OSError, match=rf"udp://127.0.0.1:{port} sends nothing within 0.2 s"):
        LiveSource(f"udp://127.0.0.1:{port}")


def test_playlist_cannot_name_local_files(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.ts", Clip(options={"preset": "ultrafast"}))
    playlist = (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:1,\nfile://{tmp_path}/a.ts\n#EXT-X-ENDLIST\n"
    )
    body = playlist.encode()
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        for _ in range(3):
            client, _ = server.accept()
            client.recv(65536)
            head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            client.close()

    threading.Thread(target=answer, daemon=True).start()
    with pytest.raises((OSError, ValueError), match=r"127\.0\.0\.1"):
        LiveSource(f"http://127.0.0.1:{server.getsockname()[1]}/live.m3u8")
    server.close()


def start(*args: object) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "runtime.upscale", "--live", *map(str, args)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_a_live_run_with_a_finished_file(
    tmp_path: Path, bundle: Path, number: int
) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip(pts=tuple(range(2000))))
    process = start(source, tmp_path / "b.mkv", "--bundle", bundle, "--preset", "ultrafast")
    assert process.stderr is not None
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob(".b.*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.6)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    result: dict[str, Any] = json.loads(out)
    assert len(read_back(tmp_path / "b.mkv").times) == result["frames"] >= 3
    assert set(result["latency_ms"]) == {"p50", "p99"}
    assert result["captured"] == result["frames"] + result["dropped"]
    assert b"live  captured" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mkv"]


def test_live_into_a_pipe(tmp_path: Path, bundle: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", Clip())
    process = start(source, "-", "--bundle", bundle, "--json", "--latency-budget", 5000)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert out.startswith(b"YUV4MPEG2 W64 H48 F25:1")
    assert out.count(b"FRAME\n") == json.loads(err)["frames"] == 12


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("none.mp4", "b.mp4"), "none.mp4 does not exist"),
        (("/dev/video99", "b.mp4"), "/dev/video99 does not exist"),
        (("/dev/null", "b.mp4"), "/dev/null cannot be opened as a camera"),
        (("tcp://me:secret@127.0.0.1:1", "b.mp4"), "tcp://***@127.0.0.1:1 cannot be opened"),
        (("nonsense://x", "b.mp4"), "nonsense://x cannot be opened: Protocol not found"),
        (("a.mp4", "a.mp4"), "is the input itself"),
        (("a.mp4", "old.mp4"), "exists; pass --overwrite"),
        (("a.mp4", "b.avi"), "does not end in one of"),
        (("a.mp4", "preview"), "there is no display for the preview"),
        (("a.mp4", "b.mp4", "--rate", "25"), "--raw-input and --rate are not for --live"),
    ],
)
def test_what_cannot_be_played_is_one_clear_error(
    tmp_path: Path,
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    message: str,
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "a.mp4", Clip())
    (tmp_path / "old.mp4").touch()
    code = upscale.main(["--live", *args, "--bundle", str(bundle), "--quiet"])
    err = capsys.readouterr().err
    assert (code, err.count("\n")) == (1, 1)
    assert message in err
    assert not (tmp_path / "b.mp4").exists()


@pytest.mark.parametrize(
    "option",
    [
        ("--latency-budget", "0"),
        ("--latency-budget", "x"),
        ("--source-option", "x"),
        ("--reconnect", "x"),
    ],
)
def test_wrong_option_is_misuse(option: tuple[str, str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        upscale.main(["--live", "a.mp4", "b.mp4", *option])


@pytest.mark.parametrize(
    "option", [("--latency-budget", "100"), ("--source-option", "a=b"), ("--reconnect", "1")]
)
def test_live_options_without_live_are_misuse(option: tuple[str, str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        upscale.main(["a.mp4", "b.mp4", *option])
