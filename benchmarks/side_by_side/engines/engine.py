"""What a worker needs of a runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from side_by_side.cases import Case
from side_by_side.chain import Chain, read_chain


@dataclass(frozen=True)
class Job:
    """A case with the frame it is timed on."""

    case: Case
    bundle: Path
    threads: int
    frame: NDArray[np.uint8]

    @property
    def chain(self) -> Chain:
        """The bundle's layers."""
        return read_chain(self.bundle)

    @property
    def batch(self) -> NDArray[np.float32]:
        """The frame as [1, 1, H, W] float grey levels."""
        return self.frame.astype(np.float32)[None, None]


@dataclass(frozen=True)
class Engine:
    """``run`` is timed; ``result`` gives float grey levels to check. ``detail`` says what ran."""

    run: Callable[[], Any]
    result: Callable[[], NDArray[Any]]
    version: str
    detail: str = ""
