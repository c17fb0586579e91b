"""A live source upscaled as it comes: late frames are dropped, the delay is measured."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from runtime.streams.frame_queue import Captured
from runtime.streams.latency import LatencyCounter
from runtime.streams.live_source import LiveSource
from runtime.streams.stream import OpenSink
from runtime.video.frame import Frame
from runtime.video.frame_upscaler import FrameStages, PlaneUpscaler, Prepared, frame_stages
from runtime.video.pipeline import VideoOptions, notes_on, output_info
from runtime.video.relay import run_stages

REPORT_INTERVAL_S = 5.0
POLL_S = 0.05
# Times of this many frames tell how long the next will take.
RECENT_FRAMES = 8


@dataclass(frozen=True)
class LiveReport:
    """Where a live run stands; latencies in milliseconds, None before the first frame."""

    captured: int
    written: int
    dropped: int
    p50_ms: float | None
    p99_ms: float | None

    def __str__(self) -> str:
        counts = f"captured {self.captured}  written {self.written}  dropped {self.dropped}"
        return f"{counts}  latency p50 {self.p50_ms} ms  p99 {self.p99_ms} ms"


@dataclass(frozen=True)
class LiveResult:
    """What a live run came to; ``failure`` says why the source ended, if it should not have."""

    report: LiveReport
    damaged: int
    reconnects: int
    width: int
    height: int
    encoder: str
    failure: str | None
    notes: tuple[str, ...]


def run_live(
    source: LiveSource,
    open_sink: OpenSink,
    upscaler: PlaneUpscaler,
    options: VideoOptions | None = None,
    *,
    on_report: Callable[[LiveReport], None] = lambda report: None,
) -> LiveResult:
    """Upscale ``source`` until it ends or is stopped; the output is finished in either case.

    ``on_report`` is told every few seconds about the time since the last report.
    """
    info = output_info(source.info, upscaler.scale, options or VideoOptions())
    work = frame_stages(source.info, info, upscaler)
    run = _Run(source, work, upscaler.max_concurrency, on_report)
    try:
        _warm_up(work)
        with open_sink(info) as sink:
            source.start()
            run_stages(
                run.prepared(),
                run.upscale,
                lambda item: run.write(item, sink.write),
                depth=1,
                workers=upscaler.max_concurrency,
                on_stop=source.stop,
            )
            if not run.written:
                raise ValueError(source.failure or f"{source.name} was stopped before a frame came")
    finally:
        source.join()
    source.queue.discard()
    return LiveResult(
        report=run.report(run.total),
        damaged=source.damaged,
        reconnects=source.reconnects,
        width=info.width,
        height=info.height,
        encoder=sink.name,
        failure=source.failure,
        notes=(*notes_on(source.info, info), *source.notes, *sink.notes),
    )


_Prepared = tuple[Prepared, "_Ticket"]


@dataclass(frozen=True)
class _Ticket:
    """When a frame came, and when its turn came."""

    arrival_s: float
    turn_s: float


class _Run:
    """Frames of one run on their way.

    A frame is taken from the queue only when it can be upscaled at once, so that those which wait
    can still be dropped; at most one upscaled frame waits for the sink.
    """

    def __init__(
        self,
        source: LiveSource,
        work: FrameStages,
        workers: int,
        on_report: Callable[[LiveReport], None],
    ) -> None:
        self.written = 0
        self.total, self._recent = LatencyCounter(), LatencyCounter()
        self._source, self._work, self._on_report = source, work, on_report
        self._upscaling = threading.Semaphore(workers)
        self._unwritten = threading.Semaphore(workers + 1)
        self._work_s: deque[float] = deque(maxlen=RECENT_FRAMES)
        self._reported_s = time.monotonic()

    def prepared(self) -> Iterator[_Prepared]:
        """Frames whose turn it is, as the network takes them."""
        while self._acquire(self._upscaling) and self._acquire(self._unwritten):
            captured = self._take()
            if captured is None:
                return
            ticket = _Ticket(captured.arrival_s, time.monotonic())
            yield self._work.prepare(captured.frame), ticket

    def upscale(self, item: _Prepared) -> tuple[Frame, _Ticket]:
        """A frame through the network."""
        prepared, ticket = item
        frame = self._work.upscale(prepared)
        self._upscaling.release()
        return frame, ticket

    def write(self, item: tuple[Frame, _Ticket], write: Callable[[Frame], None]) -> None:
        """Hand a frame to the sink and measure its delay."""
        frame, ticket = item
        write(self._work.finish(frame))
        now = time.monotonic()
        self._work_s.append(now - ticket.turn_s)
        self._unwritten.release()
        self.written += 1
        for counter in (self.total, self._recent):
            counter.add(now - ticket.arrival_s)
        if now - self._reported_s >= REPORT_INTERVAL_S:
            self._on_report(self.report(self._recent))
            self._recent, self._reported_s = LatencyCounter(), now

    def report(self, counter: LatencyCounter) -> LiveReport:
        """Where the run stands, with the latencies of ``counter``."""
        return LiveReport(
            self._source.captured,
            self.written,
            self._source.queue.dropped,
            counter.percentile_ms(50),
            counter.percentile_ms(99),
        )

    def _take(self) -> Captured | None:
        queue = self._source.queue
        while not (self._source.stopped.is_set() or queue.is_finished):
            captured = queue.take(max(tuple(self._work_s), default=0.0), POLL_S)
            if captured is not None:
                return captured
        return None

    def _acquire(self, permits: threading.Semaphore) -> bool:
        while not self._source.stopped.is_set():
            if permits.acquire(timeout=POLL_S):
                return True
        return False


def _warm_up(work: FrameStages) -> None:
    """Run the network once, as its first frame takes longer than the others."""
    layout, size = work.source.layout, work.source.size
    dtype = np.uint8 if layout.bit_depth == 8 else np.uint16
    sizes = [size, *([layout.chroma_size(*size)] * 2 if layout.subsampling[0] else [])]
    planes = tuple(np.zeros((height, width), dtype) for width, height in sizes)
    work.upscale(work.prepare(Frame(planes, layout, 0, 1, work.source.time_base)))
