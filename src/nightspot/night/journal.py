"""The Journal: every Event of every Run, in order, compare-and-append.

Appending names the sequence number one believes to be the last; the loser of a race gets `Fenced` and must stop acting.
"""

from __future__ import annotations

import time
from typing import Callable, Protocol, Sequence

from nightspot.errors import Fenced, NotFoundError
from nightspot.model.events import Event, Record


class Journal(Protocol):
    """What keeps the Events. Implementations: memory (below), SQLite (sqlite.py)."""

    def append(self, run_id: str, expected_seq: int, events: Sequence[Event], /) -> None:
        """Add Events after `expected_seq`, all or none, durably. Raises Fenced where the Run is further on, JournalError on I/O."""
        ...

    def read(self, run_id: str, /) -> Sequence[Record]:
        """All Records of a Run, in order; none where there is no such Run."""
        ...

    def runs(self) -> Sequence[str]:
        """The ids of all Runs, oldest first."""
        ...


class MemoryJournal:
    """A Journal that ends with the process: for simulations and tests."""

    def __init__(self, seen_utc: Callable[[], float] = time.time) -> None:
        self._events: dict[str, list[tuple[float, Event]]] = {}  # Records are made of them when they are read
        self._seen_utc = seen_utc

    def append(self, run_id: str, expected_seq: int, events: Sequence[Event], /) -> None:
        """See Journal."""
        known = self._events.setdefault(run_id, [])
        if len(known) != expected_seq:
            raise Fenced(f"run {run_id} is at {len(known)}, not {expected_seq}: another controller acts on it")
        seen_utc = self._seen_utc()
        known += [(seen_utc, event) for event in events]

    def read(self, run_id: str, /) -> Sequence[Record]:
        """See Journal."""
        known = self._events.get(run_id, ())
        return tuple([Record(seq, seen_utc, event) for seq, (seen_utc, event) in enumerate(known, 1)])

    def runs(self) -> Sequence[str]:
        """See Journal."""
        return tuple(self._events)


def events_of(journal: Journal, run_id: str) -> list[Event]:
    """The Events of a Run. Raises NotFoundError where there is none."""
    records = journal.read(run_id)
    if not records:
        raise NotFoundError(f"there is no run {run_id!r} in this journal; `nightspot history` lists them")
    return [record.event for record in records]
