"""A Journal with somebody who listens, and the Chronicle he keeps: all Records of one Run, without reading them again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Callable, Sequence

from nightspot.model.events import Event, Record
from nightspot.model.facts import RunFacts, facts_of
from nightspot.night.journal import Journal

Listener = Callable[[Event], None]


@dataclass(slots=True)
class HeardJournal:
    """Tells each Event once it is safe, and keeps the Records of the Run it was made for. `recall` hears what was there before."""

    journal: Journal
    hear: Listener
    recall: Listener
    records: list[Record] = field(default_factory=list)

    def append(self, run_id: str, expected_seq: int, events: Sequence[Event], /) -> None:
        """See Journal."""
        self.journal.append(run_id, expected_seq, events)
        now_utc = time.time()
        for number, event in enumerate(events, start=expected_seq + 1):
            self.records.append(Record(number, now_utc, event))
            self.hear(event)

    def read(self, run_id: str, /) -> Sequence[Record]:
        """See Journal."""
        records = self.journal.read(run_id)
        for record in records[len(self.records) :]:
            self.recall(record.event)
        self.records = list(records)
        return records

    def runs(self) -> Sequence[str]:
        """See Journal."""
        return self.journal.runs()

    def facts(self, now_utc: float) -> RunFacts:
        """What a report would say now."""
        return facts_of(self.records, now_utc)
