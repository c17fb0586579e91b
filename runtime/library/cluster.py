"""Upscale on a Ray cluster: parts of videos go to its workers, what they encode comes back."""

from __future__ import annotations

import logging
import math
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from runtime.atomic import written_beside
from runtime.library.cluster_worker import (
    EncodedSegment,
    EngineOrder,
    Expected,
    InputFile,
    describe_engine,
    encode_part,
    pack_bundle,
    picture_content,
)
from runtime.library.task_queue import MAX_RETRIES, TASKS_PER_SLOT, TaskQueue
from runtime.library.workplace import EngineFacts, EngineOptions, VideoOrder
from runtime.video.pipeline import (
    VideoJob,
    VideoProgress,
    VideoResult,
    fingerprint,
    plan_video,
    run_video,
)
from runtime.video.relay import StageLoad
from runtime.video.segments import SegmentSink

LOCAL = "local"
# So that opening the input and starting an encoder stay a small part of a task.
MIN_TASK_FRAMES = 100
# Frames encoded for each one that is decoded only to reach them.
FRAMES_PER_LEAD = 2
MOST_FILES_AT_ONCE = 32
# Ray ends a process that has a GPU after one task unless told a number; an endless one would keep a
# GPU that Ray has given to another process meanwhile.
TASKS_PER_GPU_PROCESS = 50
CONNECT_TIMEOUT_S = 5.0
_ADDRESS = re.compile(r"local|auto|(ray://)?[A-Za-z0-9._-]+:\d+")


@dataclass(frozen=True)
class ClusterOptions:
    """Which cluster, and what of it one task takes."""

    address: str = LOCAL
    cpus: float = 2
    gpus: float = 0


def check_address(text: str) -> str:
    """An address as Ray takes it. Raises ValueError."""
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"{text!r} is not local, auto, HOST:PORT or ray://HOST:PORT")
    return text


class Cluster:
    """A workplace whose tasks run on Ray; a context manager that leaves the cluster.

    Raises ValueError if Ray is not installed or no node suits a task, OSError if there is no
    cluster at the address.
    """

    def __init__(self, options: ClusterOptions, engine: EngineOptions) -> None:
        self._options = options
        threads = engine.threads or max(1, math.floor(options.cpus))
        self._engine_options = replace(engine, threads=threads)
        self._ray = _import_ray()
        self._is_own = not self._ray.is_initialized()
        if self._is_own:
            _join(self._ray, options.address)
        try:
            self._check_slots()
            self._queue = TaskQueue(self._ray, self._remote(), self._slots)
        except BaseException:
            self._leave()
            raise
        self._lock = threading.Lock()
        self._engines: dict[Path, _RemoteEngine] = {}

    @property
    def files_at_once(self) -> int:
        """How many files may be worked on at the same time."""
        return min(TASKS_PER_SLOT * max(self._slots(), 1), MOST_FILES_AT_ONCE)

    def facts(self, bundle: Path) -> EngineFacts:
        """What the engine of a bundle is, on the worker that was asked first."""
        return self._engine(bundle).expected.engine

    def upscale_picture(self, bundle: Path, source: Path, target: Path) -> tuple[int, int]:
        """One picture; returns its width and height."""
        engine = self._engine(bundle)
        file = _input_file(source)
        future = self._queue.submit(
            0, picture_content, engine.order, engine.expected, file, target.absolute()
        )
        data, width, height = _result(future)
        with written_beside(target) as partial:
            partial.write_bytes(data)
        return width, height

    def upscale_video(
        self, bundle: Path, order: VideoOrder, progress: VideoProgress
    ) -> VideoResult:
        """One video: its parts to the workers, their packets to the journal."""
        engine = self._engine(bundle)

        def encode(
            job: VideoJob,
            runs: list[range],
            sink: SegmentSink,
            advance: Callable[[], None],
            load: StageLoad,  # which the workers do not tell
        ) -> None:
            file = _input_file(job.source)
            kept = self._ray.put(replace(job, source=file.path))
            pending = {
                self._queue.submit(
                    order.number, encode_part, engine.order, engine.expected, file, kept, segments
                )
                for segments in cut_tasks(job, runs)
            }
            try:
                for future in as_completed(tuple(pending)):
                    # Whoever keeps the future keeps the packets in memory.
                    pending.discard(future)
                    _collect(_result(future), sink, advance)
            finally:
                for future in pending:
                    future.cancel()

        scale, started = engine.expected.engine.scale, time.monotonic()
        return run_video(
            plan_video(order.source, order.target.suffix, scale, order.options),
            order.target,
            encode,
            engine=engine.expected.engine.identity,
            resume=order.resume,
            progress=progress,
            started=started,
        )

    def stop(self) -> None:
        """End what other threads are at: their tasks are cancelled."""
        self._queue.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._queue.close()
        self._leave()

    def _engine(self, bundle: Path) -> _RemoteEngine:
        with self._lock:
            if bundle not in self._engines:
                order = EngineOrder(pack_bundle(bundle), self._engine_options)
                kept = self._ray.put(order)
                expected = _result(self._queue.submit(0, describe_engine, kept))
                self._engines[bundle] = _RemoteEngine(kept, expected)
            return self._engines[bundle]

    def _slots(self) -> int:
        """Tasks that can run at the same time now."""
        cpus, gpus = self._options.cpus, self._options.gpus
        slots = 0
        for node in self._ray.nodes():
            if node["Alive"]:
                has = node["Resources"]
                fits = [has.get("CPU", 0) / cpus] + ([has.get("GPU", 0) / gpus] if gpus else [])
                slots += math.floor(min(fits) + 1e-6)
        return slots

    def _check_slots(self) -> None:
        if not self._slots():
            raise ValueError(
                f"no node of the cluster has {self._options.cpus:g} CPUs and "
                f"{self._options.gpus:g} GPUs, which a task takes; lower --ray-cpus or --ray-gpus"
            )

    def _remote(self) -> Any:
        options: dict[str, Any] = {
            "num_cpus": self._options.cpus,
            "max_retries": MAX_RETRIES,
            "retry_exceptions": False,
        }
        if self._options.gpus:
            options |= {"num_gpus": self._options.gpus, "max_calls": TASKS_PER_GPU_PROCESS}
        return self._ray.remote(**options)

    def _leave(self) -> None:
        if self._is_own:
            self._ray.shutdown()


