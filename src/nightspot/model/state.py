"""The state of a Run is a fold over its Events: `apply(state, event) -> state`, and nothing else changes it.

The idea of a pure state machine with the world outside is dask's worker state machine and TigerBeetle's; the words are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Callable, Iterable, Mapping

from nightspot.model import moves
from nightspot.model.attempt import Attempt, AttemptOutcome, Phase, Role, RunOutcome
from nightspot.model.capacity import Bounds, Market, Offer, Sight
from nightspot.model.change import changed
from nightspot.model.decision import Decision
from nightspot.model.events import (
    AttemptEnded,
    AttemptSeen,
    CheckpointSeen,
    DecisionChanged,
    Event,
    InterruptionSeen,
    LaunchRefused,
    LaunchRequested,
    Limit,
    LimitHit,
    OfferChanged,
    PhaseChanged,
    RefusalReason,
    RunClosed,
    RunOpened,
    SightLost,
    SightRegained,
    Told,
    UserAsked,
    Warned,
)
from nightspot.model.job import Job
from nightspot.model.learn import as_good_as_refused, learned_units_s, slower_lead
from nightspot.model.refusals import TWICE, hopeless, outcome_of

NOTHING = Decision((), 0.0, "nothing decided yet")


@dataclass(frozen=True)  # no slots: see `change`
class RunState:
    """Everything the loop knows of one Run.

    `durable_units`: work that would survive anything now. `failures`: failed Attempts since the last new Checkpoint.
    `save_gap_s`: the mean time between two Checkpoints of one incarnation, None before the first two (`save_gaps` of them were seen).
    `no_probe`: Pools on which a PROBE failed.
    `refused_utc`: when each Pool last refused a launch, and `refusals` why. `unit_s` is planned with; `firm_unit_s` is it without what
    rests on one Checkpoint alone.
    """

    run_id: str
    nonce: str
    job: Job
    opened_utc: float
    start_utc: float
    deadline_utc: float
    anchor_real_utc: float
    bounds: Mapping[str, Bounds]
    unit_s: float
    firm_unit_s: float
    seq: int = 1
    decision: Decision = NOTHING
    attempts: tuple[Attempt, ...] = ()
    offers: Mapping[str, Offer] = field(default_factory=lambda: MappingProxyType({}))
    refused_utc: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    refusals: Mapping[str, tuple[RefusalReason, ...]] = field(default_factory=lambda: MappingProxyType({}))
    durable_units: float = 0.0
    durable_utc: float | None = None
    durable_digest: str = ""
    save_gap_s: float | None = None
    save_gaps: int = 0
    failures: int = 0
    on_demand_asked_utc: float | None = None
    asked: str | None = None
    no_probe: frozenset[str] = frozenset()
    limits_hit: frozenset[Limit] = frozenset()
    told: frozenset[str] = frozenset()
    warned: frozenset[Warned] = frozenset()
    completed: bool = False
    hopeless: str = ""
    outcome: RunOutcome | None = None
    late: bool = False
    closed_utc: float | None = None
    why: str = ""

    @property
    def live(self) -> tuple[Attempt, ...]:
        """Attempts that may bill: intents, and all that are not confirmed ended."""
        return tuple([a for a in self.attempts if a.outcome is None])

    @property
    def foremost(self) -> Attempt | None:
        """The live Attempt that trains or shall; a PROBE where there is nothing else, None where nothing lives."""
        return max(self.live, key=lambda attempt: (attempt.role is Role.TRAIN, attempt.number), default=None)

    @property
    def launches(self) -> int:
        """Attempts that were launched, or may have been. A request that was refused, or met no capacity, cost nothing, and is not one."""
        return len([a for a in self.attempts if a.launched])

    @property
    def left_s(self) -> float:
        """Seconds of work at speed 1 that are not durable yet."""
        return max(0.0, self.job.work.units - self.durable_units) * self.unit_s

    @property
    def spent_usd(self) -> float:
        """Cost of the Attempts that have ended."""
        return sum([a.cost_usd for a in self.attempts])

    def attempt(self, number: int) -> Attempt:
        """The Attempt of that number (they count from 1)."""
        return self.attempts[number - 1]


def open_run(event: RunOpened) -> RunState:
    """The state right after a night began."""
    return RunState(
        run_id=event.run_id,
        nonce=event.nonce,
        job=event.job,
        opened_utc=event.at_utc,
        start_utc=event.start_utc,
        deadline_utc=event.deadline_utc,
        anchor_real_utc=event.anchor_real_utc,
        bounds=event.bounds,
        unit_s=event.job.work.unit_s,
        firm_unit_s=event.job.work.unit_s,
    )


def apply(state: RunState, event: Event) -> RunState:
    """The state after one more Event. Raises ValueError for a second RunOpened, or any change of a closed Run's outcome."""
    if state.outcome is not None and not isinstance(event, (Told, Warned)):
        raise ValueError(f"run {state.run_id} is closed; {type(event).__name__} comes too late")
    return _APPLY[type(event)](state, event)


