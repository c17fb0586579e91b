"""Engines that belong to one machine: TensorRT plans and its timing cache, under the user's cache.

An entry is ``<request>-<options>-<machine>.plan`` beside a ``.json`` that tells what it was built
from: digests of the graph and its shapes, of how it was built, and of GPU, driver and libraries.
So the plans for a request are found whatever their options, and one of another machine can be named
as stale.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.atomic import written_beside

LARGEST_PLAN = 1 << 30
TIMING_CACHE = "timing.cache"
_DIGEST_LENGTH = 16


@dataclass(frozen=True)
class PlanKey:
    """What a plan is of, how it was built, and the machine it is for; JSON values all."""

    request: Mapping[str, Any]
    options: Mapping[str, Any]
    machine: Mapping[str, Any]

    @property
    def stem(self) -> str:
        """File name of the entry, without suffix."""
        return "-".join(_digest(part) for part in (self.request, self.options, self.machine))


@dataclass(frozen=True)
class Entry:
    """A plan in the cache. ``damage`` says what is wrong with it, or is empty."""

    path: Path
    key: PlanKey
    bytes: int
    created: float
    damage: str = ""


@dataclass(frozen=True)
class Found:
    """A lookup: the plan, or None and ``reason``, one line."""

    plan: bytes | None
    reason: str = ""


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/edge-sr/plans``, in ``~/.cache`` if that is not set."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "edge-sr" / "plans"


class PlanCache:
    """A folder of plans. Every file appears whole or not at all; damaged entries are rebuilt."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else default_folder()

    def path_of(self, key: PlanKey) -> Path:
        """Where the plan of ``key`` is or would be."""
        return self.folder / f"{key.stem}.plan"

    def load(self, key: PlanKey) -> Found:
        """The plan of ``key`` after its size and digest were checked."""
        path = self.path_of(key)
        if not path.exists():
            return Found(None, self._why_not(key))
        damage = _damage(path)
        if damage:
            return Found(None, f"the cached plan is damaged: {damage}")
        try:
            return Found(path.read_bytes())
        except OSError as error:
            return Found(None, f"the cached plan cannot be read: {error}")

    def store(self, key: PlanKey, plan: bytes) -> Path:
        """Write the plan, then what it was built from; OSError if the folder cannot be written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path_of(key)
        facts = {
            "request": dict(key.request),
            "options": dict(key.options),
            "machine": dict(key.machine),
            "sha256": hashlib.sha256(plan).hexdigest(),
            "bytes": len(plan),
            "created": time.time(),
        }
        with written_beside(path) as temporary:
            temporary.write_bytes(plan)
        with written_beside(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(facts, indent=2) + "\n")
        return path

    def timing_cache(self, machine: Mapping[str, Any]) -> bytes:
        """Measured tactics that all plans of a machine share; empty if there are none."""
        try:
            return self._timing_path(machine).read_bytes()
        except OSError:
            return b""

    def store_timing_cache(self, machine: Mapping[str, Any], data: bytes) -> None:
        """Replace the shared tactics."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with written_beside(self._timing_path(machine)) as temporary:
            temporary.write_bytes(data)

    @contextmanager
    def locked(self, key: PlanKey) -> Iterator[None]:
        """Hold the right to build ``key``; a second process waits and then finds the plan.

        OSError if the folder cannot be written. The lock goes with the process that holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{key.stem}.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def newest(self, request: Mapping[str, Any], machine: Mapping[str, Any]) -> PlanKey | None:
        """Key of the youngest intact plan for a request on a machine, of any options."""
        pattern = f"{_digest(request)}-*-{_digest(machine)}.plan"
        intact = [entry for path in self.folder.glob(pattern) if not (entry := _entry(path)).damage]
        return max(intact, key=lambda entry: entry.created).key if intact else None

    def entries(self) -> list[Entry]:
        """All plans, oldest first."""
        found = [_entry(path) for path in sorted(self.folder.glob("*.plan"))]
        return sorted(found, key=lambda entry: entry.created)

    def remove(self, entry: Entry) -> int:
        """Delete a plan with what belongs to it; returns the bytes that are free now."""
        freed = 0
        for suffix in (".plan", ".json", ".lock"):
            path = entry.path.with_suffix(suffix)
            if path.exists():
                freed += path.stat().st_size
                path.unlink(missing_ok=True)
        return freed

    def remove_timing_caches(self) -> int:
        """Delete the shared tactics of all machines; returns the bytes that are free now."""
        freed = 0
        for path in self.folder.glob(f"*.{TIMING_CACHE}"):
            freed += path.stat().st_size
            path.unlink(missing_ok=True)
        return freed

    def _timing_path(self, machine: Mapping[str, Any]) -> Path:
        return self.folder / f"{_digest(machine)}.{TIMING_CACHE}"

    def _why_not(self, key: PlanKey) -> str:
        """Empty if nothing was ever built for this request."""
        pattern = f"{_digest(key.request)}-{_digest(key.options)}-*.plan"
        others = [_entry(path) for path in self.folder.glob(pattern)]
        for entry in sorted(others, key=lambda other: -other.created):
            was = entry.key.machine
            changes = [
                f"{name} is {key.machine.get(name)}, was {was[name]}"
                for name in sorted(was)
                if was[name] != key.machine.get(name)
            ]
            if changes:
                return f"the cached plan is of another machine: {', '.join(changes)}"
        return ""


def _entry(path: Path) -> Entry:
    status = path.stat()
    return Entry(path, _key(_facts(path)), status.st_size, status.st_mtime, _damage(path))


def _damage(path: Path) -> str:
    """What is wrong with the files of an entry, or an empty text."""
    facts = _facts(path)
    if not facts:
        return f"{path.with_suffix('.json').name} is missing or no JSON object"
    size = path.stat().st_size
    if size != facts.get("bytes") or size > LARGEST_PLAN:
        return f"{path.name} has {size} bytes, not {facts.get('bytes')}"
    if hashlib.sha256(path.read_bytes()).hexdigest() != facts.get("sha256"):
        return f"{path.name} does not have its digest"
    stem = _key(facts).stem
    return "" if stem == path.stem else f"{path.name} is named after another plan"


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.with_suffix(".json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _key(facts: Mapping[str, Any]) -> PlanKey:
    parts = [facts.get(name) for name in ("request", "options", "machine")]
    return PlanKey(*(part if isinstance(part, dict) else {} for part in parts))


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
