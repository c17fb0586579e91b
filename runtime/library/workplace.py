"""Where files are upscaled: on this machine, or elsewhere by whoever else is a Workplace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from runtime.picture import Picture, check_format, read_picture, write_picture
from runtime.upscaler import Upscaler
from runtime.video.pipeline import VideoOptions, VideoProgress, VideoResult, upscale_video


@dataclass(frozen=True)
class EngineOptions:
    """How the engine of a bundle is opened, see :meth:`Upscaler.open`."""

    backend: str = "auto"
    precision: str | None = None
    threads: int = 0
    tile_size: int = 0
    device: str = "auto"

    def open(self, bundle: Path) -> Upscaler:
        """Open a bundle; raises as :meth:`Upscaler.open`."""
        return Upscaler.open(
            bundle,
            backend=self.backend,
            precision=self.precision,
            threads=self.threads,
            tile_size=self.tile_size,
            device=self.device,
        )


@dataclass(frozen=True)
class EngineFacts:
    """What an open engine is."""

    scale: int
    backend: str
    version: str
    provider: str
    precision: str
    tile_size: int
    # Of the bundle.
    digest: str

    @property
    def identity(self) -> dict[str, str]:
        """What on the engine's side decides about the bytes of an output."""
        return {
            "bundle": self.digest,
            "engine": f"{self.backend} {self.version} {self.provider} {self.precision}",
            "tile size": str(self.tile_size),
        }


def facts_of(upscaler: Upscaler) -> EngineFacts:
    """What an open engine is."""
    info = upscaler.info
    return EngineFacts(
        scale=upscaler.scale,
        backend=info.name,
        version=info.version,
        provider=info.provider,
        precision=upscaler.precision,
        tile_size=upscaler.tile_size,
        digest=upscaler.manifest.digest,
    )


@dataclass(frozen=True)
class VideoOrder:
    """A video to upscale; those of a lower ``number`` come first."""

    source: Path
    target: Path
    options: VideoOptions
    resume: bool = False
    number: int = 0


class Workplace(Protocol):
    """Upscales files, each engine opened once; errors are OSError, ValueError or RuntimeError."""

    @property
    def files_at_once(self) -> int:
        """How many files may be worked on at the same time, from threads of their own."""
        ...

    def facts(self, bundle: Path) -> EngineFacts:
        """What the engine of a bundle is."""
        ...

    def upscale_picture(self, bundle: Path, source: Path, target: Path) -> tuple[int, int]:
        """One picture; returns its width and height."""
        ...

    def upscale_video(
        self, bundle: Path, order: VideoOrder, progress: VideoProgress
    ) -> VideoResult:
        """One video."""
        ...

    def stop(self) -> None:
        """End what other threads are at, by an error there."""
        ...


class ThisMachine:
    """The workplace without a cluster; a context manager that closes its engines."""

    files_at_once = 1

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._engines: dict[Path, Upscaler] = {}

    def engine(self, bundle: Path) -> Upscaler:
        """The engine of a bundle, opened if it is not yet."""
        if bundle not in self._engines:
            self._engines[bundle] = self._options.open(bundle)
        return self._engines[bundle]

    def facts(self, bundle: Path) -> EngineFacts:
        """What the engine of a bundle is."""
        return facts_of(self.engine(bundle))

    def upscale_picture(self, bundle: Path, source: Path, target: Path) -> tuple[int, int]:
        """One picture; returns its width and height."""
        sr = upscaled_picture(self.engine(bundle), source, target)
        write_picture(target, sr)
        return sr.shape[1], sr.shape[0]

    def upscale_video(
        self, bundle: Path, order: VideoOrder, progress: VideoProgress
    ) -> VideoResult:
        """One video."""
        engine = self.engine(bundle)
        return upscale_video(
            order.source,
            order.target,
            engine,
            order.options,
            engine=facts_of(engine).identity,
            resume=order.resume,
            progress=progress,
        )

    def stop(self) -> None:
        """There are no other threads."""

    def __enter__(self) -> ThisMachine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for engine in self._engines.values():
            engine.close()


def upscaled_picture(upscaler: Upscaler, source: Path, target: Path) -> Picture:
    """A picture from a file, which can be written to ``target``."""
    picture = read_picture(source)
    check_format(target, picture)
    return upscaler.upscale(picture)
