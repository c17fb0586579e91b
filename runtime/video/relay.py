"""Three stages of work that overlap in threads over bounded queues."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Source = TypeVar("Source")
Result = TypeVar("Result")
Value = TypeVar("Value")

POLL_S = 0.05


class _Stopped(Exception):  # noqa: N818 - a signal, not an error
    """Another stage has ended the run."""


class _End:
    """Marks the end of a queue."""


class _Relay(Generic[Value]):
    """A bounded queue whose both ends give up once the run is stopped."""

    def __init__(self, depth: int, stop: threading.Event) -> None:
        self._queue: queue.Queue[Value | _End] = queue.Queue(depth)
        self._stop = stop

    def put(self, value: Value | _End) -> None:
        while not self._stop.is_set():
            try:
                return self._queue.put(value, timeout=POLL_S)
            except queue.Full:
                continue
        raise _Stopped

    def __iter__(self) -> Iterator[Value]:
        while not self._stop.is_set():
            try:
                value = self._queue.get(timeout=POLL_S)
            except queue.Empty:
                continue
            if isinstance(value, _End):
                return
            yield value
        raise _Stopped


def run_stages(
    produce: Iterable[Source],
    transform: Callable[[Source], Result],
    consume: Callable[[Result], None],
    *,
    depth: int = 4,
) -> None:
    """Give each produced value through ``transform`` to ``consume``, in order.

    ``produce`` and ``consume`` run in a thread each, ``transform`` in the caller's. At most
    ``depth`` values wait between two stages. The first error of any stage stops all and is raised
    once the threads have ended, as is KeyboardInterrupt.
    """
    stop = threading.Event()
    errors: list[BaseException] = []
    inward: _Relay[Source] = _Relay(depth, stop)
    outward: _Relay[Result] = _Relay(depth, stop)

    def read() -> None:
        for value in produce:
            inward.put(value)
        inward.put(_End())

    def write() -> None:
        for result in outward:
            consume(result)

    def work() -> None:
        for value in inward:
            outward.put(transform(value))
        outward.put(_End())

    def guarded(stage: Callable[[], None]) -> None:
        try:
            stage()
        except _Stopped:
            pass
        except BaseException as error:
            errors.append(error)
            stop.set()

    threads = [threading.Thread(target=guarded, args=(stage,)) for stage in (read, write)]
    for thread in threads:
        thread.start()
    guarded(work)
    _join(threads, errors, stop)
    if errors:
        raise errors[0]


def _join(
    threads: list[threading.Thread], errors: list[BaseException], stop: threading.Event
) -> None:
    """Wait for the threads; an interrupt in the meantime stops them too."""
    for thread in threads:
        while thread.is_alive():
            try:
                thread.join()
            except KeyboardInterrupt as interrupt:
                errors.append(interrupt)
                stop.set()
