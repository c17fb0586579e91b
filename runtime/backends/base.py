"""What every backend offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray


@dataclass(frozen=True)
class BackendInfo:
    """Facts about an open engine; ``provider`` is what really executes, as its library reports."""

    name: str
    provider: str
    version: str
    precision: str
    device: str
    threads: int
    fixed_shape: tuple[int, int] | None = None
    max_batch: int = 1
    max_concurrency: int = 1


class Backend(Protocol):
    """One loaded model on one device."""

    @property
    def info(self) -> BackendInfo:
        """Facts about this engine."""
        ...

    def run(self, window: NDArray[Any], *, bit_depth: int = 8) -> NDArray[Any]:
        """Upscale an HxW plane to the same type.

        uint8; uint16 of ``bit_depth`` bits, which are divided by 2^(bit_depth - 8) for the network,
        multiplied back, rounded half to even and clamped; or float32 grey levels, which are not.
        """
        ...

    def close(self) -> None:
        """Release the engine."""
        ...
