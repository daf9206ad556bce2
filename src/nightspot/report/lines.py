"""One plain line for each Event worth hearing: what `nightspot run` prints where there is no terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping

from nightspot.model.attempt import AttemptOutcome, Phase, Role
from nightspot.model.capacity import Sight
from nightspot.model.events import (
    AttemptEnded,
    CheckpointSeen,
    DecisionChanged,
    Event,
    InterruptionSeen,
    LaunchRefused,
    LaunchRequested,
    LimitHit,
    OfferChanged,
    PhaseChanged,
    RunClosed,
    RunOpened,
    SightLost,
    SightRegained,
    Told,
    UserAsked,
    Warned,
)
from nightspot.report.words import Moments, compressed, count, money, shortened, span, units

SIGHTS = {Sight.UP: "there is capacity", Sight.DOWN: "no capacity", Sight.UNKNOWN: "capacity cannot be seen"}
PHASES = {Phase.QUEUED: "waits in the queue", Phase.READY: "is ready, and waits for its turn"}
ALARMS = (LimitHit, Warned, SightLost)


@dataclass(slots=True)
class Narrator:
    """Tells a night, Event by Event. It remembers only what a sentence needs: which Pool each Attempt is on."""

    moments: Moments = field(default_factory=Moments)
    work: str = ""
    opened_utc: float = float("-inf")
    deadline_utc: float = 0.0
    prices: dict[str, float] = field(default_factory=dict)
    pools: dict[int, str] = field(default_factory=dict)
    sighted: set[str] = field(default_factory=set)

    def tell(self, event: Event) -> str | None:
        """The line, with its market time; None for what is not worth one."""
        sentence = _SENTENCES[type(event)](self, event) if type(event) in _SENTENCES else None
        at_utc = max(event.at_utc, self.opened_utc)  # capacity may have been as it is since long before
        return f"{self.moments.clock(at_utc)}  {sentence}" if sentence else None

    def who(self, number: int) -> str:
        """An Attempt and its Pool."""
        return f"attempt {number} on {self.pools.get(number, '?')}"

    def so_far(self, done: float) -> str:
        """Units done, of all."""
        return f"{count(done)} of {self.work}"


def _opened(narrator: Narrator, event: RunOpened) -> str:
    job = event.job
    narrator.moments = Moments(job.timezone)
    narrator.work = units(job.work.units, job.work.unit)
    narrator.opened_utc, narrator.deadline_utc = event.at_utc, event.deadline_utc
    narrator.prices = {pool.id: pool.price_usd_per_hour for pool in job.pools if not pool.unpriced}
    about = f"{narrator.work}, about {span(job.work.total_s)} of work"
    due = f"by {narrator.moments.full(event.deadline_utc)}"
    said = f"run {event.run_id} begins: {about}, {due}; policy {job.policy.name}"
    wait_s = event.start_utc - event.at_utc
    if wait_s > 0:
        said += f". The window opens at {narrator.moments.full(event.start_utc)}, in {span(wait_s)}: nothing is asked for before"
    return f"{said}. {compressed(job.time_scale)}".strip()


def _offer(narrator: Narrator, event: OfferChanged) -> str | None:
    """Of a Pool that nobody has ever seen there is nothing to say."""
    known = event.pool_id in narrator.sighted
    narrator.sighted.add(event.pool_id)
    return f"{event.pool_id}: {SIGHTS[event.seen]}" if known or event.seen is not Sight.UNKNOWN else None


def _decision(_narrator: Narrator, event: DecisionChanged) -> str:
    wanted = ", ".join(w.pool_id + (" (probe)" if w.role is Role.PROBE else "") for w in event.wants) or "nothing"
    return f"{event.by} decides: hold {wanted} ({event.why})"


def _requested(narrator: Narrator, event: LaunchRequested) -> str:
    narrator.pools[event.number] = event.pool_id
    price = narrator.prices.get(event.pool_id)
    cost = f"at {money(price)} an hour" if price is not None else "at a price that nobody knows"
    probe = " as a probe beside what trains" if event.role is Role.PROBE else ""
    return f"{narrator.who(event.number)} asked for{probe}, {cost}"


def _refused(narrator: Narrator, event: LaunchRefused) -> str:
    return f"{narrator.who(event.number)} refused: {shortened(event.message or event.reason.value)}"


def _phase(narrator: Narrator, event: PhaseChanged) -> str | None:
    if event.phase is Phase.TRAINING:
        again = f", started again by its backend: incarnation {event.incarnation}" if event.incarnation > 1 else ""
        return f"{narrator.who(event.number)} trains, from {narrator.so_far(event.units_done)}{again}"
    return f"{narrator.who(event.number)} {PHASES[event.phase]}" if event.phase in PHASES else None


def _interruption(narrator: Narrator, event: InterruptionSeen) -> str:
    when = f" at {narrator.moments.clock(event.kill_utc)}" if event.kill_utc is not None else ""
    return f"{narrator.who(event.number)}: notice, its capacity is taken back{when}"


def _checkpoint(narrator: Narrator, event: CheckpointSeen) -> str:
    unverified = "" if event.verified else " (unverified)"
    return f"checkpoint at {narrator.so_far(event.units_done)}{unverified}"


def _sight_lost(narrator: Narrator, event: SightLost) -> str:
    return f"WARNING: {narrator.who(event.number)} is out of sight, and held to be alive: {event.message}"


def _sight_regained(narrator: Narrator, event: SightRegained) -> str:
    return f"{narrator.who(event.number)} is in sight again"


def _told(narrator: Narrator, event: Told) -> str:
    if event.number == 0:
        return f"{event.word.replace(':', ' ')}: {event.message}"
    words = {"stop": "is told to stop", "checkpoint": "is asked for a checkpoint", "go": "is told to train"}
    return f"{narrator.who(event.number)} {words.get(event.word, 'is told ' + event.word)}"


def _warned(narrator: Narrator, event: Warned) -> str:
    return f"WARNING from {narrator.who(event.number)}: {event.message}"


def _ended(narrator: Narrator, event: AttemptEnded) -> str:
    outcome = event.outcome.value.replace("-", " ").upper() if event.outcome in BAD else event.outcome.value
    unpriced = event.billable_s > 0 and event.cost_usd == 0 and narrator.pools.get(event.number) not in narrator.prices
    billed = f"{span(event.billable_s)} billed, {'nobody knows what' if unpriced else money(event.cost_usd)}"
    detail = f" ({event.detail})" if event.detail else ""
    return f"{narrator.who(event.number)} {outcome} at {narrator.so_far(event.units_done)}; {billed}{detail}"


BAD = (AttemptOutcome.FAILED, AttemptOutcome.LOST)


def _limit(_narrator: Narrator, event: LimitHit) -> str:
    return f"{event.limit.value.upper()}: {event.message}"


def _asked(_narrator: Narrator, event: UserAsked) -> str:
    return f"the user asks: {event.word}"


def _closed(narrator: Narrator, event: RunClosed) -> str:
    margin_s = narrator.deadline_utc - event.at_utc
    when = f"{span(abs(margin_s))} {'after' if event.late else 'before'} the deadline"
    return f"run {event.outcome.value}, {when}: {event.why}"


_SENTENCES: Mapping[type, Callable[[Narrator, Any], str | None]] = {
    RunOpened: _opened,
    OfferChanged: _offer,
    DecisionChanged: _decision,
    LaunchRequested: _requested,
    LaunchRefused: _refused,
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
