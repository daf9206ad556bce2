"""What a Pool was when it was last seen, where only a request shows it: told from the Journal alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from nightspot.market.trace import Trace
from nightspot.model.attempt import RunOutcome
from nightspot.model.capacity import Bounds, Offer, Sight
from nightspot.model.decision import Decision, Observation, Want
from nightspot.model.events import OfferChanged, RunOpened
from nightspot.model.state import apply, open_run
from nightspot.night.sight import Seen, last_seen
from tests.night.worlds import HOUR, World, guarded, on_demand, spot, trace


@dataclass
class Watching:
    """A policy that writes down what it sees of "spot", and holds what its table says from each hour on."""

    wants: dict[float, str | None]
    seen: list[tuple[float, Offer | None]] = field(default_factory=list)

    def decide(self, observation: Observation, /) -> Decision:
        self.seen.append((observation.now_utc, observation.offers.get("spot")))
        hours = [h for h in self.wants if h * HOUR <= observation.now_utc]
        pool_id = self.wants[max(hours)]
        later = min((h * HOUR for h in self.wants if h * HOUR > observation.now_utc), default=float("inf"))
        wants = (Want(pool_id),) if pool_id is not None else ()
        return Decision(wants, min(later, observation.now_utc + 600.0), "by the table")

    def at(self, hour: float) -> Offer:
        offers = [offer for now_utc, offer in self.seen if now_utc <= hour * HOUR and offer is not None]
        return offers[-1]


def watched(capacity: Trace, wants: dict[float, str | None]) -> Watching:
    policy = Watching(wants)
    world = World({"spot": capacity}, queues=True, window_s=14 * HOUR, work_s=8 * HOUR)
    assert world.play(guarded(policy)).outcome is RunOutcome.COMPLETED
    return policy


def test_a_request_in_a_queue_says_down_since_it_is_there_and_a_granted_one_up_since_then() -> None:
    policy = watched(trace(2.0, first_up=False), {0.0: "spot"})
    waiting, held = policy.at(1.5), policy.at(3.0)
    assert (waiting.seen, waiting.last, waiting.last_since_utc) == (Sight.UNKNOWN, Sight.DOWN, 0.0)
    assert waiting.last_utc == pytest.approx(1.5 * HOUR, abs=600.0)
    assert (held.seen, held.last, held.last_since_utc) == (Sight.UNKNOWN, Sight.UP, 2 * HOUR)


def test_what_was_taken_is_down_since_that_very_moment() -> None:
    policy = watched(trace(2.0), {0.0: "spot"})
    assert (policy.at(1.9).last, policy.at(2.5).last) == (Sight.UP, Sight.DOWN)
    assert policy.at(2.5).last_since_utc == 2 * HOUR


def test_a_pool_that_was_let_go_stays_as_it_was_then_seen() -> None:
    policy = watched(trace(1.0, 2.0), {0.0: "spot", 3.0: "on-demand"})
    later = policy.at(5.0)
    assert (later.seen, later.last, later.last_since_utc) == (Sight.UNKNOWN, Sight.UP, 2 * HOUR)
    assert later.last_utc == pytest.approx(3 * HOUR)


def test_a_queue_that_was_left_is_down_until_it_was_left() -> None:
    policy = watched(trace(first_up=False), {0.0: "spot", 2.0: "on-demand"})
    later = policy.at(4.0)
    assert (later.last, later.last_since_utc) == (Sight.DOWN, 0.0)
    assert later.last_utc == pytest.approx(2 * HOUR)


def test_the_same_state_after_a_short_gap_has_lasted_through_it_and_after_a_long_one_begins_anew() -> None:
    short = watched(trace(first_up=False), {0.0: "spot", 2.0: None, 3.0: "spot"})
    assert (short.at(3.9).last, short.at(3.9).last_since_utc) == (Sight.DOWN, 0.0)
    long = watched(trace(first_up=False), {0.0: "spot", 1.0: None, 3.0: "spot"})
    assert (long.at(3.9).last, long.at(3.9).last_since_utc) == (Sight.DOWN, 3 * HOUR)


def test_a_pool_that_backends_saw_and_see_no_more_keeps_what_they_saw() -> None:
    job = World({}, pools=(spot(), on_demand())).job()
    state = open_run(RunOpened(0.0, "night-1", "n", job, 0.0, 8 * HOUR, 0.0, {p.id: Bounds(180.0) for p in job.pools}))
    for event in (OfferChanged(600.0, "spot", Sight.UP), OfferChanged(1800.0, "spot", Sight.UNKNOWN)):
        state = apply(state, event)
    assert last_seen(state, "spot", 2400.0) == Seen(600.0, 1800.0, Sight.UP)
    assert last_seen(state, "on-demand", 2400.0) is None
