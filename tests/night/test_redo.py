"""Work that is done and not durable yet: the guard counts what an interruption now would lose, and no more."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.market.trace import Trace
from nightspot.model.attempt import AttemptOutcome, Phase, Role, RunOutcome
from nightspot.model.capacity import Abilities, Bounds
from nightspot.model.decision import Decision, Observation, WorkLeft
from nightspot.model.events import (
    AttemptSeen,
    CheckpointSeen,
    Event,
    LaunchRequested,
    PhaseChanged,
    RunOpened,
    Told,
)
from nightspot.model.state import apply, open_run
from nightspot.night.journal import MemoryJournal
from nightspot.night.night import Night
from nightspot.night.observe import observe
from nightspot.night.ports import Backend
from nightspot.policy.base import Policy, hold
from nightspot.policy.baselines import Greedy
from nightspot.policy.guard import Guarded
from tests.night.test_nights import POLICIES, Hostile
from tests.night.worlds import HOUR, World, guarded, trace

TICK_S, LEAD_S, WORK_S = 300.0, 171.7, 7200.0  # no two spans add up to the same: ties would go by rounding


def on_ticks(data: Sequence[int], redo_s: float, slack_ticks: int, **changes: object) -> World:
    """Two hours of work; a window of whole ticks."""
    window_s = (math.ceil((WORK_S + LEAD_S) / TICK_S) + slack_ticks) * TICK_S
    capacity = Trace.from_ticks(data, TICK_S, repeats=True)
    given_: dict[str, object] = {"tick_s": TICK_S, "reaction_s": TICK_S, "redo_s": redo_s} | changes
    return World({"spot": capacity}, work_s=WORK_S, window_s=window_s, lead_s=LEAD_S, **given_)  # type: ignore[arg-type]


@dataclass
class ByHand:
    """Greedy in the same semantics, in the fewest words. `left_s` counts all that is done, `ahead_s` what of that is not durable."""

    redo_s: float
    left_s: float = WORK_S
    ahead_s: float = 0.0
    pending_s: float = 0.0
    held: str = ""

    def wish(self, up: bool, time_s: float) -> str:
        stays = self.held == "spot"
        does_s = max(0.0, TICK_S - (self.pending_s if stays else LEAD_S))
        loses_s = min(self.redo_s, does_s + (self.ahead_s if stays else 0.0))
        safe = time_s - TICK_S >= self.left_s - does_s + loses_s + LEAD_S - 1e-6
        if up:
            return "spot" if safe or does_s >= self.left_s - 1e-6 else "on-demand"
        return "" if time_s - TICK_S >= self.left_s + LEAD_S - 1e-6 else "on-demand"

    def choose(self, up: bool, time_s: float) -> None:
        if self.held == "spot" and not up:
            self.left_s, self.ahead_s, self.held = self.left_s + self.ahead_s, 0.0, ""
        if self.held and self.wish(up, time_s) != self.held:  # let go, saved, and asked again
            self.ahead_s, self.held = 0.0, ""
        if self.held != (wish := self.wish(up, time_s)):
            self.pending_s, self.held = LEAD_S, wish


def greedy_by_hand(data: Sequence[int], redo_s: float, ticks: int) -> tuple[float, bool]:
    """(cost in USD, late)."""
    night, cost = ByHand(redo_s), 0.0
    for tick in range(10 * ticks):
        night.choose(bool(data[tick % len(data)]), (ticks - tick) * TICK_S)
        cost += {"": 0.0, "spot": 0.3, "on-demand": 1.0}[night.held] * TICK_S / HOUR
        works_s = max(0.0, TICK_S - night.pending_s) if night.held else 0.0
        if night.held and works_s >= night.left_s - 1e-6:
            return cost, tick * TICK_S + night.pending_s + night.left_s > ticks * TICK_S + 1e-6
        night.left_s, night.ahead_s = night.left_s - works_s, min(redo_s, night.ahead_s + works_s)
        night.pending_s = max(0.0, night.pending_s - TICK_S)
    raise AssertionError("never done")


DATA = st.lists(st.integers(0, 1), min_size=4, max_size=60)
REDO_S = st.sampled_from([0.0, 60.0, 299.0, 300.0, 500.0, 1500.0, 4000.0])


@settings(max_examples=150, deadline=None, print_blob=True)
@given(data=DATA, redo_s=REDO_S, slack_ticks=st.integers(1, 40))
def test_the_guard_is_exact_on_ticks_with_redo(data: list[int], redo_s: float, slack_ticks: int) -> None:
    world = on_ticks(data, redo_s, slack_ticks)
    cost, late = greedy_by_hand(data, redo_s, round(world.window_s / TICK_S))
    state = world.play(guarded(Greedy()))
    assert (state.outcome, state.late, late) == (RunOutcome.COMPLETED, False, False)
    assert state.spent_usd == pytest.approx(cost, abs=1e-6)


@settings(max_examples=150, deadline=None, print_blob=True)
@given(
    data=DATA | st.just([0, 1]) | st.just([1, 0]),
    redo_s=REDO_S,
    slack_ticks=st.integers(1, 40),
    policy=st.sampled_from(POLICIES) | st.integers(0, 2**32).map(Hostile),
    queues=st.booleans(),
)
def test_nobody_is_late_on_ticks_with_redo_even_where_capacity_flickers(
    data: list[int], redo_s: float, slack_ticks: int, policy: Policy, queues: bool
) -> None:
    state = on_ticks(data, redo_s, slack_ticks, queues=queues).play(guarded(policy))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)


@dataclass
class Seeing:
    """Greedy, and what it saw of the work."""

    work: list[WorkLeft] = field(default_factory=list)

    def decide(self, observation: Observation, /) -> Decision:
        self.work.append(observation.work)
        return Guarded(Greedy()).decide(observation)


def test_what_is_taken_loses_the_redo_and_what_is_let_go_is_saved_first() -> None:
    taken = World({"spot": trace(1.0, 1.5)}, redo_s=600.0).play(guarded(Greedy()))
    assert taken.attempts[1].units_start == pytest.approx((HOUR - 180.0 - 600.0) / 60.0)

    class Moves:
        def decide(self, observation: Observation, /) -> Decision:
            pool_id = "spot" if observation.now_utc < HOUR else "on-demand"
            pool = observation.pool(pool_id)
            assert pool is not None
            return hold(pool, "by the clock", max(HOUR, observation.now_utc + 60.0))

    moved = World({"spot": trace()}, redo_s=600.0).play(guarded(Moves()))
    assert moved.attempts[0].outcome is AttemptOutcome.RELEASED
    assert moved.attempts[1].units_start == pytest.approx((HOUR - 180.0) / 60.0)


def test_the_redo_that_is_planned_with_is_the_jobs_or_half_an_interval_and_a_save() -> None:
    seeing = Seeing()
    World({"spot": trace()}, redo_s=600.0).play(seeing)
    assert {work.redo_s for work in seeing.work} == {600.0}
    assert max(work.undurable_s for work in seeing.work) == pytest.approx(600.0)
    for save_every_s, redo_s in ((1800.0, 900.0), (0.0, 0.0)):
        seeing = Seeing()
        World({"spot": trace()}, save_every_s=save_every_s).play(seeing)
        assert {work.redo_s for work in seeing.work} == {redo_s}


def test_checkpoints_that_come_oftener_than_planned_are_planned_with() -> None:
    """The job file says an hour at most; the training saves each ten minutes, and once more where it is asked to."""
    job = World({}, save_every_s=HOUR).job()
    bounds = {p.id: Bounds(180.0, save_s=20.0) for p in job.pools}
    state = open_run(RunOpened(0.0, "night-1", "n", job, 0.0, 8 * HOUR, 0.0, bounds))
    events: list[Event] = [LaunchRequested(0.0, 1, "t", "spot", Role.TRAIN, 9 * HOUR), AttemptSeen(0.0, 1, "t")]
    events += [PhaseChanged(180.0, 1, Phase.TRAINING)]
    for number in range(1, 5):
        events.append(CheckpointSeen(180.0 + 600.0 * number, 1, 10.0 * number))
    events += [Told(2600.0, 1, "checkpoint"), CheckpointSeen(2620.0, 1, 40.6)]
    redo_s = []
    for event in events:
        state = apply(state, event)
        night = Night(MemoryJournal(), state, abilities={p.id: Abilities() for p in job.pools})
        redo_s.append(observe(night, Nobody(), event.at_utc).work.redo_s)
    assert redo_s[0] == HOUR / 2 + 20.0
    assert redo_s[-1] == redo_s[-3] == 600.0 / 2 + 20.0


class Nobody:
    def __getitem__(self, name: str, /) -> Backend:
        raise KeyError(name)
