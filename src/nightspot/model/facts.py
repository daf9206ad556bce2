"""What a report says of one Run: a pure fold over its Records. Nothing here is known to the loop, and nothing is decided by it.

All times are market time, seconds since the epoch; `iso` writes them as people and programs read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Iterable, Mapping, Sequence

from nightspot.model.attempt import Attempt, AttemptOutcome, Role, RunOutcome
from nightspot.model.capacity import Market, Pool
from nightspot.model.events import (
    AttemptEnded,
    CheckpointSeen,
    DecisionChanged,
    LimitHit,
    Record,
    RunOpened,
    Told,
    Warned,
)
from nightspot.model.measure import Course, courses, lost_work_s, unit_s
from nightspot.model.spans import Span, held_spans
from nightspot.model.state import RunState, replay

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """One Attempt. Live ones have no outcome and no end; what they bill is then the time held at the Pool's price.

    `units` is what it had done when it ended, all Attempts before it included; `lost_work_s` of it was to be done again. `queued_s`: how
    long it waited in a queue, holding nothing; `held`: when it did hold something. `role` is "probe" where it waited beside what trained,
    and never trained itself; `probed`: it began so.
    """

    number: int
    pool: str
    market: str
    outcome: str | None
    started_utc: float
    training_utc: float | None
    ended_utc: float | None
    billable_s: float
    cost_usd: float
    units: float
    lost_work_s: float
    queued_s: float
    incarnation: int
    exit_code: int | None
    detail: str
    held: tuple[Span, ...] = ()
    role: str = "train"
    probed: bool = False


@dataclass(frozen=True, slots=True)
class DecisionFacts:
    """One change of the desired holding: the Pools to hold (none: hold nothing), the reason, and who had the last word.

    `roles`: what each is held for, "train" or "probe".
    """

    at_utc: float
    wants: tuple[str, ...]
    why: str
    by: str
    roles: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The Pools, and which of them is only a probe."""
        roles = self.roles or ("train",) * len(self.wants)
        return tuple(w if role == "train" else f"{w} (probe)" for w, role in zip(self.wants, roles, strict=True))


