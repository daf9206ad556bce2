"""Learning from past nights: how long a Pool really takes, and how long a unit of work really takes. Conservative on purpose.

Bounds come from the job file until there are 20 samples of a span, then from their 95th percentile, never below the job file's. A
unit's time comes from the 95th percentile of uninterrupted stretches of the same program on the same data; the job file's until there
are 5. How often a Pool is interrupted is a mean over all training on it, once there were 5 interruptions. A stop or a refusal lasts
until the loop has seen that it is over: nothing can be done before. What tonight shows to be slower still counts at once
(`model.learn`); what it shows to be faster waits for the next night.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Iterable, Mapping, Sequence, TypeGuard

from nightspot.model.attempt import AttemptOutcome, Phase
from nightspot.model.capacity import Bounds, Market, Pool
from nightspot.model.events import (
    AttemptEnded,
    CheckpointSeen,
    Event,
    LaunchRefused,
    LaunchRequested,
    PhaseChanged,
    Record,
    RefusalReason,
    RunOpened,
    Told,
)
from nightspot.model.job import Job, Work
from nightspot.model.measure import courses, sample
from nightspot.model.state import RunState, replay

BOUND_SAMPLES = 20
UNIT_SAMPLES = 5
INTERRUPTIONS = 5
QUANTILE = 0.95
# Older samples than the latest so many say little about tonight.
LATEST = 200
SPANS = ("lead_s", "stop_s", "refusal_s", "save_s")

Samples = dict[str, list[float]]


@dataclass(slots=True)
class Past:
    """What past nights showed, oldest first: by Pool (whatever its id was then) the spans it took, and stretches of work.

    `trained`: by Pool the seconds of training on it, and how often it was interrupted.
    """

    spans: dict[tuple[object, ...], Samples] = field(default_factory=dict)
    units_s: list[float] = field(default_factory=list)
    trained: dict[tuple[object, ...], tuple[float, int]] = field(default_factory=dict)

    def of(self, pool: Pool) -> Samples:
        """The samples of that Pool."""
        return self.spans.setdefault(_what(pool), {span: [] for span in SPANS})


def _what(pool: Pool) -> tuple[object, ...]:
    return pool.backend, pool.place, pool.instance_type, pool.market, pool.world_size


def quantile(samples: Sequence[float], share: float = QUANTILE) -> float:
    """The smallest sample that so large a share of them does not exceed. ValueError without samples."""
    if not samples:
        raise ValueError("no samples")
    return sorted(samples)[max(0, math.ceil(share * len(samples)) - 1)]


def look_back(job: Job, nights: Iterable[Sequence[Record]]) -> Past:
    """Read past nights of that Job, oldest first. Nights at another `time_scale` say nothing: real start-ups do not scale."""
    past = Past()
    for records in nights:
        opened = records[0].event if records else None
        if isinstance(opened, RunOpened) and opened.job.name == job.name and opened.job.time_scale == job.time_scale:
            state = replay([record.event for record in records])
            _add_spans(past, state, records)
            _add_trained(past, state, records)
            if opened.job.training.fingerprint == job.training.fingerprint and opened.job.work.unit == job.work.unit:
                _add_units(past, state, records)
    return past


def learned_bounds(job: Job, past: Past) -> Mapping[str, Bounds]:
    """By Pool id. A Pool without bounds in the job file has none until all that the guard plans with has been measured."""
    learned = {pool.id: _bounds(pool, past.of(pool)) for pool in job.pools}
    return {pool_id: bounds for pool_id, bounds in learned.items() if bounds is not None}


def _bounds(pool: Pool, samples: Samples) -> Bounds | None:
    measured = {span: quantile(taken[-LATEST:]) for span, taken in samples.items() if len(taken) >= BOUND_SAMPLES}
    if pool.bounds is None:
        return Bounds(**measured) if "lead_s" in measured and "stop_s" in measured else None
    return replace(pool.bounds, **{span: max(getattr(pool.bounds, span), value) for span, value in measured.items()})


def learned_work(job: Job, past: Past) -> Work:
    """The work, its unit's time as measured where there are samples enough."""
    samples = past.units_s[-LATEST:]
    if len(samples) < UNIT_SAMPLES:
        return job.work
    return replace(job.work, unit_s=quantile(samples), learned=True)


def learned_interruptions(job: Job, past: Past) -> Mapping[str, float]:
    """By Pool id, the mean seconds of training between two interruptions, where there were enough of them."""
    found = {pool.id: past.trained.get(_what(pool), (0.0, 0)) for pool in job.pools}
    return {pool_id: trained_s / times for pool_id, (trained_s, times) in found.items() if times >= INTERRUPTIONS}


