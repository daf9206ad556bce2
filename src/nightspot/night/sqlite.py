"""The Journal in SQLite: one file, one host, local disk.

`synchronous=FULL`: an append that returned survives a power cut; NORMAL was measured to lose everything. The compare in
compare-and-append runs inside the writing transaction, so that of two controllers one loses.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, Sequence

from nightspot.errors import Fenced, JournalError, JournalVersionError
from nightspot.model.events import Event, Record
from nightspot.night.codec import decode, encode, kind_of

VERSION = 1
# How long a writer waits for another one's transaction (real seconds).
BUSY_S = 20.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    run_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    seen_utc REAL NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run_id, seq)
) WITHOUT ROWID
"""


class SqliteJournal:
    """A Journal in one SQLite file, made if it is not there. Raises JournalError or JournalVersionError."""

    def __init__(self, path: Path, seen_utc: Callable[[], float] = time.time) -> None:
        self.path = path
        self._seen_utc = seen_utc
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._prepare()

    def append(self, run_id: str, expected_seq: int, events: Sequence[Event], /) -> None:
        """See Journal."""
        with self._errors(), self._transaction():
            last = self._last_seq(run_id)
            if last != expected_seq:
                raise Fenced(f"run {run_id} is at {last}, not {expected_seq}: another controller acts on it")
            seen_utc = self._seen_utc()
            rows = [
                (run_id, expected_seq + n, seen_utc, kind_of(event), encode(event))
                for n, event in enumerate(events, start=1)
            ]
            self._db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", rows)

    def read(self, run_id: str, /) -> Sequence[Record]:
        """See Journal."""
        query = "SELECT seq, seen_utc, kind, body FROM events WHERE run_id = ? ORDER BY seq"
        with self._errors():
            rows = self._db.execute(query, (run_id,)).fetchall()
        return [Record(seq, seen_utc, decode(kind, body)) for seq, seen_utc, kind, body in rows]

    def runs(self) -> Sequence[str]:
        """See Journal."""
        with self._errors():
            rows = self._db.execute("SELECT run_id FROM events WHERE seq = 1 ORDER BY seen_utc, run_id").fetchall()
        return [run_id for (run_id,) in rows]

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _prepare(self) -> None:
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found > VERSION:
            raise JournalVersionError(
                f"{self.path} was written by a newer nightspot (journal version {found}, this one reads {VERSION}): "
                "upgrade, or point --home at another folder. Nothing was changed"
            )
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        if found < VERSION:
            with self._transaction():
                self._db.execute(SCHEMA)
                self._db.execute(f"PRAGMA user_version={VERSION}")

    def _last_seq(self, run_id: str) -> int:
        row = self._db.execute("SELECT max(seq) FROM events WHERE run_id = ?", (run_id,)).fetchone()
        return int(row[0] or 0)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"the journal {self.path} cannot be used: {error}. Nothing was launched") from error