@dataclass(frozen=True, slots=True)
class Remark:
    """Something the user should hear: a warning of an Attempt (0: of the loop), or a limit that was reached."""

    at_utc: float
    kind: str
    message: str
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One night, as reports and programs are told of it. `outcome` is None while it is open.

    `work_s` is the work that was done, at speed 1; on-demand alone would have billed it and one start-up on `guard_pool`.
    `unpriced`: Pools that were used and whose price nobody knows; `cost_usd` is without them.
    """

    run_id: str
    job: str
    outcome: str | None
    late: bool
    why: str
    policy: str
    opened_utc: float
    start_utc: float
    deadline_utc: float
    finished_utc: float | None
    timezone: str
    time_scale: float
    miss_means: str
    unit: str
    units: float
    units_done: float
    unit_s: float
    work_s: float
    attempts: tuple[AttemptFacts, ...]
    interruptions: int
    lost_work_s: float
    cost_usd: float
    unpriced: tuple[str, ...]
    guard_pool: str | None
    on_demand_cost_usd: float
    saving_usd: float
    saving_percent: float
    fell_back: bool
    verified: bool
    model_sha256: str | None
    artifact: str | None
    fingerprint: str
    version: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    decisions: tuple[DecisionFacts, ...] = ()
    warnings: tuple[Remark, ...] = ()
    limits: tuple[Remark, ...] = ()
    hooks: tuple[Remark, ...] = ()


def iso(at_utc: float) -> str:
    """ISO 8601 in UTC, ending in Z; to the millisecond where there are any."""
    moment = EPOCH + timedelta(milliseconds=round(at_utc * 1000))
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def facts_of(records: Sequence[Record], now_utc: float | None = None) -> RunFacts:
    """All that is known of one Run. `now_utc` lets live Attempts be billed until now. Raises ValueError where it never began."""
    events = [record.event for record in records]
    state = replay(events)
    opened = next(e for e in events if isinstance(e, RunOpened))
    trained = courses(events)
    measured_s = unit_s(state, trained)
    lost_s, held = lost_work_s(state, trained, measured_s), held_spans(events)
    attempts = tuple(
        replace(_attempt(state, a, lost_s.get(a.number, 0.0), now_utc), held=held.get(a.number, ()))
        for a in state.attempts
    )
    facts = _identity(opened, state, attempts, measured_s, _units_done(state, trained))
    ends = [e for e in events if isinstance(e, AttemptEnded)]
    return _with_story(_with_model(_with_bill(facts, opened), ends), records)


def _identity(
    opened: RunOpened, state: RunState, attempts: tuple[AttemptFacts, ...], measured_s: float, units_done: float
) -> RunFacts:
    job = state.job
    return RunFacts(
        run_id=state.run_id,
        job=job.name,
        outcome=state.outcome.value if state.outcome is not None else None,
        late=state.late,
        why=state.why,
        policy=job.policy.name,
        opened_utc=state.opened_utc,
        start_utc=state.start_utc,
        deadline_utc=state.deadline_utc,
        finished_utc=state.closed_utc,
        timezone=job.timezone,
        time_scale=job.time_scale,
        miss_means=job.miss_means,
        unit=job.work.unit,
        units=job.work.units,
        units_done=units_done,
        unit_s=measured_s,
        work_s=units_done * measured_s,
        attempts=attempts,
        interruptions=sum(_interruptions(a) for a in attempts),
        lost_work_s=sum(a.lost_work_s for a in attempts),
        cost_usd=sum(a.cost_usd for a in attempts),
        unpriced=tuple(sorted({a.pool for a in attempts if job.pool(a.pool).unpriced})),
        guard_pool=None,
        on_demand_cost_usd=0.0,
        saving_usd=0.0,
        saving_percent=0.0,
        fell_back=any(a.market == Market.ON_DEMAND.value and _held(a) for a in attempts),
        verified=job.checkpoint.pattern is None,
        model_sha256=None,
        artifact=job.training.publish or job.training.artifact,
        fingerprint=job.training.fingerprint,
        version=opened.version,
    )


def _interruptions(attempt: AttemptFacts) -> int:
    """Each time that it was put back into a queue is one; being taken in the end is one more. A PROBE is none."""
    if attempt.role == Role.PROBE.value:
        return 0
    in_the_end = attempt.outcome == AttemptOutcome.INTERRUPTED.value and not (attempt.held and attempt.held[-1].taken)
    return sum(span.taken for span in attempt.held) + in_the_end


def _held(attempt: AttemptFacts) -> bool:
    """Whether there was anything to hold: a refused launch is an Attempt, but held nothing."""
    return attempt.billable_s > 0 or attempt.training_utc is not None


def _attempt(state: RunState, attempt: Attempt, lost_s: float, now_utc: float | None) -> AttemptFacts:
    billable_s, cost_usd = attempt.billable_s, attempt.cost_usd
    pool = state.job.pool(attempt.pool_id)
    if attempt.live and attempt.seen and now_utc is not None:
        billable_s = max(0.0, now_utc - attempt.requested_utc - attempt.waited_s(now_utc))
        cost_usd = _cost_usd(billable_s, pool)
    return AttemptFacts(
        number=attempt.number,
        pool=attempt.pool_id,
        market=pool.market.value,
        outcome=attempt.outcome.value if attempt.outcome is not None else None,
        started_utc=attempt.requested_utc,
        training_utc=attempt.trained_from_utc,
        ended_utc=attempt.ended_utc,
        billable_s=billable_s,
        cost_usd=cost_usd,
        units=attempt.units_done,
        lost_work_s=lost_s,
        queued_s=attempt.waited_s(_until_utc(attempt, now_utc)),
        incarnation=attempt.incarnation,
        exit_code=attempt.exit_code,
        detail=attempt.detail,
        role=attempt.role.value,
        probed=attempt.role is Role.PROBE or attempt.gone_utc is not None,
    )


def _until_utc(attempt: Attempt, now_utc: float | None) -> float:
    if attempt.ended_utc is not None:
        return attempt.ended_utc
    return now_utc if now_utc is not None else attempt.phase_utc


def _units_done(state: RunState, trained: Sequence[Course]) -> float:
    """All of it once completed; before that, what is durable, or known of the Attempt that trains."""
    if state.outcome is RunOutcome.COMPLETED or state.completed:
        return state.job.work.units
    live = {a.number: a.units_done for a in state.live}
    return max([state.durable_units, *(live.get(course.number, 0.0) for course in trained)])


def guard_pool(opened: RunOpened) -> Pool | None:
    """The Pool the saving is measured against: the first on-demand one with bounds, else the first one."""
    pools = opened.job.on_demand
    return next((p for p in pools if p.id in opened.bounds), pools[0] if pools else None)


def _with_bill(facts: RunFacts, opened: RunOpened) -> RunFacts:
    """The bill against a night wholly on on-demand: one start-up, then the work."""
    pool = guard_pool(opened)
    if pool is None or facts.work_s <= 0:
        return replace(facts, guard_pool=pool.id if pool else None)
    against_usd = _cost_usd(_start_up_s(facts, opened, pool) + facts.work_s / pool.speed, pool)
    saving_usd = against_usd - facts.cost_usd
    return replace(
        facts,
        guard_pool=pool.id,
        on_demand_cost_usd=against_usd,
        saving_usd=saving_usd,
        saving_percent=100.0 * saving_usd / against_usd if against_usd > 0 else 0.0,
    )


def _start_up_s(facts: RunFacts, opened: RunOpened, pool: Pool) -> float:
    """As long as that Pool took tonight, else as the others did; its bound where nothing trained: a bound flatters the saving."""
    took_s = {
        a.number: max(0.0, a.training_utc - a.started_utc - a.queued_s)
        for a in facts.attempts
        if a.training_utc is not None and a.incarnation == 1 and not a.probed
    }
    own_s = [took_s[a.number] for a in facts.attempts if a.pool == pool.id and a.number in took_s]
    measured_s = own_s or list(took_s.values())
    bounds = opened.bounds.get(pool.id)
    return sum(measured_s) / len(measured_s) if measured_s else (bounds.lead_s if bounds else 0.0)


def _cost_usd(held_s: float, pool: Pool) -> float:
    return held_s / 3600.0 * pool.price_usd_per_hour


def _with_model(facts: RunFacts, ends: Iterable[AttemptEnded]) -> RunFacts:
    """What the completed Attempt left behind."""
    for end in ends:
        if end.outcome is AttemptOutcome.COMPLETED:
            return replace(
                facts,
                model_sha256=end.artifact_sha256,
                metrics=dict(end.metrics or {}),
                facts=dict(end.facts or {}),
            )
    return facts


def _with_story(facts: RunFacts, records: Sequence[Record]) -> RunFacts:
    events = [record.event for record in records]
    decisions = [
        DecisionFacts(e.at_utc, tuple(w.pool_id for w in e.wants), e.why, e.by, tuple(w.role.value for w in e.wants))
        for e in events
        if isinstance(e, DecisionChanged)
    ]
    warnings = [Remark(e.at_utc, "warning", e.message, e.number) for e in events if isinstance(e, Warned)]
    limits = [Remark(e.at_utc, e.limit.value, e.message, e.number) for e in events if isinstance(e, LimitHit)]
    hooks = [Remark(e.at_utc, e.word, e.message) for e in events if isinstance(e, Told) and e.number == 0]
    verified = all(e.verified for e in events if isinstance(e, CheckpointSeen))
    return replace(
        facts,
        decisions=tuple(decisions),
        warnings=tuple(warnings),
        limits=tuple(limits),
        hooks=tuple(hooks),
        verified=facts.verified and verified,
    )
