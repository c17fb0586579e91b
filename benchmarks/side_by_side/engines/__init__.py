"""The runtimes, one file each; a package is imported only when its engine is opened."""

from __future__ import annotations

import importlib

from side_by_side.engines.engine import Engine, Job


def open_engine(job: Job) -> Engine:
    """Load the job's network into its runtime."""
    module = importlib.import_module(f"side_by_side.engines.{job.case.runtime}")
    engine: Engine = module.open_engine(job)
    return engine


__all__ = ["Engine", "Job", "open_engine"]
