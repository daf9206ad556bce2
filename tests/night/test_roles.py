"""A PROBE beside what trains: asked for, told `go`, or dropped. Never two that train, nothing that nobody wants, nobody late."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.backends.queueing import QueueingBackend
from nightspot.backends.simulated import Overheads, SimulatedBackends, SimulatedClock
from nightspot.errors import Unsure
from nightspot.market.trace import NEVER, Trace
from nightspot.model.attempt import AttemptOutcome, Phase, Role, RunOutcome
from nightspot.model.capacity import Bounds, Market, Sight
from nightspot.model.decision import FOREVER_UTC, Decision, Holding, Observation, Want
from nightspot.model.events import (
    CheckpointSeen,
    Event,
    LaunchRequested,
    Limit,
    LimitHit,
    RunClosed,
    RunOpened,
    Told,
)
from nightspot.model.facts import facts_of
from nightspot.model.job import Limits, OnLimit
from nightspot.model.measure import courses
from nightspot.model.state import apply, open_run
from nightspot.night.journal import MemoryJournal
from nightspot.night.night import Night, Settings
from nightspot.night.ports import Ended, EndKind, Handle, Report
from nightspot.night.step import play
from tests.night.worlds import HOUR, World, guarded, on_demand, spot, trace

LEAD_S = 180.0
BOTH = (Want("on-demand"), Want("spot", Role.PROBE))


@dataclass(frozen=True)
class Second:
    """On-demand with a request for Spot beside it; Spot once that is there. With `boots`, on-demand trains on until Spot is ready."""

    boots: bool = False

    def decide(self, observation: Observation, /) -> Decision:
        held, probe = observation.held, observation.probe
        if held is not None and held.market is Market.SPOT and held.phase is not Phase.QUEUED:
            return Decision((Want("spot"),), FOREVER_UTC, "on Spot")
        if probe is not None and self._takes_over(held, probe):
            return Decision((Want("spot"),), FOREVER_UTC, "Spot is there")
        if probe is None and observation.seen("spot") is Sight.DOWN:
            return Decision(BOTH[:1], observation.now_utc + 300.0, "on-demand; there is no Spot to ask for")
        return Decision(BOTH, FOREVER_UTC, "on-demand, and a request for Spot beside it")

    def _takes_over(self, held: Holding | None, probe: Holding) -> bool:
        if held is None or held.stopping or not self.boots:
            return probe.phase in (Phase.BOOTING, Phase.READY)
        return probe.phase is Phase.READY


def second(capacity: Trace, **changes: object) -> World:
    """Eight hours for four of work, a second request allowed; nothing is seen of Spot but by it."""
    told: dict[str, object] = {"queues": True, "beside": True, "second_request": True, "window_s": 10 * HOUR} | changes
    return World({"spot": capacity}, **told)  # type: ignore[arg-type]


def events_of(night: Night) -> list[Event]:
    return [record.event for record in night.journal.read("night-1")]


def test_a_request_beside_on_demand_takes_over_once_it_is_granted() -> None:
    night, _ = second(trace(2.0, first_up=False)).night(guarded(Second()))
    on_demand_, spot_ = night.state.attempts
    assert (on_demand_.outcome, on_demand_.ended_utc) == (AttemptOutcome.RELEASED, 2 * HOUR)
    assert (spot_.outcome, spot_.role, spot_.gone_utc) == (AttemptOutcome.COMPLETED, Role.TRAIN, 2 * HOUR)
    assert spot_.units_start == pytest.approx((2 * HOUR - LEAD_S) / 60.0)
    assert spot_.trained_from_utc == pytest.approx(2 * HOUR + LEAD_S)
    assert (night.state.outcome, night.state.late, night.state.launches) == (RunOutcome.COMPLETED, False, 2)
    spot_s = LEAD_S + 2 * HOUR + LEAD_S
    assert night.state.spent_usd == pytest.approx((2 * HOUR + 0.3 * spot_s) / HOUR)


def test_a_handover_trains_on_until_the_other_is_ready_and_loses_what_it_takes() -> None:
    world = second(trace(2.0, first_up=False), handover=True, handover_s=30.0)
    on_demand_, spot_ = world.play(guarded(Second(boots=True))).attempts
    assert on_demand_.ended_utc == spot_.gone_utc == 2 * HOUR + LEAD_S
    assert spot_.granted_utc == 2 * HOUR
    assert spot_.trained_from_utc == pytest.approx(2 * HOUR + LEAD_S + 30.0)
    assert spot_.units_start == pytest.approx(2 * HOUR / 60.0)
    assert spot_.ended_utc == pytest.approx(4 * HOUR + LEAD_S + 30.0)


def test_where_capacity_is_seen_a_handover_boots_beside_on_demand_too() -> None:
    world = second(trace(2.0, first_up=False), queues=False, second_request=False, handover=True)
    on_demand_, spot_ = world.play(guarded(Second(boots=True))).attempts
    assert (on_demand_.ended_utc, spot_.requested_utc) == (2 * HOUR + LEAD_S, 2 * HOUR)
    assert spot_.trained_from_utc == 2 * HOUR + LEAD_S
    assert spot_.outcome is AttemptOutcome.COMPLETED


def test_a_probe_in_a_queue_costs_nothing_and_is_no_attempt_of_the_limit() -> None:
    night, _ = second(NEVER).night(guarded(Second()))
    state = night.state
    assert [(a.pool_id, a.role, a.outcome) for a in state.attempts] == [
        ("on-demand", Role.TRAIN, AttemptOutcome.COMPLETED),
        ("spot", Role.PROBE, AttemptOutcome.NO_CAPACITY),
    ]
    assert (state.launches, state.attempts[1].cost_usd) == (1, 0.0)
    assert state.spent_usd == pytest.approx((4 * HOUR + LEAD_S) / HOUR)


def test_a_finished_run_stops_its_probe_and_its_outcome_waits_for_that_end() -> None:
    night, _ = second(NEVER, stop_s=300.0).night(guarded(Second()))
    done, probe = night.state.attempts
    assert probe.ended_utc == pytest.approx((done.ended_utc or 0.0) + 300.0)
    assert isinstance(events_of(night)[-1], RunClosed)
    assert night.state.closed_utc == done.ended_utc  # the model is ready when it is, not when all is tidied up
    assert not night.state.late


def test_without_the_job_files_consent_there_is_no_second_request() -> None:
    for changes in ({"second_request": False}, {"beside": False}, {"queues": False}):
        state = second(trace(), **changes).play(guarded(Second()))
        assert {a.role for a in state.attempts} == {Role.TRAIN}, changes


def test_without_consent_to_a_handover_a_granted_probe_is_not_kept() -> None:
    """A policy that boots beside all the same loses its PROBE as soon as that would cost something."""
    state = second(trace(2.0, first_up=False)).play(guarded(Second(boots=True)))
    probes = [a for a in state.attempts if a.role is Role.PROBE]
    assert 1 < len(probes) < 50  # asked for again, but not at once
    assert all(a.billable_s == 0.0 and a.outcome is not AttemptOutcome.COMPLETED for a in probes)


class Few(World):
    def job(self):  # type: ignore[no-untyped-def]
        return dataclasses.replace(super().job(), limits=self.limits)

    limits = Limits(attempts=2)


def test_a_probe_never_spends_the_launch_that_is_kept_for_on_demand() -> None:
    told = {"queues": True, "beside": True, "second_request": True}
    assert len(Few({"spot": NEVER}, **told).play(guarded(Second())).attempts) == 1  # type: ignore[arg-type]

    class Three(Few):
        limits = Limits(attempts=3)

    assert len(Three({"spot": NEVER}, **told).play(guarded(Second())).attempts) == 2  # type: ignore[arg-type]


def test_past_the_spend_cap_no_probe_is_paid_for() -> None:
    class Capped(Few):
        limits = Limits(attempts=100, cost_usd=2.0, on_limit=OnLimit.ALERT)

    world = Capped({"spot": NEVER}, queues=True, beside=True, second_request=True)
    night, _ = world.night(guarded(Waiting(9 * HOUR)))
    probe = night.state.attempts[1]
    assert (probe.ended_utc or 0.0) == pytest.approx(2 * HOUR, abs=600.0)
    assert night.state.outcome is RunOutcome.COMPLETED


def test_a_probe_that_waits_is_no_start_up_that_takes_too_long() -> None:
    night, _ = second(trace(1.0, first_up=False), handover=True).night(guarded(Waiting(2 * HOUR)))
    spot_ = night.state.attempts[1]
    assert spot_.trained_from_utc is not None and spot_.trained_from_utc - spot_.requested_utc > HOUR
    assert night.state.bounds["spot"] == Bounds(LEAD_S)
    assert [e for e in events_of(night) if isinstance(e, LimitHit) and e.limit is Limit.BOUND] == []
    facts = facts_of(night.journal.read("night-1"))
    assert [(a.pool, a.role, a.probed) for a in facts.attempts] == [
        ("on-demand", "train", False),
        ("spot", "train", True),
    ]


@dataclass(frozen=True)
class Waiting:
    """On-demand and a PROBE beside it, which takes over at a time, and not before."""

    at_utc: float

    def decide(self, observation: Observation, /) -> Decision:
        if observation.now_utc >= self.at_utc and observation.holding("spot") is not None:
            return Decision((Want("spot"),), FOREVER_UTC, "now")
        return Decision(BOTH, observation.now_utc + 60.0, "not yet")


def test_a_probe_that_bills_is_no_progress_and_its_time_no_training() -> None:
    night, _ = second(trace(), handover=True).night(guarded(Waiting(9.9 * HOUR)))
    done, probe = night.state.attempts
    assert (done.pool_id, done.outcome, probe.outcome) == (
        "on-demand",
        AttemptOutcome.COMPLETED,
        AttemptOutcome.RELEASED,
    )
    assert probe.cost_usd == pytest.approx((4 * HOUR + LEAD_S) / HOUR * 0.3, rel=0.01)
    assert {e.number for e in events_of(night) if isinstance(e, CheckpointSeen)} == {1}
    facts = facts_of(night.journal.read("night-1"))
    assert (facts.interruptions, facts.attempts[1].units, facts.lost_work_s) == (0, 0.0, 0.0)
    assert facts.attempts[1].role == "probe"
    assert facts.decisions[0].roles == ("train", "probe")


@dataclass(slots=True)
class SlowSaves(QueueingBackend):
    """A Checkpoint that is asked for takes its time, or never comes; `go` and `stop` may be lost on the way."""

    saves_in_s: float = 30.0
    deaf_to: dict[str, int] = field(default_factory=dict)
    asked_utc: float = math.inf
    words: list[tuple[float, str, str]] = field(default_factory=list)

    def tell(self, handle: Handle, word: str, now_utc: float, /) -> None:
        if self.deaf_to.get(word, 0) > 0:
            self.deaf_to[word] -= 1
            raise Unsure("no answer")
        self.words.append((now_utc, handle.pool_id, word))
        if word == "checkpoint":
            self.asked_utc = now_utc
        else:
            QueueingBackend.tell(self, handle, word, now_utc)

    def poll(self, handle: Handle, cursor: int, now_utc: float, /) -> Report:
        if now_utc >= self.asked_utc + self.saves_in_s and handle.pool_id == "on-demand":
            QueueingBackend.tell(self, handle, "checkpoint", self.asked_utc + self.saves_in_s)
            self.asked_utc = math.inf
        return QueueingBackend.poll(self, handle, cursor, now_utc)

    def next_change_utc(self, now_utc: float) -> float:
        return min(QueueingBackend.next_change_utc(self, now_utc), now_utc + 5.0)


def asked(backend: SlowSaves, policy: object = None, save_s: float = 60.0) -> Night:
    """A night with checkpoints each hour; Spot comes after two and a half."""
    world = second(trace(2.5, first_up=False), save_every_s=HOUR)
    bounds = {p.id: Bounds(LEAD_S, 30.0, save_s=save_s) for p in world.pools}
    opened = RunOpened(0.0, "night-1", "n", world.job(), 0.0, world.window_s, 0.0, bounds)
    night = Night.begin(MemoryJournal(lambda: 0.0), opened, Settings(10.0, 600.0, 60.0))
    clock = SimulatedClock(backend, 0.0)
    assert play(night, SimulatedBackends(backend), guarded(policy or Second()), clock) is RunOutcome.COMPLETED  # type: ignore[arg-type]
    return night


def slow(**changes: object) -> SlowSaves:
    overheads = {name: Overheads(LEAD_S, 30.0, HOUR) for name in ("spot", "on-demand")}
    capacities = {"spot": trace(2.5, first_up=False)}
    return SlowSaves(capacities, overheads, beside=True, **changes)  # type: ignore[arg-type]


def test_before_a_planned_move_a_checkpoint_is_asked_for_and_waited_for() -> None:
    backend = slow()
    night = asked(backend)
    spot_ = night.state.attempts[1]
    said = [(at_utc - 2.5 * HOUR, pool_id, word) for at_utc, pool_id, word in backend.words]
    assert said == [(0.0, "on-demand", "checkpoint"), (30.0, "on-demand", "stop"), (60.0, "spot", "go")]
    assert spot_.units_start == pytest.approx((2.5 * HOUR + 30.0 - LEAD_S) / 60.0)


def test_a_checkpoint_that_does_not_come_is_waited_for_no_longer_than_its_bound() -> None:
    backend = slow(saves_in_s=math.inf)
    night = asked(backend)
    stops = [at_utc for at_utc, pool_id, word in backend.words if (pool_id, word) == ("on-demand", "stop")]
    assert stops == [2.5 * HOUR + 60.0 + 10.0]
    assert night.state.attempts[1].units_start == pytest.approx(2 * 60.0)


def test_the_guard_waits_for_no_checkpoint() -> None:
    class Elsewhere:
        """On Spot until slack is spent."""

        def decide(self, observation: Observation, /) -> Decision:
            return Decision((Want("spot"),), FOREVER_UTC, "Spot")

    backend = slow(saves_in_s=math.inf)
    backend.capacities = {"spot": trace(0.5)}
    night = asked(backend, Elsewhere())
    assert not night.state.late


def test_a_go_that_was_lost_is_said_again_and_nothing_else_begins_meanwhile() -> None:
    backend = slow(deaf_to={"go": 3})
    night = asked(backend)
    events = events_of(night)
    gone = [e for e in events if isinstance(e, Told) and e.word == "go"]
    assert len(gone) == 1
    assert [word for _, _, word in backend.words].count("go") >= 1
    assert night.state.attempts[1].outcome is AttemptOutcome.COMPLETED
    assert len([e for e in events if isinstance(e, LaunchRequested)]) == 2


def test_a_probe_that_fails_ends_no_run_and_is_not_asked_for_again() -> None:
    @dataclass(slots=True)
    class NoChannel(QueueingBackend):
        """As an image without boto3: what waits for `go` there fails for good."""

        def poll(self, handle: Handle, cursor: int, now_utc: float, /) -> Report:
            report = QueueingBackend.poll(self, handle, cursor, now_utc)
            machine = self._machines[handle.token]
            if machine.spec.role is Role.PROBE and machine.ready_utc < math.inf and machine.ended is None:
                machine.stop_utc = now_utc
                machine.ended = Ended(EndKind.FAILED, now_utc, 78, detail="boto3 is missing", final=True)
            return dataclasses.replace(report, ended=machine.ended)

    world = second(trace())
    overheads = {p.id: Overheads(LEAD_S) for p in world.pools}
    backend = NoChannel(world.capacities, overheads, beside=True)
    opened = RunOpened(
        0.0, "night-1", "n", world.job(), 0.0, world.window_s, 0.0, {p.id: Bounds(LEAD_S) for p in world.pools}
    )
    night = Night.begin(MemoryJournal(lambda: 0.0), opened, Settings(10.0, 600.0, 60.0))
    clock = SimulatedClock(backend, 0.0)
    assert play(night, SimulatedBackends(backend), guarded(Waiting(0.0)), clock) is RunOutcome.COMPLETED
    assert [a.outcome for a in night.state.attempts if a.pool_id == "spot"] == [AttemptOutcome.FAILED]
    assert night.state.failures == 0


class Wild:
    """Wants anything, for any role; two of a kind, the same twice, what is not there."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def decide(self, observation: Observation, /) -> Decision:
        if self._random.random() < 0.03:
            raise RuntimeError("wild")
        names = [p.id for p in observation.pools] + ["nowhere"] * (self._random.random() < 0.02)
        wants = [Want(name, Role.PROBE) for name in names if self._random.random() < 0.5]
        if self._random.random() < 0.8:
            wants.append(Want(self._random.choice(names), self._random.choice([Role.TRAIN, Role.TRAIN, Role.PROBE])))
        self._random.shuffle(wants)
        until_s = self._random.choice([1.0, 60.0, 977.0, 1e9])
        return Decision(tuple(wants), observation.now_utc + until_s, "because")


