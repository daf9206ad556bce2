"""What a night has seen of its Pools' capacity: each night teaches the next.

A Pool whose backend shows capacity tells by its offers. One that only a request sees is down while the request stands in the queue, up
from the grant until capacity is taken, and unknown otherwise. Of what was so before that, its age is taken from the first look: a policy,
too, knows no more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Mapping, Sequence

from nightspot.market.day import day_of
from nightspot.market.flips import Span, watched
from nightspot.market.hazard import HOUR_S
from nightspot.market.knowledge import Known
from nightspot.model.attempt import AttemptOutcome, Phase
from nightspot.model.capacity import Market, Sight
from nightspot.model.events import (
    AttemptEnded,
    LaunchRequested,
    OfferChanged,
    PhaseChanged,
    Record,
    RunClosed,
    RunOpened,
)

GRANTED = (Phase.BOOTING, Phase.READY, Phase.TRAINING)


@dataclass(slots=True)
class _Watch:
    """One Pool: how it has been, and since when."""

    seen: Sight = Sight.UNKNOWN
    since_utc: float = -math.inf
    spans: list[tuple[float, float, bool, bool]] = field(default_factory=list)  # begin, end, up, flipped

    def change(self, seen: Sight, at_utc: float) -> None:
        if seen is self.seen:
            return
        at_utc = max(at_utc, self.since_utc)
        if self.seen is not Sight.UNKNOWN and at_utc > self.since_utc:
            self.spans.append((self.since_utc, at_utc, self.seen is Sight.UP, seen is not Sight.UNKNOWN))
        self.seen, self.since_utc = seen, at_utc


def sights(records: Sequence[Record]) -> Mapping[str, Known]:
    """By Spot Pool id, what that night's Journal shows of its capacity. Nothing for Pools it saw nothing of, or for no night."""
    opened = records[0].event if records else None
    if not isinstance(opened, RunOpened):
        return {}
    shown = {
        r.event.pool_id for r in records if isinstance(r.event, OfferChanged) and r.event.seen is not Sight.UNKNOWN
    }
    watches = {pool.id: _Watch() for pool in opened.job.pools if pool.market is Market.SPOT}
    pools: dict[int, str] = {}
    for record in records:
        _hear(record, watches, shown, pools)
    last_utc = _last_utc(records)
    for watch in watches.values():
        watch.change(Sight.UNKNOWN, last_utc)
    return {pool_id: _known(opened, watch) for pool_id, watch in watches.items() if watch.spans}


def _hear(record: Record, watches: Mapping[str, _Watch], shown: set[str], pools: dict[int, str]) -> None:
    event = record.event
    if isinstance(event, OfferChanged) and event.pool_id in watches:
        watches[event.pool_id].change(event.seen, event.at_utc)
    elif isinstance(event, LaunchRequested):
        pools[event.number] = event.pool_id
    elif isinstance(event, (PhaseChanged, AttemptEnded)):
        pool_id = pools.get(event.number, "")
        if pool_id in watches and pool_id not in shown:
            seen = _seen(event)
            if seen is not None:
                watches[pool_id].change(seen, event.at_utc)


def _seen(event: PhaseChanged | AttemptEnded) -> Sight | None:
    """What that says of the capacity of a Pool that only a request sees."""
    if isinstance(event, AttemptEnded):
        return Sight.DOWN if event.outcome is AttemptOutcome.INTERRUPTED else Sight.UNKNOWN
    if event.phase is Phase.QUEUED:
        return Sight.DOWN
    return Sight.UP if event.phase in GRANTED else None


def _last_utc(records: Sequence[Record]) -> float:
    closed = [r.event.at_utc for r in records if isinstance(r.event, RunClosed)]
    return closed[-1] if closed else max(r.event.at_utc for r in records)


def _known(opened: RunOpened, watch: _Watch) -> Known:
    """What was so before the night began is an age, and was not watched."""
    from_utc = opened.at_utc
    spans: list[Span] = []
    for begin, end, up, flipped in watch.spans:
        if end > from_utc:
            spans.append((max(0.0, from_utc - begin) / HOUR_S, (end - begin) / HOUR_S, up, flipped))
    day = day_of((max(begin, from_utc), end, up) for begin, end, up, _ in watch.spans if end > from_utc)
    return Known(watched(spans), day, (f"nights of {opened.job.name}",))
