"""What is finished of an upscaled video, in one file that survives a killed process.

An SQLite database beside the output: packets as they leave the encoder, and for each segment the
mark that all of its packets are there.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from runtime.closeable import Closeable
from runtime.video.segments import EncodedPacket, SegmentEnd

SCHEMA = """
CREATE TABLE job (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE segment (
    number INTEGER PRIMARY KEY, frames INTEGER NOT NULL, damaged INTEGER NOT NULL,
    extradata BLOB NOT NULL
);
CREATE TABLE packet (
    segment INTEGER NOT NULL, number INTEGER NOT NULL, pts INTEGER NOT NULL,
    duration INTEGER NOT NULL, is_key INTEGER NOT NULL, has_alpha INTEGER NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (segment, number)
);
"""


def journal_path(target: Path) -> Path:
    """Where the journal of an output lies."""
    return target.with_name(f"{target.name}.unfinished")


def discard_journal(target: Path) -> None:
    """Forget an earlier run to this output."""
    path = journal_path(target)
    # SQLite's own journal of a killed process would be played back into the next file.
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    path.unlink(missing_ok=True)


class Journal(Closeable):
    """Packets of the finished segments of one output; a SegmentSink and a context manager.

    ``job`` names all that decides about the bytes of the output. A journal of another job, or one
    that holds segments while ``resume`` is not set, is refused with ValueError. Closing removes the
    file unless it holds a finished segment; :meth:`remove` does in any case.
    """

    def __init__(self, path: Path, job: Mapping[str, str], *, resume: bool = False) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._counts: dict[int, int] = {}
        self._is_closed = False
        is_new = not path.exists()
        with self._errors():
            self._database = sqlite3.connect(path, timeout=0.5, check_same_thread=False)
        try:
            with self._errors():
                # Held until it is closed: two runs to one output would mix their packets.
                self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._database.execute("BEGIN EXCLUSIVE")
                self._take(job, resume=resume)
                self._database.commit()
        except BaseException:
            self._database.close()
            if is_new:
                path.unlink(missing_ok=True)
            raise
        self._is_empty = not self.finished()

    def finished(self) -> dict[int, SegmentEnd]:
        """All finished segments."""
        with self._errors():
            rows = self._database.execute("SELECT number, frames, damaged, extradata FROM segment")
            return {number: SegmentEnd(*end) for number, *end in rows.fetchall()}

    def add(self, segment: int, packets: Sequence[EncodedPacket]) -> None:
        """Keep packets of an unfinished segment."""
        first = self._counts.get(segment, 0)
        self._counts[segment] = first + len(packets)
        rows = [
            (segment, first + place, p.pts, p.duration, p.is_key, p.has_alpha, p.data)
            for place, p in enumerate(packets)
        ]
        with self._lock, self._errors():
            self._database.executemany("INSERT INTO packet VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def finish(self, segment: int, end: SegmentEnd) -> None:
        """All packets of a segment are there; from here on it survives what may come."""
        self._counts.pop(segment, None)
        row = (segment, end.frames, end.damaged, end.extradata)
        with self._lock, self._errors():
            self._database.execute("INSERT INTO segment VALUES (?, ?, ?, ?)", row)
            self._database.commit()
        self._is_empty = False

    def times(self) -> list[int]:
        """Times of all packets, in the order of their decoding."""
        with self._errors():
            rows = self._database.execute("SELECT pts FROM packet ORDER BY segment, number")
            return [row[0] for row in rows]

    def packets(self) -> Iterator[EncodedPacket]:
        """All packets, in the order of their decoding."""
        with self._errors(), closing(self._database.cursor()) as cursor:
            cursor.execute(
                "SELECT pts, duration, is_key, data, has_alpha FROM packet ORDER BY segment, number"
            )
            for pts, duration, is_key, data, has_alpha in cursor:
                yield EncodedPacket(pts, duration, bool(is_key), data, bool(has_alpha))

    def close(self) -> None:
        """Close the file; it stays if a segment is finished."""
        if self._is_closed:
            return
        # What is not committed is rolled back, now or by who opens the file next.
        self._database.close()
        self._is_closed = True
        if self._is_empty:
            self.path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Close and delete the file."""
        self._is_empty = True
        self.close()

    def _take(self, job: Mapping[str, str], *, resume: bool) -> None:
        tables = self._database.execute("SELECT name FROM sqlite_master").fetchall()
        if tables:
            count = self._database.execute("SELECT COUNT(*) FROM segment").fetchone()[0]
            if count and not resume:
                raise ValueError(
                    f"{self.path} holds {count} finished segments of an earlier run; pass --resume "
                    "to go on with it, --overwrite to begin anew"
                )
            if count:
                self._check_same(job)
            self._database.execute(
                "DELETE FROM packet WHERE segment NOT IN (SELECT number FROM segment)"
            )
            self._database.execute("DELETE FROM job")
        else:
            for statement in SCHEMA.split(";"):
                self._database.execute(statement)
        self._database.executemany("INSERT INTO job VALUES (?, ?)", job.items())

    def _check_same(self, job: Mapping[str, str]) -> None:
        before = dict(self._database.execute("SELECT name, value FROM job").fetchall())
        for name in sorted({*before, *job}):
            if before.get(name) != job.get(name):
                raise ValueError(
                    f"{self.path} cannot be gone on with: {name} was {before.get(name)}, is "
                    f"{job.get(name)}; pass --overwrite to begin anew"
                )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what SQLite reports into OSError, or ValueError for a file that is no journal."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if str(error) == "database is locked":
                raise OSError(f"{self.path} is in use: another run writes this output") from error
            if isinstance(error, sqlite3.OperationalError):
                raise OSError(f"{self.path} cannot be written: {error}") from error
            raise ValueError(
                f"{self.path} is not the journal of an unfinished run: {error}; delete it"
            ) from error