@dataclass(frozen=True)
class _RemoteEngine:
    """An engine that workers open; ``order`` lies in the cluster's store."""

    order: Any
    expected: Expected


def cut_tasks(job: VideoJob, runs: list[range]) -> Iterator[range]:
    """Consecutive segments for one task each.

    As few as give it enough frames beside those that it decodes only to reach its first one.
    """
    with job.open_reader() as reader:
        for run in runs:
            start = run.start
            while start < run.stop:
                frames = max(MIN_TASK_FRAMES, FRAMES_PER_LEAD * reader.lead(start))
                stop = min(start + math.ceil(frames / job.plan.length), run.stop)
                yield range(start, stop)
                start = stop


def _collect(
    segments: list[EncodedSegment], sink: SegmentSink, advance: Callable[[], None]
) -> None:
    for segment in segments:
        sink.add(segment.number, segment.packets)
        sink.finish(segment.number, segment.end)
        for _ in range(segment.end.frames):
            advance()


def _input_file(path: Path) -> InputFile:
    return InputFile(path.absolute(), fingerprint(path))


def _result(future: Future[Any]) -> Any:
    """What a task gave; an error that it returned is raised."""
    value = future.result()
    if isinstance(value, Exception):
        raise value
    return value


def _import_ray() -> Any:
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Read when it is loaded: no figures to its makers unless asked for.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ValueError(
            f'--ray needs Ray, the extra "cluster": pip install "edge-sr[cluster]" ({error})'
        ) from error
    return ray


def _join(ray: Any, address: str) -> None:
    """Start a cluster on this machine, or join another."""
    _check_reachable(address)
    options: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
    with _kept_signals():
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError, ImportError) as error:
            lines = str(error).strip().splitlines()
            reason = lines[0] if lines else type(error).__name__
            raise OSError(f"no Ray cluster at {address}: {reason}") from error


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes."""
    if address in (LOCAL, "auto"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise OSError(f"no Ray cluster at {address}: {error}") from error


@contextmanager
def _kept_signals() -> Iterator[None]:
    """Ray replaces what SIGTERM does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
