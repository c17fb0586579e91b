"""What every backend offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

Plane = NDArray[Any]


@dataclass(frozen=True)
class BackendInfo:
    """Facts about an open engine; ``provider`` is what really executes, as its library reports.

    ``tiles_itself``: it cuts frames into tiles by its own means, so that callers hand over whole
    ones. ``max_concurrency``: calls that run at the same time; further ones take turns.
    """

    name: str
    provider: str
    version: str
    precision: str
    device: str
    threads: int
    fixed_shape: tuple[int, int] | None = None
    max_batch: int = 1
    max_concurrency: int = 1
    tiles_itself: bool = False


class Backend(Protocol):
    """One loaded model on one device; a Plane is what its network takes, HxW or HxWx3."""

    @property
    def info(self) -> BackendInfo:
        """Facts about this engine."""
        ...

    def run(self, window: Plane, *, bit_depth: int = 8, out: Plane | None = None) -> Plane:
        """Upscale a picture to the same type, into ``out`` if given.

        HxW luminance, or contiguous HxWx3 RGB where the manifest's channels are ``rgb``.

        uint8; uint16 of ``bit_depth`` bits, which are divided by 2^(bit_depth - 8) for the network,
        multiplied back, rounded half to even and clamped; or float32 grey levels, which are not.
        ``out`` has the shape and type of the result and does not overlap ``window``.
        """
        ...

    def close(self) -> None:
        """Release the engine."""
        ...


@runtime_checkable
class FrameBackend(Backend, Protocol):
    """A backend that upscales chroma as well."""

    def run_frame(
        self,
        planes: tuple[Plane, ...],
        *,
        bit_depth: int,
        subsampling: tuple[int, int],
        location: str,
    ) -> tuple[Plane, ...]:
        """Upscale the planes Y, or Y, U and V of a frame: luma as ``run``, chroma bicubically.

        ``subsampling`` is luma samples per chroma sample in x and y, (0, 0) for grey; ``location``
        is where chroma lies: left, center, top_left or top.
        """
        ...
