"""Upscale all files of a library; one that fails does not stop the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from runtime.library.listing import Library, LibraryItem
from runtime.library.workplace import EngineFacts, VideoOrder, Workplace
from runtime.progress import Progress
from runtime.video.journal import discard_journal, journal_path
from runtime.video.pipeline import VideoOptions, VideoResult
from runtime.video.probe import VideoInfo
from runtime.video.relay import StageLoad


@dataclass(frozen=True)
class LibraryOptions:
    """How a library is upscaled: existing outputs replaced, unfinished ones gone on with."""

    video: VideoOptions
    overwrite: bool = False
    resume: bool = False


@dataclass
class LibraryResult:
    """What became of the files of a library."""

    done: int = 0
    frames: int = 0
    resumed: int = 0
    existing: int = 0
    # Of each file, why.
    failed: dict[str, str] = field(default_factory=dict)
    engines: dict[str, EngineFacts] = field(default_factory=dict)


class LibraryRun:
    """Upscales the files of a library, as many at a time as its workplace takes."""

    def __init__(
        self,
        place: Workplace,
        options: LibraryOptions,
        bundle_of: Callable[[LibraryItem], Path],
        progress: Progress,
    ) -> None:
        self._place, self._options, self._bundle_of = place, options, bundle_of
        self._progress = progress
        self._lock = threading.RLock()
        self._begun = 0
        self.result = LibraryResult()

    def run(self, library: Library) -> LibraryResult:
        """All files; what the result holds is true even if this is interrupted."""
        count = len(library.items)
        for note in library.notes:
            self.say(note)
        if self._place.files_at_once == 1:
            for number, item in enumerate(library.items):
                self._do(item, number, count)
            return self.result
        with ThreadPoolExecutor(min(self._place.files_at_once, count)) as pool:
            futures = [
                pool.submit(self._do, item, number, count)
                for number, item in enumerate(library.items)
            ]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                self._place.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return self.result

    def say(self, text: str) -> None:
        """Print a line."""
        with self._lock:
            self._progress.say(text)

    def begin_file(self, frames: int | None, resumed: int = 0) -> None:
        """One more file has so many frames."""
        with self._lock:
            self._progress.expect(frames or 0, resumed)

    def advance(self, count: int = 1) -> None:
        """More frames are done."""
        with self._lock:
            self._progress.advance(count)

    def _do(self, item: LibraryItem, number: int, count: int) -> None:
        with self._lock:
            self._begun += 1
            self._progress.label = f"upscale {self._begun}/{count}"
        if item.target.exists() and not self._options.overwrite:
            with self._lock:
                self.result.existing += 1
            self.say(f"{item.target} exists; left as it is")
            return
        try:
            item.target.parent.mkdir(parents=True, exist_ok=True)
            bundle = self._bundle_of(item)
            self._note_engine(bundle)
            if item.kind == "picture":
                self._upscale_picture(item, bundle)
            else:
                self._upscale_video(item, bundle, number)
        except (OSError, ValueError, RuntimeError) as error:
            message = " ".join(str(error).split())
            with self._lock:
                self.result.failed[item.name] = message
            self.say(f"error: {message}")

    def _note_engine(self, bundle: Path) -> None:
        facts = self._place.facts(bundle)
        with self._lock:
            if str(bundle) not in self.result.engines:
                self.say(f"{bundle.name}  {facts.backend} {facts.precision} on {facts.provider}")
                self.result.engines[str(bundle)] = facts

    def _upscale_picture(self, item: LibraryItem, bundle: Path) -> None:
        if item.target.is_dir():
            raise IsADirectoryError(f"{item.target} is a folder")
        self.begin_file(1)
        try:
            self._place.upscale_picture(bundle, item.source, item.target)
        except BaseException:
            self.begin_file(-1)
            raise
        self._count(1)
        self.advance()

    def _upscale_video(self, item: LibraryItem, bundle: Path, number: int) -> None:
        options = self._options
        if item.target.is_dir():
            raise IsADirectoryError(f"{item.target} is a folder")
        if options.overwrite and not options.resume:
            discard_journal(item.target)
        order = VideoOrder(item.source, item.target, options.video, options.resume, number)
        progress = _FileProgress(self, item)
        try:
            result = self._place.upscale_video(bundle, order, progress)
        except BaseException:
            progress.give_up()
            if journal_path(item.target).exists():
                self.say(f"{journal_path(item.target)} keeps what is finished; --resume goes on")
            raise
        self._tell(item, result)
        self._count(result.frames, result.resumed)

    def _tell(self, item: LibraryItem, result: VideoResult) -> None:
        for note in result.notes:
            self.say(f"note: {item.name}: {note}")
        if result.damaged:
            replaced = self._options.video.on_error == "repeat"
            done = "replaced by the frame before" if replaced else "left out"
            self.say(f"note: {item.name}: {result.damaged} damaged frames were {done}")

    def _count(self, frames: int, resumed: int = 0) -> None:
        with self._lock:
            self.result.done += 1
            self.result.frames += frames
            self.result.resumed += resumed


class _FileProgress:
    """Tells a run how far one of its videos is."""

    def __init__(self, run: LibraryRun, item: LibraryItem) -> None:
        self._run, self._item = run, item
        self._left = 0

    def start(self, source: VideoInfo, target: VideoInfo, resumed: int, load: StageLoad) -> None:
        """What is read and written."""
        self._left = (source.frames or 0) - resumed
        self._run.begin_file(source.frames, resumed)
        text = (
            f"{self._item.name}  {source.width}x{source.height} -> {target.width}x{target.height}"
        )
        self._run.say(f"{text}, going on after {resumed} frames" if resumed else text)

    def advance(self) -> None:
        """One more frame is encoded."""
        self._left -= 1
        self._run.advance()

    def give_up(self) -> None:
        """The frames that are left are not to be expected."""
        self._run.begin_file(-self._left)