def check_story(events: list[Event]) -> None:
    """At no time do two train or might; no third is held; `go` comes after everything else has ended."""
    state = open_run(events[0])  # type: ignore[arg-type]
    for event in events[1:]:
        state = apply(state, event)
        if state.outcome is None:
            assert sum(a.role is Role.TRAIN for a in state.live) <= 1, event
            assert len(state.live) <= 2, event
    stretches = [(c.from_utc, math.inf if c.end_utc is None else c.end_utc) for c in courses(events)]
    assert all(end <= begin + 1e-6 for (_, end), (begin, _) in itertools.pairwise(stretches))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Any capacity, two held at once or not, everything inside its bounds, and time enough."""
    flips = draw(st.lists(st.integers(1, 480), max_size=16, unique=True).map(sorted))
    lead_s, stop_s, reaction_s = (float(draw(st.integers(0, most))) for most in (900, 300, 200))
    work_s = float(draw(st.integers(600, 4 * 3600)))
    queues = draw(st.booleans())
    return World(
        {"spot": trace(*[f / 60 for f in flips], first_up=draw(st.booleans())), "other": trace(0.3, 0.9, 2.0)},
        pools=(spot(), spot("other", 0.35), on_demand()),
        work_s=work_s,
        window_s=work_s + lead_s + 2 * stop_s + 6 * max(reaction_s, 1.0) + draw(st.integers(0, 3 * 3600)),
        lead_s=lead_s,
        stop_s=stop_s,
        reaction_s=reaction_s,
        save_every_s=float(draw(st.sampled_from([0, 600, 3600]))),
        lazy_seed=draw(st.integers(0, 2**32)),
        queues=queues,
        refusal_s=300.0 if queues else 0.0,
        beside=draw(st.booleans()),
        handover_s=float(draw(st.integers(0, 60))),
        second_request=draw(st.booleans()),
        handover=draw(st.booleans()),
    )


@settings(max_examples=200, deadline=None, print_blob=True)
@given(world=worlds(), seed=st.integers(0, 2**32))
def test_with_two_at_once_nobody_is_late_and_never_two_train_however_wild_the_policy(world: World, seed: int) -> None:
    night, _ = world.night(guarded(Wild(seed)))
    assert (night.state.outcome, night.state.late) == (RunOutcome.COMPLETED, False)
    check_story(events_of(night))


@settings(max_examples=200, deadline=None, print_blob=True)
@given(
    data=st.lists(st.integers(0, 1), min_size=2, max_size=40),
    redo_s=st.sampled_from([0.0, 300.0, 1500.0]),
    lead_s=st.sampled_from([60.0, 171.7, 300.0, 900.0]),
    slack_ticks=st.integers(1, 40),
    seed=st.integers(0, 2**32) | st.none(),
    abilities=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_on_ticks_with_two_at_once_nobody_is_late(
    data: list[int],
    redo_s: float,
    lead_s: float,
    slack_ticks: int,
    seed: int | None,
    abilities: tuple[bool, bool, bool],
) -> None:
    queues, second_request, handover = abilities
    ticks = math.ceil((7200.0 + lead_s) / 300.0) + slack_ticks
    capacity = Trace.from_ticks(data, 300.0, repeats=True)
    world = World({"spot": capacity}, work_s=7200.0, window_s=ticks * 300.0, lead_s=lead_s, redo_s=redo_s)
    world = dataclasses.replace(world, tick_s=300.0, reaction_s=300.0, queues=queues, beside=True, handover_s=30.0)
    world = dataclasses.replace(world, second_request=second_request, handover=handover)
    policy = Second(handover) if seed is None else Wild(seed)
    night, _ = world.night(guarded(policy))
    assert (night.state.outcome, night.state.late) == (RunOutcome.COMPLETED, False)
    check_story(events_of(night))
