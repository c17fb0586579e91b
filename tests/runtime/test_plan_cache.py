from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path

import pytest

from runtime.plan_cache import PlanCache, PlanKey, default_folder

REQUEST = {"graph": "model.int8.onnx", "sha256": "0" * 64, "shapes": [[1, 360, 640]]}
MACHINE = {"gpu": "Orin", "driver": "540.4", "TensorRT": "10.3.0"}


def key(level: int = 3, **machine: str) -> PlanKey:
    return PlanKey(REQUEST, {"level": level}, MACHINE | machine)


@pytest.fixture
def cache(tmp_path: Path) -> PlanCache:
    return PlanCache(tmp_path / "plans")


def test_a_plan_comes_back(cache: PlanCache) -> None:
    cache.store(key(), b"plan")

    assert cache.load(key()).plan == b"plan"
    assert cache.load(key(level=5)).plan is None


def test_nothing_built_yet_needs_no_reason(cache: PlanCache) -> None:
    found = cache.load(key())

    assert found.plan is None
    assert found.reason == ""


def test_other_options_are_another_plan(cache: PlanCache) -> None:
    cache.store(key(), b"three")
    cache.store(key(level=5), b"five")

    assert cache.load(key()).plan == b"three"
    assert cache.load(key(level=5)).plan == b"five"


def test_a_plan_of_another_machine_is_named_as_stale(cache: PlanCache) -> None:
    cache.store(key(), b"plan")

    found = cache.load(key(driver="560.35", TensorRT="10.13.3"))

    assert found.plan is None
    assert "TensorRT is 10.13.3, was 10.3.0" in found.reason
    assert "driver is 560.35, was 540.4" in found.reason


def test_newest_plan_of_any_options_is_found(cache: PlanCache) -> None:
    cache.store(key(), b"three")
    time.sleep(0.02)
    cache.store(key(level=5), b"five")
    cache.store(key(level=1, driver="other"), b"foreign")

    newest = cache.newest(REQUEST, MACHINE)

    assert newest is not None
    assert newest.options == {"level": 5}
    assert cache.newest(REQUEST, {"gpu": "none"}) is None


DAMAGES = {
    "truncated": lambda plan: plan.write_bytes(plan.read_bytes()[:-1]),
    "changed": lambda plan: plan.write_bytes(b"x" + plan.read_bytes()[1:]),
    "no facts": lambda plan: plan.with_suffix(".json").unlink(),
    "no JSON": lambda plan: plan.with_suffix(".json").write_text("{"),
    "no object": lambda plan: plan.with_suffix(".json").write_text("[]"),
    "other facts": lambda plan: _change_facts(plan),
}


def _change_facts(plan: Path) -> None:
    path = plan.with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"options": {"level": 0}}))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_plan_is_not_taken_and_the_reason_says_so(cache: PlanCache, damage: str) -> None:
    DAMAGES[damage](cache.store(key(), b"plan"))

    found = cache.load(key())

    assert found.plan is None
    assert "damaged" in found.reason
    assert cache.newest(REQUEST, MACHINE) is None
    assert cache.entries()[0].damage


def test_a_damaged_plan_is_replaced(cache: PlanCache) -> None:
    cache.store(key(), b"plan").write_bytes(b"")
    cache.store(key(), b"plan")

    assert cache.load(key()).plan == b"plan"


def test_nothing_half_written_stays(cache: PlanCache) -> None:
    cache.store(key(), b"plan")

    names = sorted(path.name for path in cache.folder.iterdir())
    assert names == [f"{key().stem}.json", f"{key().stem}.plan"]


def test_remove_takes_all_of_an_entry(cache: PlanCache) -> None:
    cache.store(key(), b"plan")
    with cache.locked(key()):
        pass
    (entry,) = cache.entries()

    assert cache.remove(entry) > len(b"plan")
    assert list(cache.folder.iterdir()) == []


def test_tactics_are_shared_by_a_machine_s_plans(cache: PlanCache) -> None:
    assert cache.timing_cache(MACHINE) == b""

    cache.store_timing_cache(MACHINE, b"tactics")

    assert cache.timing_cache(MACHINE) == b"tactics"
    assert cache.timing_cache(MACHINE | {"gpu": "other"}) == b""
    assert cache.remove_timing_caches() == len(b"tactics")


def _build_under_lock(folder: Path, built: Path) -> None:
    cache = PlanCache(folder)
    with cache.locked(key()):
        if cache.load(key()).plan is None:
            with built.open("a") as log:
                log.write("built\n")
            time.sleep(0.2)
            cache.store(key(), b"plan")


def test_processes_that_want_the_same_plan_build_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    arguments = (tmp_path / "plans", tmp_path / "log")
    workers = [context.Process(target=_build_under_lock, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)

    assert (tmp_path / "log").read_text() == "built\n"


def test_folder_is_in_the_user_s_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "edge-sr" / "plans"

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "edge-sr" / "plans"
