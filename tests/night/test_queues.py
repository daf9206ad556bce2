"""Nights where only a queued request shows capacity, and what was taken is restarted inside its Attempt."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.backends.queueing import QueueingBackend
from nightspot.backends.simulated import Overheads, SimulatedBackends, SimulatedClock
from nightspot.market.trace import ALWAYS, NEVER
from nightspot.model.attempt import AttemptOutcome, Phase, Role, RunOutcome
from nightspot.model.capacity import Bounds, Pool
from nightspot.model.events import (
    DecisionChanged,
    Limit,
    LimitHit,
    PhaseChanged,
    RefusalReason,
    RunOpened,
    UserAsked,
)
from nightspot.model.facts import facts_of
from nightspot.model.state import RunState
from nightspot.night.journal import MemoryJournal
from nightspot.night.night import Night, Settings
from nightspot.night.ports import Handle, LaunchSpec, Refused, Report
from nightspot.night.step import step
from nightspot.policy.base import Policy
from nightspot.policy.baselines import Greedy, Reserve, SpotOnly, TimedFallback, UniformProgress
from tests.night.test_nights import POLICIES, Hostile
from tests.night.worlds import HOUR, World, guarded, on_demand, spot, trace

MINUTE = 60.0
ONE_TYPE = (spot(), on_demand())
TWO_TYPES = (spot("first", 0.3), spot("second", 0.4), on_demand())


def queued(capacities: dict[str, object], **changes: object) -> World:
    world = World(capacities, queues=True, stop_s=120.0, refusal_s=900.0, reaction_s=60.0)  # type: ignore[arg-type]
    return dataclasses.replace(world, **changes)  # type: ignore[arg-type]


def test_a_request_that_queues_is_kept_and_trains_once_it_is_granted() -> None:
    state = queued({"spot": trace(1.0, first_up=False)}).play(guarded(Greedy()))
    assert (state.outcome, state.late, len(state.attempts)) == (RunOutcome.COMPLETED, False, 1)
    assert state.attempts[0].trained_from_utc == pytest.approx(1 * HOUR + 180)
    assert state.attempts[0].queued_s == pytest.approx(1 * HOUR)


def test_the_queue_costs_nothing_and_counts_as_waiting() -> None:
    state = queued({"spot": trace(1.0, first_up=False)}).play(guarded(Greedy()))
    assert state.spent_usd == pytest.approx((4 * HOUR + 180) / HOUR * 0.3)


def test_a_second_type_is_tried_when_the_first_never_comes() -> None:
    state = queued({"first": NEVER, "second": trace()}, pools=TWO_TYPES).play(guarded(Reserve()))
    assert [(a.pool_id, a.outcome) for a in state.attempts] == [
        ("first", AttemptOutcome.NO_CAPACITY),
        ("second", AttemptOutcome.COMPLETED),
    ]
    asked = state.attempts[1].requested_utc
    assert 900.0 <= asked <= 900.0 + 120.0 + 2 * 60.0


def test_the_turn_passes_on_in_one_decision() -> None:
    night, _ = queued({"first": NEVER, "second": trace()}, pools=TWO_TYPES).night(guarded(Greedy()))
    decided = [r.event.wants for r in night.journal.read("night-1") if isinstance(r.event, DecisionChanged)]
    assert [wants[0].pool_id for wants in decided] == ["first", "second"]


def test_no_type_starves_while_others_are_asked_again_and_again() -> None:
    pools = (*(spot(f"type-{n}", 0.3 + n / 100) for n in range(4)), on_demand())
    world = queued({f"type-{n}": NEVER for n in range(4)}, pools=pools, window_s=12 * HOUR)
    asked = [a.pool_id for a in world.play(guarded(Greedy())).attempts if a.pool_id != "on-demand"]
    assert len(asked) > 8
    assert asked == list(itertools.islice(itertools.cycle([f"type-{n}" for n in range(4)]), len(asked)))


def test_a_restart_inside_is_the_same_attempt_and_goes_on_from_what_was_durable() -> None:
    world = queued({"spot": trace(1.0, 1.5)}, save_every_s=600.0)
    night, _ = world.night(guarded(Greedy()))
    (attempt,) = night.state.attempts
    phases = [r.event for r in night.journal.read("night-1") if isinstance(r.event, PhaseChanged)]
    again = [e for e in phases if e.phase is Phase.TRAINING and e.incarnation == 2]
    assert (attempt.incarnation, attempt.outcome) == (2, AttemptOutcome.COMPLETED)
    assert again[0].at_utc == pytest.approx(1.5 * HOUR + 180)
    assert again[0].units_done == pytest.approx(50.0)  # 57 min were trained, 50 of them saved
    facts = facts_of(night.journal.read("night-1"))
    assert facts.interruptions == 1
    assert facts.lost_work_s == pytest.approx(0.0, abs=1.0)  # only saved work is known of; what was lost is not


def test_an_interruption_whose_attempt_was_let_go_in_the_queue_counts_once() -> None:
    night, _ = queued({"spot": trace(1.0)}).night(guarded(TimedFallback(HOUR)))
    facts = facts_of(night.journal.read("night-1"))
    assert [a.pool for a in facts.attempts] == ["spot", "on-demand"]
    assert facts.interruptions == 1
    assert [(span.until_utc, span.taken) for span in facts.attempts[0].held] == [(1 * HOUR, True)]


def test_a_queue_is_left_for_on_demand_at_the_last_moment_and_in_time() -> None:
    world = queued({"spot": NEVER})
    state = world.play(guarded(SpotOnly()))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)
    asked = state.attempts[-1].requested_utc
    assert state.attempts[-1].pool_id == "on-demand"
    latest = 8 * HOUR - 4 * HOUR - 180.0
    assert latest - 120.0 - 3 * 60.0 <= asked <= latest


def test_reserve_leaves_the_queue_earlier_than_the_last_moment() -> None:
    asked = [queued({"spot": NEVER}).play(guarded(p)).attempts[-1].requested_utc for p in (Reserve(), Greedy())]
    assert asked[0] < asked[1] - 10 * MINUTE


def test_timed_fallback_counts_the_queue_as_waiting() -> None:
    state = queued({"spot": NEVER}).play(guarded(TimedFallback(HOUR)))
    assert state.attempts[-1].pool_id == "on-demand"
    assert HOUR <= state.attempts[-1].requested_utc <= HOUR + 300.0


@pytest.mark.parametrize("policy", [Greedy(), Reserve(), UniformProgress(), TimedFallback(HOUR)])
def test_on_demand_is_not_let_go_for_spot_that_nobody_has_seen(policy: Policy) -> None:
    state = queued({"spot": NEVER}, window_s=10 * HOUR).play(guarded(policy))
    pools = [a.pool_id for a in state.attempts]
    assert "on-demand" in pools
    assert "spot" not in pools[pools.index("on-demand") :] or isinstance(policy, UniformProgress)


def test_a_long_queue_for_spot_is_no_broken_promise() -> None:
    night, _ = queued({"spot": trace(2.0, first_up=False)}).night(guarded(Greedy()))
    said = [r.event for r in night.journal.read("night-1") if isinstance(r.event, LimitHit)]
    assert [e for e in said if e.limit is Limit.BOUND] == []


@st.composite
def queues(draw: st.DrawFn) -> World:
    """Any capacity that only requests show, overheads inside their bounds, a loop as slow as it may be."""
    flips = draw(st.lists(st.integers(1, 600), max_size=12, unique=True).map(sorted))
    capacities: dict[str, object] = {"first": trace(*[f / 60 for f in flips], first_up=draw(st.booleans()))}
    capacities["second"] = draw(st.sampled_from([NEVER, trace(1.0, 2.0), trace(0.1, first_up=False)]))
    lead_s, stop_s = float(draw(st.integers(0, 1200))), float(draw(st.integers(0, 600)))
    reaction_s, refusal_s = float(draw(st.integers(0, 300))), float(draw(st.integers(0, 1800)))
    first_refuses = draw(st.booleans())
    if first_refuses:
        capacities["on-demand"] = NEVER
    work_s = float(draw(st.integers(600, 5 * 3600)))
    refused_s = max(refusal_s + reaction_s, lead_s) + stop_s + 2 * reaction_s
    need_s = work_s + lead_s + stop_s + (refused_s if first_refuses else 0.0) + 6 * max(reaction_s, 1.0)
    return World(
        capacities,  # type: ignore[arg-type]
        pools=(spot("first"), spot("second", 0.35), on_demand(), on_demand("last")),
        work_s=work_s,
        window_s=need_s + draw(st.integers(0, 4 * 3600)),
        lead_s=lead_s,
        stop_s=stop_s,
        reaction_s=reaction_s,
        refusal_s=refusal_s,
        save_every_s=float(draw(st.sampled_from([300, 1800, 7200]))),
        guard_pools=2 if first_refuses else 1,
        lazy_seed=draw(st.integers(0, 2**32)),
        queues=True,
    )


@settings(max_examples=200, deadline=None, print_blob=True)
@given(world=queues(), seed=st.integers(0, 2**32))
def test_in_queues_too_no_policy_however_hostile_is_late_where_it_could_be_on_time(world: World, seed: int) -> None:
    state = world.play(guarded(Hostile(seed)))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False), f"seed {seed}: {world}"


@settings(max_examples=100, deadline=None, print_blob=True)
@given(world=queues(), policy=st.sampled_from(POLICIES))
def test_every_shipped_policy_is_on_time_in_queues(world: World, policy: Policy) -> None:
    state = world.play(guarded(policy))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)
    assert all(a.outcome is not None and math.isfinite(a.queued_s) for a in state.attempts)


@dataclass(slots=True)
class Slow(QueueingBackend):
    """Each look at an Attempt takes its time, and on-demand refuses for its first so many seconds."""

    clock: SimulatedClock | None = None
    look_s: float = 0.0
    refuses_s: float = 0.0
    reason: RefusalReason = RefusalReason.QUOTA
    _first_utc: float | None = None

    def poll(self, handle: Handle, cursor: int, now_utc: float, /) -> Report:
        report = QueueingBackend.poll(self, handle, cursor, now_utc)
        if self.clock is not None:
            self.clock.utc += self.look_s
        return report

    def launch(self, spec: LaunchSpec, now_utc: float, /) -> Handle | Refused:
        if spec.pool.id == "on-demand" and self.refuses_s > 0:
            self._first_utc = now_utc if self._first_utc is None else self._first_utc
            if now_utc < self._first_utc + self.refuses_s:
                return Refused(self.reason, "not now")
        return QueueingBackend.launch(self, spec, now_utc)


def polled(
    backend: Slow, reaction_s: float, policy: Policy, stop_s: float = 120.0, pools: tuple[Pool, ...] = ONE_TYPE
) -> RunState:
    """A night in queues, looked at every five seconds as at night: eight hours for four of work."""
    job = World({}, pools=pools, queues=True, save_every_s=300.0).job()
    backend.clock = clock = SimulatedClock(backend, 0.0)
    bounds = {p.id: Bounds(180.0, stop_s + reaction_s, 900.0) for p in job.pools}
    opened = RunOpened(0.0, "night-1", "n", job, 0.0, 8 * HOUR, 0.0, bounds)
    night = Night.begin(MemoryJournal(lambda: 0.0), opened, Settings(reaction_s, 60.0, 60.0))
    while not isinstance(wake := step(night, SimulatedBackends(backend), guarded(policy), clock), RunOutcome):
        clock.utc = max(clock.utc, min(wake.at_utc, clock.utc + 5.0))
    return night.state


def slow(stop_s: float = 120.0, **changes: Any) -> Slow:
    overheads = {pool_id: Overheads(180.0, stop_s, 300.0) for pool_id in ("spot", "on-demand")}
    return Slow({"spot": NEVER}, overheads, **changes)


@pytest.mark.parametrize("look_s", [0.0, 20.0, 100.0])
def test_calls_that_take_their_time_are_planned_with(look_s: float) -> None:
    state = polled(slow(look_s=look_s), 15.0 + 120.0, Greedy())
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)


@pytest.mark.parametrize("reason", [RefusalReason.QUOTA, RefusalReason.INVALID, RefusalReason.NO_CAPACITY])
def test_on_demand_that_refuses_for_a_moment_is_asked_again_in_time(reason: RefusalReason) -> None:
    state = polled(slow(refuses_s=50.0, reason=reason, stop_s=300.0), 15.0, TimedFallback(3.5 * HOUR), stop_s=300.0)
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)
    asked = [a.requested_utc for a in state.attempts if a.pool_id == "on-demand"]
    assert len(asked) == 2
    assert asked[1] - asked[0] <= 60.0 + 5.0 + 1.0
    between = [a for a in state.attempts if a.pool_id == "spot" and asked[0] <= a.requested_utc <= asked[1]]
    assert between == []  # a queue in its way would have to be stopped first


def test_after_an_interruption_a_queue_that_took_too_long_passes_the_turn_on() -> None:
    world = queued({"first": trace(1.0), "second": trace()}, pools=TWO_TYPES, window_s=10 * HOUR)
    state = world.play(guarded(Greedy()))
    assert [a.pool_id for a in state.attempts] == ["first", "second"]


def test_what_was_launched_after_all_is_stopped_before_the_run_is_closed() -> None:
    backend = slow()
    backend.capacities = {"spot": ALWAYS}
    job, clock = World({}, queues=True).job(), SimulatedClock(backend, 0.0)
    opened = RunOpened(0.0, "night-1", "n", job, 0.0, 8 * HOUR, 0.0, {p.id: Bounds(180.0) for p in job.pools})
    night = Night.begin(MemoryJournal(lambda: 0.0), opened, Settings(15.0, 60.0, 60.0))
    step(night, SimulatedBackends(backend), guarded(Greedy()), clock)
    late = LaunchSpec("night-1", 9, "night-1-n-009", job.pools[0], Role.TRAIN, 9 * HOUR, job)
    backend.launch(late, 10.0)  # its answer was lost, and it was held to be absent
    night.record(UserAsked(11.0, "stop"))
    while not isinstance(step(night, SimulatedBackends(backend), guarded(Greedy()), clock), RunOutcome):
        clock.utc += 5.0
        for handle in backend.live("night-1"):
            backend.poll(handle, 0, clock.utc)
    assert list(backend.live("night-1")) == []
    assert night.state.outcome is RunOutcome.CANCELLED


def test_a_queue_that_nobody_has_seen_is_not_joined_in_place_of_on_demand_that_may_be_asked_in_a_moment() -> None:
    names = [pool.id for pool in TWO_TYPES]
    backend = Slow({"first": NEVER, "second": NEVER}, {name: Overheads(180.0, 60.0, 300.0) for name in names})
    backend.refuses_s = 50.0
    state = polled(backend, 15.0, Greedy(), stop_s=300.0, pools=TWO_TYPES)
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)
    asked = [a.pool_id for a in state.attempts]
    assert asked[asked.index("on-demand") :] == ["on-demand", "on-demand"]
