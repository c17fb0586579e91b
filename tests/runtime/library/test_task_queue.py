"""The queue of a cluster's tasks, over a stand-in for Ray."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest

from runtime.library.task_queue import TaskQueue


class _Cluster:
    """In the place of Ray: tasks wait until the test lets them end."""

    class exceptions:  # noqa: N801
        RayError = type("RayError", (Exception,), {})
        RayTaskError = type("RayTaskError", (RayError,), {})

    def __init__(self) -> None:
        self.running: list[Any] = []
        self.done: dict[Any, Any] = {}
        self.cancelled: list[Any] = []
        self.is_lost = False

    def start(self, function: Any) -> Any:
        cluster = self

        class Remote:
            @staticmethod
            def remote(name: str) -> str:
                cluster.running.append(name)
                return name

        return Remote

    def wait(self, names: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        if self.is_lost:
            raise self.exceptions.RayError("node 1 is gone\nlong story")
        time.sleep(0.001)
        return [name for name in names if name in self.done][:1], []

    def get(self, name: Any) -> Any:
        return self.done[name]

    def cancel(self, name: Any) -> None:
        self.cancelled.append(name)


def queue_of(cluster: _Cluster) -> TaskQueue:
    return TaskQueue(cluster, cluster.start, lambda: 1)


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_tasks_of_the_first_file_come_first_and_few_at_a_time() -> None:
    cluster = _Cluster()
    queue = queue_of(cluster)
    futures: dict[str, Future[Any]] = {}
    for number, name in ((2, "c1"), (2, "c2"), (2, "c3"), (0, "a1"), (1, "b1"), (0, "a2")):
        futures[name] = queue.submit(number, str, name)
        if name == "c2":
            wait_for(lambda: len(cluster.running) == 2)
    for name in ("c1", "c2", "a1", "a2", "b1", "c3"):
        wait_for(lambda name=name: name in cluster.running)
        assert len(cluster.running) - len(cluster.done) <= 2
        cluster.done[name] = name.upper()
        assert futures[name].result(5) == name.upper()
    assert cluster.running == ["c1", "c2", "a1", "a2", "b1", "c3"]
    queue.close()


def test_cancelled_task_does_not_run_and_a_running_one_is_ended() -> None:
    cluster = _Cluster()
    queue = queue_of(cluster)
    futures = [queue.submit(0, str, name) for name in "abc"]
    wait_for(lambda: len(cluster.running) == 2)
    futures[2].cancel()
    futures[0].cancel()
    wait_for(lambda: cluster.cancelled == ["a"])
    cluster.done["b"] = "B"
    assert futures[1].result(5) == "B"
    queue.close()
    assert cluster.running == ["a", "b"]


def test_closed_queue_tells_all_who_wait() -> None:
    cluster = _Cluster()
    queue = queue_of(cluster)
    futures = [queue.submit(0, str, name) for name in "abc"]
    wait_for(lambda: len(cluster.running) == 2)
    queue.close()
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(5)
    assert cluster.cancelled == ["a", "b"]
    with pytest.raises(CancelledError):
        queue.submit(0, str, "d")


def test_lost_cluster_is_one_clear_error() -> None:
    cluster = _Cluster()
    cluster.is_lost = True
    queue = queue_of(cluster)
    future = queue.submit(0, str, "a")
    with pytest.raises(RuntimeError, match=r"the cluster lost a task .*: node 1 is gone$"):
        future.result(5)
    with pytest.raises(RuntimeError, match="node 1 is gone"):
        queue.submit(0, str, "b")
    queue.close()
