"""The plan of a bundle's graph for this machine: from the cache, or built and kept there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runtime.backends.cuda_driver import cuda_driver
from runtime.backends.tensorrt_library import import_tensorrt
from runtime.backends.tensorrt_plan import (
    BuiltPlan,
    PlanOptions,
    Profile,
    ProgressCallback,
    build_plan,
)
from runtime.manifest import Manifest, verify_file
from runtime.plan_cache import PlanCache, PlanKey

_log = logging.getLogger("edge_sr.tensorrt")


@dataclass(frozen=True)
class PlanRequest:
    """A graph file of a bundle for some input shapes.

    ``options`` None takes the youngest plan in the cache, however it was built, or else builds with
    the defaults.
    """

    bundle: Path
    manifest: Manifest
    name: str
    profile: Profile
    options: PlanOptions | None = None

    def facts(self) -> dict[str, Any]:
        """What identifies it in the cache."""
        profile = self.profile
        return {
            "model": self.manifest.model,
            "scale": self.manifest.scale,
            "graph": self.name,
            "sha256": self.manifest.files[self.name].sha256,
            "shapes": [list(x) for x in (profile.smallest, profile.likeliest, profile.largest)],
        }


@dataclass(frozen=True)
class Plan:
    """A plan, where it is kept (None if the cache cannot be written), and how it was built.

    ``built`` is None for a plan from the cache; ``reason`` says why one there was not taken.
    """

    data: bytes
    options: PlanOptions
    path: Path | None
    built: BuiltPlan | None
    reason: str = ""


def machine_facts() -> dict[str, str]:
    """What a plan is bound to. UnsupportedError without TensorRT or a GPU."""
    facts = cuda_driver().facts()
    return {
        "gpu": facts.name,
        "compute capability": facts.compute_capability,
        "CUDA": facts.cuda,
        "driver": facts.driver,
        "TensorRT": release_of(import_tensorrt().__version__),
    }


def release_of(version: str) -> str:
    """The three numbers of a version, as the C library knows it: wheels add a build to them."""
    return ".".join(version.split(".")[:3])


def is_cached(request: PlanRequest, cache: PlanCache) -> bool:
    """Whether the cache holds an intact plan for this machine, of any options."""
    return cache.newest(request.facts(), machine_facts()) is not None


def plan_of(
    request: PlanRequest,
    cache: PlanCache,
    *,
    starting: Callable[[], None] = lambda: None,
    progress: ProgressCallback | None = None,
    rebuild: bool = False,
) -> Plan:
    """The plan of a graph, built if it must be; errors as :func:`build_plan`.

    ``starting`` is called before a build. Processes that want the same plan wait for the first one
    to build it. A cache that cannot be written costs a warning, not the plan.
    """
    graph = verify_file(request.bundle, request.name, request.manifest)
    machine = machine_facts()
    options = request.options or _options_of_newest(request, machine, cache) or PlanOptions()
    key = PlanKey(request.facts(), asdict(options), machine)

    def build(reason: str = "") -> Plan:
        starting()
        tactics = cache.timing_cache(machine)
        built = build_plan(graph, request.profile, options, timing_cache=tactics, progress=progress)
        return Plan(built.plan, options, _keep(cache, key, built), built, reason)

    found = cache.load(key)
    if found.plan is not None and not rebuild:
        return Plan(found.plan, options, cache.path_of(key), None)
    with ExitStack() as lock:
        try:
            lock.enter_context(cache.locked(key))
        except OSError:
            return build()
        found = cache.load(key)  # another process may have built it meanwhile
        if found.plan is not None and not rebuild:
            return Plan(found.plan, options, cache.path_of(key), None)
        reason = "it was asked for" if rebuild else found.reason
        if reason:
            _log.warning("building the plan again: %s", reason)
        return build(reason)


def _options_of_newest(
    request: PlanRequest, machine: dict[str, str], cache: PlanCache
) -> PlanOptions | None:
    key = cache.newest(request.facts(), machine)
    try:
        return None if key is None else PlanOptions(**key.options)
    except (TypeError, ValueError):
        return None  # of another release, which had other options


def _keep(cache: PlanCache, key: PlanKey, built: BuiltPlan) -> Path | None:
    """Store a plan; a full disk does not lose what was built."""
    try:
        cache.store_timing_cache(key.machine, built.timing_cache)
        return cache.store(key, built.plan)
    except OSError as error:
        _log.warning("the plan is not kept: %s", error)
        return None
