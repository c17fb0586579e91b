"""Three stages of work that overlap in threads over bounded queues."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

Source = TypeVar("Source")
Result = TypeVar("Result")
Value = TypeVar("Value")

# How often a waiting stage looks whether another one has failed.
POLL_S = 0.05


class StageLoad:
    """How busy the stages of a pipeline are: 1 is a stage that never waits."""

    def __init__(self, *names: str) -> None:
        self._busy_s = dict.fromkeys(names, 0.0)
        self._names = names
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def shares(self) -> dict[str, float]:
        """Part of the time so far that each stage was at work, by its name; none if none was."""
        if not any(self._busy_s.values()):
            return {}
        elapsed = max(time.monotonic() - self._start, 1e-9)
        return {name: min(busy / elapsed, 1.0) for name, busy in self._busy_s.items()}

    def timed(
        self, stage: int, work: Callable[[Source], Result], *, workers: int = 1
    ) -> Callable[[Source], Result]:
        """The same work, counted for a stage that has ``workers``."""
        name = self._names[stage]

        def run(value: Source) -> Result:
            start = time.monotonic()
            try:
                return work(value)
            finally:
                with self._lock:
                    self._busy_s[name] += (time.monotonic() - start) / workers

        return run

    def timed_values(self, stage: int, values: Iterable[Source]) -> Iterator[Source]:
        """The same values; the time that each takes to come is counted for a stage."""
        source = iter(values)
        pull = self.timed(stage, lambda _: next(source, _End()))
        while not isinstance(value := pull(None), _End):
            yield value


def run_stages(
    produce: Iterable[Source],
    transform: Callable[[Source], Result],
    consume: Callable[[Result], None],
    *,
    depth: int = 4,
    workers: int = 1,
    load: StageLoad | None = None,
    on_stop: Callable[[], None] = lambda: None,
) -> None:
    """Give each produced value through ``transform`` to ``consume``, in order.

    ``produce`` and ``consume`` run in a thread each, ``transform`` in the caller's, or on
    ``workers`` values at a time in threads of their own. At most ``depth`` values wait between two
    stages. ``load``, of three names, is told how busy they are. The first error of any stage stops
    all and is raised once the threads have ended, as is KeyboardInterrupt; ``on_stop`` is called at
    once then, to end a wait of ``produce``.
    """
    load = load or StageLoad("produce", "transform", "consume")
    produce, consume = load.timed_values(0, produce), load.timed(2, consume)
    transform = load.timed(1, transform, workers=workers)
    run = _Run(on_stop)
    if workers == 1:
        _run_three(produce, transform, consume, depth, run)
    else:
        with ThreadPoolExecutor(workers) as pool:
            started = (pool.submit(transform, value) for value in produce)
            _run_three(started, Future.result, consume, max(depth, workers), run)
    if run.errors:
        raise run.errors[0]


def _run_three(
    produce: Iterable[Source],
    transform: Callable[[Source], Result],
    consume: Callable[[Result], None],
    depth: int,
    run: _Run,
) -> None:
    inward: _Relay[Source] = _Relay(depth, run.stop)
    outward: _Relay[Result] = _Relay(depth, run.stop)
    threads = [
        threading.Thread(target=run.guard, args=(lambda: inward.fill(produce),), daemon=True),
        threading.Thread(target=run.guard, args=(lambda: outward.drain(consume),), daemon=True),
    ]
    try:
        for thread in threads:
            thread.start()
        outward.fill(map(transform, inward))
    except _Stopped:
        pass
    except BaseException as error:
        run.fail(error)
    for thread in threads:
        run.join(thread)


class _Stopped(Exception):  # noqa: N818 - a signal, not an error
    """Another stage has ended the run."""


class _End:
    """Marks the end of a queue."""


class _Relay(Generic[Value]):
    """A bounded queue whose both ends give up once the run is stopped."""

    def __init__(self, depth: int, stop: threading.Event) -> None:
        self._queue: queue.Queue[Value | _End] = queue.Queue(depth)
        self._stop = stop

    def fill(self, values: Iterable[Value]) -> None:
        """Put all values, then the end."""
        for value in values:
            self._put(value)
        self._put(_End())

    def drain(self, consume: Callable[[Value], None]) -> None:
        """Hand on all values up to the end."""
        for value in self:
            consume(value)

    def __iter__(self) -> Iterator[Value]:
        while True:
            value = self._get()
            if isinstance(value, _End):
                return
            yield value

    def _put(self, value: Value | _End) -> None:
        while not self._stop.is_set():
            with suppress(queue.Full):
                return self._queue.put(value, timeout=POLL_S)
        raise _Stopped

    def _get(self) -> Value | _End:
        while not self._stop.is_set():
            with suppress(queue.Empty):
                return self._queue.get(timeout=POLL_S)
        raise _Stopped


class _Run:
    """What the stages of one run share."""

    def __init__(self, on_stop: Callable[[], None]) -> None:
        self._on_stop = on_stop
        self.stop = threading.Event()
        self.errors: list[BaseException] = []

    def guard(self, stage: Callable[[], None]) -> None:
        try:
            stage()
        except _Stopped:
            pass
        except BaseException as error:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        self.errors.append(error)
        self.stop.set()
        self._on_stop()

    def join(self, thread: threading.Thread) -> None:
        """Wait for a thread to end; an interrupt in the meantime stops the run."""
        try:
            if thread.ident is not None:
                thread.join()
        except KeyboardInterrupt as interrupt:
            self.fail(interrupt)
            self.join(thread)