def replay(events: Iterable[Event]) -> RunState:
    """Fold a whole Journal. Raises ValueError where it does not begin with RunOpened."""
    stream = iter(events)
    first = next(stream, None)
    if not isinstance(first, RunOpened):
        raise ValueError("a journal begins with RunOpened")
    state = open_run(first)
    for event in stream:
        state = apply(state, event)
    return state


def _opened(state: RunState, _event: RunOpened) -> RunState:
    raise ValueError(f"run {state.run_id} was opened twice")


def _offer(state: RunState, event: OfferChanged) -> RunState:
    offers, before = dict(state.offers), state.offers.get(event.pool_id)
    offer = Offer(event.pool_id, event.seen, event.at_utc)
    if event.seen is Sight.UNKNOWN and before is not None and before.seen is not Sight.UNKNOWN:
        offer = changed(offer, last=before.seen, last_utc=event.at_utc, last_since_utc=before.since_utc)
    offers[event.pool_id] = offer
    return changed(state, seq=state.seq + 1, offers=offers)


def _decision(state: RunState, event: DecisionChanged) -> RunState:
    return changed(state, seq=state.seq + 1, decision=Decision(event.wants, event.at_utc, event.why, event.by))


def _requested(state: RunState, event: LaunchRequested) -> RunState:
    attempt = Attempt(
        number=event.number,
        token=event.token,
        pool_id=event.pool_id,
        role=event.role,
        requested_utc=event.at_utc,
        not_after_utc=event.not_after_utc,
        units_start=state.durable_units,
        units_done=state.durable_units,
        phase_utc=event.at_utc,
    )
    asked_utc = state.on_demand_asked_utc
    if asked_utc is None and state.job.pool(event.pool_id).market is Market.ON_DEMAND:
        asked_utc = event.at_utc
    return changed(state, seq=state.seq + 1, attempts=(*state.attempts, attempt), on_demand_asked_utc=asked_utc)


def _refused(state: RunState, event: LaunchRefused) -> RunState:
    detail = event.message or event.reason.value
    if event.reason is not RefusalReason.ABSENT:
        pool_id = state.attempt(event.number).pool_id
        refusals = {**state.refusals, pool_id: (*state.refusals.get(pool_id, ()), event.reason)[-TWICE:]}
        refused_utc = {**state.refused_utc, pool_id: event.at_utc}
        why = hopeless(state.job, refusals, detail)
        state = changed(state, refused_utc=refused_utc, refusals=refusals, hopeless=why or state.hopeless)
    outcome, at_utc = outcome_of(event.reason), event.at_utc
    ended = {"outcome": outcome, "phase": Phase.ENDED, "phase_utc": at_utc, "ended_utc": at_utc, "detail": detail}
    return _change(state, event.number, **ended)


def _seen(state: RunState, event: AttemptSeen) -> RunState:
    refusals = {k: v for k, v in state.refusals.items() if k != state.attempt(event.number).pool_id}
    return _change(state, event.number, {"refusals": refusals}, seen=True, handle=event.handle)


def _phase(state: RunState, event: PhaseChanged) -> RunState:
    attempt = state.attempt(event.number)
    change = moves.moved(attempt, event)
    if event.phase is not Phase.TRAINING:
        return _change(state, event.number, **change)
    pool = state.job.pool(attempt.pool_id)
    learned = slower_lead(pool, state.bounds.get(attempt.pool_id), attempt, event)
    bounds = state.bounds if learned is None else {**state.bounds, attempt.pool_id: learned}
    return _change(state, event.number, {"bounds": bounds, "on_demand_asked_utc": None}, **change)


def _interruption(state: RunState, event: InterruptionSeen) -> RunState:
    # What gave notice has as good as refused the next request, from the moment when it goes.
    gone_utc = event.kill_utc if event.kill_utc is not None else event.at_utc
    refused_utc = {**state.refused_utc, state.attempt(event.number).pool_id: gone_utc}
    return _change(state, event.number, {"refused_utc": refused_utc}, notice_utc=event.at_utc)