def _add_trained(past: Past, state: RunState, records: Sequence[Record]) -> None:
    """A stretch of training was interrupted if its Attempt was, or if the backend began another incarnation after it."""
    trained = courses([record.event for record in records])
    for place, course in enumerate(trained):
        if course.end_utc is None:
            continue
        attempt = state.attempt(course.number)
        followed = any(later.number == course.number for later in trained[place + 1 :])
        taken = followed or attempt.outcome is AttemptOutcome.INTERRUPTED
        what = _what(state.job.pool(attempt.pool_id))
        before_s, times = past.trained.get(what, (0.0, 0))
        past.trained[what] = before_s + course.end_utc - course.from_utc, times + taken


def _add_units(past: Past, state: RunState, records: Sequence[Record]) -> None:
    for course in courses([record.event for record in records]):
        took_s, units = sample(course, state.job.work.units)
        if took_s > 0 and units > 0:
            past.units_s.append(took_s * state.job.pool(state.attempt(course.number).pool_id).speed / units)


def _add_spans(past: Past, state: RunState, records: Sequence[Record]) -> None:
    watch = _StopWatch(state, past)
    for record in records:
        watch.hear(record)


@dataclass(slots=True)
class _StopWatch:
    """Pairs what begins and ends a span, by the Attempt's number. Told twice, the first time counts.

    A queue for Spot is no start-up, and a wait that we ended ourselves says nothing of how long a refusal takes.
    """

    state: RunState
    past: Past
    began_utc: dict[tuple[int, str], float] = field(default_factory=dict)
    queued_utc: dict[int, float] = field(default_factory=dict)

    def hear(self, record: Record) -> None:
        event, seen_utc = record.event, record.seen_utc * self.state.job.time_scale
        if isinstance(event, LaunchRequested):
            self._begin(event.number, "lead_s", event.at_utc)
            self._begin(event.number, "refusal_s", seen_utc)
        elif isinstance(event, Told) and event.number > 0:
            self._word(event, seen_utc)
        elif isinstance(event, PhaseChanged):
            self._queue(event)
            if event.phase is Phase.TRAINING:
                self._end(event.number, "lead_s", event.at_utc)
        elif isinstance(event, CheckpointSeen):
            self._end(event.number, "save_s", event.at_utc)
        elif _refused(event):
            self._end(event.number, "refusal_s", seen_utc)
        elif isinstance(event, AttemptEnded) and event.outcome in (AttemptOutcome.RELEASED, AttemptOutcome.CANCELLED):
            self._end(event.number, "stop_s", seen_utc)

    def _word(self, event: Told, seen_utc: float) -> None:
        """What waited for `go` shows no start-up: it was ready long before, or not yet."""
        if event.word == "stop":
            self._begin(event.number, "stop_s", seen_utc)
        elif event.word == "checkpoint":
            self._begin(event.number, "save_s", event.at_utc)
        elif event.word == "go":
            self.began_utc.pop((event.number, "lead_s"), None)
        self.began_utc.pop((event.number, "refusal_s"), None)

    def _queue(self, event: PhaseChanged) -> None:
        """The time in a queue for Spot is taken out of the start-up."""
        since_utc = self.queued_utc.pop(event.number, None)
        if event.phase is Phase.QUEUED:
            self.queued_utc[event.number] = event.at_utc
        spot = self.state.job.pool(self.state.attempt(event.number).pool_id).market is Market.SPOT
        if since_utc is not None and spot and (event.number, "lead_s") in self.began_utc:
            self.began_utc[event.number, "lead_s"] += event.at_utc - since_utc

    def _begin(self, number: int, span: str, at_utc: float) -> None:
        self.began_utc.setdefault((number, span), at_utc)

    def _end(self, number: int, span: str, at_utc: float) -> None:
        began_utc = self.began_utc.pop((number, span), None)
        if began_utc is not None and at_utc >= began_utc:
            pool = self.state.job.pool(self.state.attempt(number).pool_id)
            self.past.of(pool)[span].append(at_utc - began_utc)


def _refused(event: Event) -> TypeGuard[LaunchRefused | AttemptEnded]:
    if isinstance(event, LaunchRefused):
        return event.reason is RefusalReason.NO_CAPACITY
    return isinstance(event, AttemptEnded) and event.outcome is AttemptOutcome.NO_CAPACITY
