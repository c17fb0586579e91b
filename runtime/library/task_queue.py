"""Tasks for a Ray cluster in the order of their files, a bounded number of them handed out."""

from __future__ import annotations

import threading
from bisect import insort
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

# A worker that dies, as its machine may, gets its task as many times again.
MAX_RETRIES = 3
# Tasks that are handed to the cluster for each one that can run.
TASKS_PER_SLOT = 2
POLL_S = 0.1


class TaskQueue:
    """Tasks of all files, those of a lower number first; a bounded number is with the cluster."""

    def __init__(self, ray: Any, remote: Any, slots: Callable[[], int]) -> None:
        self._ray, self._remote, self._slots = ray, remote, slots
        self._functions: dict[Callable[..., Any], Any] = {}
        self._changed = threading.Condition()
        self._order = count()
        # Number of the file, place in the queue, what to run.
        self._waiting: list[tuple[int, int, _Task]] = []
        self._running: dict[Any, Future[Any]] = {}
        self._is_closed = False
        # Why nothing more is taken once this is closed.
        self._reason: BaseException = CancelledError()
        self._thread = threading.Thread(target=self._dispatch, daemon=True)
        self._thread.start()

    def submit(self, number: int, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Run a function on the cluster; it may be cancelled even while it runs."""
        task = _Task(function, args, Future())
        with self._changed:
            if self._is_closed:
                raise self._reason
            insort(self._waiting, (number, next(self._order), task))
            self._changed.notify()
        return task.future

    def close(self) -> None:
        """Cancel all tasks."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _dispatch(self) -> None:
        try:
            while self._has_work():
                self._start()
                self._collect()
        except Exception as error:
            self._reason = _clear_error(error, self._ray)
        self._end()

    def _has_work(self) -> bool:
        """Wait until there is something to do; False once this is closed."""
        with self._changed:
            while not (self._waiting or self._running or self._is_closed):
                self._changed.wait()
            return not self._is_closed

    def _start(self) -> None:
        # At least one, while nodes come and go.
        most = TASKS_PER_SLOT * max(self._slots(), 1)
        while len(self._running) < most:
            with self._changed:
                if not self._waiting:
                    return
                task = self._waiting.pop(0)[2]
            if not task.future.cancelled():
                function = self._functions.get(task.function)
                if function is None:
                    function = self._functions[task.function] = self._remote(task.function)
                self._running[function.remote(*task.args)] = task.future

    def _collect(self) -> None:
        for reference in [ref for ref, future in self._running.items() if future.cancelled()]:
            self._running.pop(reference)
            self._ray.cancel(reference)
        if not self._running:
            return
        ready, _ = self._ray.wait(list(self._running), timeout=POLL_S)
        for reference in ready:
            future = self._running.pop(reference)
            if future.set_running_or_notify_cancel():
                self._settle(future, reference)

    def _settle(self, future: Future[Any], reference: Any) -> None:
        try:
            value = self._ray.get(reference)
        except Exception as error:
            future.set_exception(_clear_error(error, self._ray))
        else:
            future.set_result(value)

    def _end(self) -> None:
        """Tell all who wait that nothing more comes."""
        with self._changed:
            self._is_closed = True
            futures = [*self._running.values(), *(task.future for *_, task in self._waiting)]
        for reference in self._running:
            # The cluster itself may be what is gone.
            with suppress(self._ray.exceptions.RayError):
                self._ray.cancel(reference)
        for future in futures:
            if future.set_running_or_notify_cancel():
                future.set_exception(self._reason)


@dataclass(frozen=True)
class _Task:
    function: Callable[..., Any]
    args: tuple[Any, ...]
    future: Future[Any]


def _clear_error(error: BaseException, ray: Any) -> BaseException:
    """One line for what Ray tells at length; an error in the code of a task stays as it is."""
    if "No module named 'runtime" in str(error):
        return RuntimeError("the workers lack edge-sr; install this version of it on every node")
    is_in_task = isinstance(error, ray.exceptions.RayTaskError)
    if isinstance(error, ray.exceptions.RayError) and not is_in_task:
        lines = str(error).strip().splitlines()
        what = lines[0] if lines else type(error).__name__
        return RuntimeError(f"the cluster lost a task after {MAX_RETRIES} retries: {what}")
    return error