def _checkpoint(state: RunState, event: CheckpointSeen) -> RunState:
    attempt = state.attempt(event.number)
    unit_s, firm_unit_s = learned_units_s(state.job, state.unit_s, state.firm_unit_s, attempt, event)
    also: dict[str, Any] = {"unit_s": unit_s, "firm_unit_s": firm_unit_s}
    if event.units_done > state.durable_units:
        also |= {"durable_units": event.units_done, "durable_utc": event.at_utc}
        also |= {"durable_digest": event.digest, "failures": 0, **_pace(state, attempt, event)}
    change: dict[str, Any] = {"units_done": max(attempt.units_done, event.units_done)}
    if attempt.first_saved_utc is None and attempt.trained_from_utc is not None:
        change |= {"first_saved_utc": event.at_utc, "first_saved_units": event.units_done}
    return _change(state, event.number, also, **change)


def _pace(state: RunState, attempt: Attempt, event: CheckpointSeen) -> Mapping[str, Any]:
    """How far apart Checkpoints are: those of one incarnation, none of them asked for."""
    last_utc, asked_utc = state.durable_utc, attempt.save_asked_utc
    if last_utc is None or attempt.first_saved_utc is None or (asked_utc is not None and asked_utc >= last_utc):
        return {}
    count, gap_s = state.save_gaps, max(0.0, event.at_utc - last_utc)
    return {"save_gap_s": ((state.save_gap_s or 0.0) * count + gap_s) / (count + 1), "save_gaps": count + 1}


def _sight_lost(state: RunState, event: SightLost) -> RunState:
    before = state.attempt(event.number).phase
    return _change(state, event.number, phase=Phase.UNKNOWN, phase_before_unknown=before)


def _sight_regained(state: RunState, event: SightRegained) -> RunState:
    before = state.attempt(event.number).phase_before_unknown or Phase.BOOTING
    return _change(state, event.number, phase=before, phase_before_unknown=None)


def _told(state: RunState, event: Told) -> RunState:
    state = changed(state, told=state.told | {event.word})
    if event.number == 0:
        return changed(state, seq=state.seq + 1)
    return _change(state, event.number, **moves.told(state.attempt(event.number), event, state.durable_units))


def _warned(state: RunState, event: Warned) -> RunState:
    return changed(state, seq=state.seq + 1, warned=state.warned | {event})


def _ended(state: RunState, event: AttemptEnded) -> RunState:
    attempt = state.attempt(event.number)
    if attempt.outcome is not None:
        raise ValueError(f"attempt {event.number} of {state.run_id} ended twice")
    if event.outcome is AttemptOutcome.COMPLETED:
        state = changed(state, completed=True)
    if (
        event.outcome is AttemptOutcome.FAILED and attempt.role is Role.PROBE
    ):  # no training failed, and none is tried so again
        state = changed(state, no_probe=state.no_probe | {attempt.pool_id})
    elif event.outcome is AttemptOutcome.FAILED:
        hopeless = (event.detail or "it failed for good") if event.final else ""
        state = changed(state, failures=state.failures + 1, hopeless=hopeless)
    if as_good_as_refused(state.bounds.get(attempt.pool_id), attempt, event):
        # From when it was learned: what was not known could not be acted on, and the next Pool's turn comes first.
        learned_utc = max(event.at_utc, event.learned_utc)
        state = changed(state, refused_utc={**state.refused_utc, attempt.pool_id: learned_utc})
    return _change(state, event.number, **moves.ended(attempt, event))


def _limit(state: RunState, event: LimitHit) -> RunState:
    return changed(state, seq=state.seq + 1, limits_hit=state.limits_hit | {event.limit})


def _asked(state: RunState, event: UserAsked) -> RunState:
    return changed(state, seq=state.seq + 1, asked=event.word)


def _closed(state: RunState, event: RunClosed) -> RunState:
    return changed(
        state,
        seq=state.seq + 1,
        outcome=event.outcome,
        late=event.late,
        closed_utc=event.at_utc,
        why=event.why,
    )


def _change(
    state: RunState, number: int, also: Mapping[str, Any] = MappingProxyType({}), /, **changes: Any
) -> RunState:
    """One Attempt changed, and `also` of the Run; the sequence number moves by one."""
    attempts = list(state.attempts)
    attempts[number - 1] = changed(attempts[number - 1], **changes)
    return changed(state, seq=state.seq + 1, attempts=tuple(attempts), **also)


_APPLY: Mapping[type, Callable[[RunState, Any], RunState]] = MappingProxyType(
    {
        RunOpened: _opened,
        OfferChanged: _offer,
        DecisionChanged: _decision,
        LaunchRequested: _requested,
        LaunchRefused: _refused,
        AttemptSeen: _seen,
        PhaseChanged: _phase,
        InterruptionSeen: _interruption,
        CheckpointSeen: _checkpoint,
        SightLost: _sight_lost,
        SightRegained: _sight_regained,
        Told: _told,
        Warned: _warned,
        AttemptEnded: _ended,
        LimitHit: _limit,
        UserAsked: _asked,
        RunClosed: _closed,
    }
)
