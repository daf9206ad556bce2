"""The state of an emulator in SQLite: jobs, their transitions, tags, and the anchors of market time. One process at a time."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Mapping

from nightspot.emulator.errors import EmulatorError
from nightspot.emulator.record import JobRecord, Transition, from_document

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (
    region TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (region, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS transitions (
    region TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, status TEXT NOT NULL,
    start_utc REAL NOT NULL, end_utc REAL, message TEXT NOT NULL, PRIMARY KEY (region, name, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tags (
    arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (arn, key)) WITHOUT ROWID;
"""


class Book:
    """Every change is on disk when the call returns. Any thread may use it. EmulatorError where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.RLock()
        with self._transaction_errors():
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            found = self._db.execute("PRAGMA user_version").fetchone()[0]
            if found > VERSION:
                raise EmulatorError(f"{path} was written by a newer nightspot. Choose another --state folder")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(SCHEMA)
            self._db.execute(f"PRAGMA user_version={VERSION}")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def facts(self) -> dict[str, float]:
        """The anchors, and when the emulator was last alive, in market and real seconds since the epoch."""
        with self._lock:
            return dict(self._db.execute("SELECT key, value FROM facts").fetchall())

    def note(self, facts: Mapping[str, float]) -> None:
        """Set facts."""
        with self._writing():
            self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())

    def jobs(self) -> list[JobRecord]:
        """All of them, of all regions."""
        with self._lock:
            rows = self._db.execute("SELECT region, name, body FROM jobs").fetchall()
            return [from_document(json.loads(body), self._transitions(region, name)) for region, name, body in rows]

    def _transitions(self, region: str, name: str) -> list[Transition]:
        query = "SELECT status, start_utc, end_utc, message FROM transitions WHERE region=? AND name=? ORDER BY number"
        return [Transition(*row) for row in self._db.execute(query, (region, name))]

    def save(self, record: JobRecord) -> None:
        """The job as it stands now."""
        document = record.as_document()
        key = (record.region, record.name)
        rows = [(*key, n, t.status, t.start_utc, t.end_utc, t.message) for n, t in enumerate(record.transitions)]
        del document["transitions"]
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?)", (*key, json.dumps(document)))
            self._db.executemany("INSERT OR REPLACE INTO transitions VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def forget(self, record: JobRecord) -> None:
        """A deleted job leaves nothing."""
        with self._writing():
            for table in ("jobs", "transitions"):
                # The two names above, and none from outside.
                self._db.execute(
                    f"DELETE FROM {table} WHERE region=? AND name=?",  # noqa: S608
                    (record.region, record.name),
                )
            self._db.execute("DELETE FROM tags WHERE arn=?", (record.arn,))

    def tags(self, arn: str) -> dict[str, str]:
        """In the order of their keys."""
        with self._lock:
            return dict(self._db.execute("SELECT key, value FROM tags WHERE arn=? ORDER BY key", (arn,)).fetchall())

    def tag(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add or overwrite."""
        with self._writing():
            rows = [(arn, key, value) for key, value in tags.items()]
            self._db.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", rows)

    def untag(self, arn: str, keys: list[str]) -> None:
        """Remove those that are there."""
        with self._writing():
            self._db.executemany("DELETE FROM tags WHERE arn=? AND key=?", [(arn, key) for key in keys])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, self._transaction_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _transaction_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise EmulatorError(f"the emulator's state {self._path} cannot be used: {error}") from error
