"""What a night's Journal shows of its Pools' capacity, from real nights in the simulated market."""

from __future__ import annotations

from typing import Sequence

import pytest

from nightspot.backends.queueing import QueueingBackend
from nightspot.backends.simulated import Overheads, SimulatedBackend, SimulatedBackends, SimulatedClock
from nightspot.market.trace import Trace
from nightspot.model.capacity import Bounds, Market, Pool
from nightspot.model.events import Record, RunOpened
from nightspot.model.job import Job, PolicyChoice, Training, Work
from nightspot.night.journal import MemoryJournal
from nightspot.night.night import Night, Settings
from nightspot.night.step import play
from nightspot.policy.baselines import Greedy
from nightspot.policy.guard import Guarded
from nightspot.policy.sights import sights

HOUR_S = 3600.0
POOLS = (Pool("spot", "simulated", Market.SPOT, 0.3), Pool("dear", "simulated", Market.ON_DEMAND, 1.0))
JOB = Job("seen", Training(("true",)), Work(180.0, "minute", 60.0), POOLS, PolicyChoice("greedy"))


def night(flips_h: Sequence[float], *, first_up: bool, queues: bool = False, since_h: float = -2.0) -> Sequence[Record]:
    """Three hours of work in ten; capacity flips at those hours of the night, having been as it is for two."""
    capacity = Trace.from_flips([at * HOUR_S for at in flips_h], first_up=first_up, start_utc=since_h * HOUR_S)
    overheads = {pool.id: Overheads(60.0) for pool in POOLS}
    backend = (QueueingBackend if queues else SimulatedBackend)({"spot": capacity}, overheads)
    journal, clock = MemoryJournal(lambda: 0.0), SimulatedClock(backend, 0.0)
    opened = RunOpened(0.0, "seen-1", "n", JOB, 0.0, 10 * HOUR_S, 0.0, {p.id: Bounds(60.0) for p in POOLS})
    play(Night.begin(journal, opened, Settings()), SimulatedBackends(backend), Guarded(Greedy()), clock)
    return journal.read("seen-1")


def test_offers_are_watched_from_the_opening_with_the_age_they_had() -> None:
    known = sights(night([0.5], first_up=False))["spot"]
    assert known.exposure.down_h[:4] == pytest.approx((0.0, 0.0, 0.0, 0.0))  # it was two hours old when the night began
    assert known.exposure.down_h[4] == pytest.approx(0.5)
    assert known.exposure.down_flips[4] == 1
    assert sum(known.exposure.up_h) == pytest.approx(3.0, abs=0.1)
    assert sum(known.exposure.up_flips) == 0
    assert known.sources == ("nights of seen",)


def test_what_lasts_to_the_nights_end_did_not_flip() -> None:
    known = sights(night([], first_up=True))["spot"]
    assert known.exposure.flips == 0
    assert sum(known.exposure.up_h) == pytest.approx(3.0, abs=0.1)


def test_a_request_shows_that_there_is_none_while_it_waits_and_some_once_it_is_granted() -> None:
    known = sights(night([1.0, 2.0], first_up=False, queues=True))["spot"]
    assert sum(known.exposure.down_flips) == 1
    assert sum(known.exposure.up_flips) == 1
    assert sum(known.exposure.up_h) == pytest.approx(1.0)
    assert sum(known.exposure.down_h) > 1.0
    assert known.day.up_h[1] == pytest.approx(1.0)


def test_no_night_shows_nothing() -> None:
    assert sights(()) == {}
    assert sights(night([], first_up=True)[1:]) == {}
