"""Shared by all tests: one torch thread, so that runs repeat bit for bit on any machine."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")
