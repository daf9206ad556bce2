"""Looking at the world: what changed becomes Events. Nothing is started or stopped here."""

from __future__ import annotations

import math
from typing import Sequence

from nightspot.errors import Unsure
from nightspot.model.attempt import Attempt, AttemptOutcome, Phase
from nightspot.model.capacity import Pool
from nightspot.model.events import (
    AttemptEnded,
    AttemptSeen,
    CheckpointSeen,
    Event,
    InterruptionSeen,
    LaunchRefused,
    OfferChanged,
    PhaseChanged,
    RefusalReason,
    SightLost,
    SightRegained,
    Warned,
)
from nightspot.model.state import RunState
from nightspot.night.night import Night
from nightspot.night.ports import (
    Backend,
    Backends,
    Ended,
    EndKind,
    Handle,
    News,
    NoticeSeen,
    PhaseSeen,
    Report,
    SavedCheckpoint,
    WarningSeen,
)


def look(night: Night, backends: Backends, now_utc: float) -> None:
    """Poll what lives, settle open intents, see what is on offer."""
    for attempt in night.state.live:
        backend = backends[night.state.job.pool(attempt.pool_id).backend]
        if attempt.seen:
            _poll(night, backend, attempt, now_utc)
        else:
            _settle(night, backend, attempt, now_utc)
    see_offers(night, backends, now_utc)


def see_offers(night: Night, backends: Backends, now_utc: float) -> None:
    """Record what changed about the Pools."""
    known = night.state.offers
    changed: list[Event] = []
    for name, pools in night.pools_by_backend.items():
        try:
            offers = backends[name].offers(pools, now_utc)
        except Unsure:
            continue
        for offer in offers:
            before = known.get(offer.pool_id)
            if before is None or before.seen is not offer.seen:
                changed.append(OfferChanged(offer.since_utc, offer.pool_id, offer.seen))
    if changed:
        night.record(*changed)


def _settle(night: Night, backend: Backend, attempt: Attempt, now_utc: float) -> None:
    """An open intent closes only under its own token: found, or absent after the backend's lag."""
    try:
        handle = backend.find(attempt.token)
    except Unsure as error:
        night.warn_once(
            now_utc, attempt.number, f"nobody knows yet whether it runs, and nothing else is launched: {error}"
        )
        return
    if handle is not None:
        night.record(AttemptSeen(now_utc, attempt.number, handle.name))
        _poll(night, backend, night.state.attempt(attempt.number), now_utc)
    elif now_utc - attempt.requested_utc >= backend.abilities(_pool(night, attempt)).visibility_lag_s:
        night.record(LaunchRefused(now_utc, attempt.number, RefusalReason.ABSENT, "its launch left no trace"))


def _poll(night: Night, backend: Backend, attempt: Attempt, now_utc: float) -> None:
    cursor = night.cursors.get(attempt.number, 0)
    try:
        report = backend.poll(handle_of(attempt), cursor, now_utc)
    except Unsure as error:
        if attempt.phase is not Phase.UNKNOWN:
            night.record(SightLost(now_utc, attempt.number, str(error)))
        return
    events = _events(night, backend, attempt, report, now_utc)
    if events:
        night.record(*events)
    _remember(night, attempt.number, report, now_utc)


def _remember(night: Night, number: int, report: Report, now_utc: float) -> None:
    before = night.reports.get(number)
    if before is None or report.units_done != before.units_done or report.news:
        night.progress_utc[number] = now_utc
    night.cursors[number] = report.cursor
    night.reports[number] = report


def _events(night: Night, backend: Backend, attempt: Attempt, report: Report, now_utc: float) -> list[Event]:
    events: list[Event] = []
    if attempt.phase is Phase.UNKNOWN:
        events.append(SightRegained(now_utc, attempt.number))
    for news in report.news:
        event = _event(attempt, news)
        if event is not None and not _known(night.state, event):
            events.append(event)
    if report.ended is not None:
        events.append(_end(night, backend, attempt, report, report.ended, now_utc))
    return events


def _event(attempt: Attempt, news: News) -> Event | None:
    if isinstance(news, SavedCheckpoint):
        return CheckpointSeen(
            news.at_utc, attempt.number, news.units_done, news.name, news.digest, news.save_s, news.verified
        )
    if isinstance(news, PhaseSeen):
        return PhaseChanged(news.at_utc, attempt.number, news.phase, news.incarnation, news.units_done)
    if isinstance(news, NoticeSeen):
        return InterruptionSeen(news.at_utc, attempt.number, news.kill_utc)
    if isinstance(news, WarningSeen):
        return Warned(news.at_utc, attempt.number, news.message)
    return None


def _known(state: RunState, event: Event) -> bool:
    """A restarted controller reads an Attempt's news from the start: what the Journal has is not news."""
    if isinstance(event, CheckpointSeen):
        return event.units_done <= state.durable_units and event.at_utc <= (state.durable_utc or -math.inf)
    if isinstance(event, PhaseChanged):
        attempt = state.attempt(event.number)
        later = event.incarnation == attempt.incarnation and _ORDER[event.phase] <= _ORDER[attempt.shown]
        return event.incarnation < attempt.incarnation or later
    if isinstance(event, InterruptionSeen):
        return state.attempt(event.number).notice_utc == event.at_utc
    return event in state.warned


_ORDER = {phase: place for place, phase in enumerate(Phase)}


def _end(
    night: Night, backend: Backend, attempt: Attempt, report: Report, ended: Ended, now_utc: float
) -> AttemptEnded:
    outcome, detail, final = _judge(night.state, attempt, ended)
    billable_s, cost_usd = _bill(night, backend, attempt, ended, now_utc)
    return AttemptEnded(
        at_utc=ended.at_utc,
        number=attempt.number,
        outcome=outcome,
        units_done=max(report.units_done, attempt.units_done),
        billable_s=billable_s,
        cost_usd=cost_usd,
        exit_code=ended.exit_code,
        artifact_sha256=ended.artifact_sha256,
        metrics=ended.metrics or None,
        facts=ended.facts or None,
        detail=detail,
        final=final,
        learned_utc=now_utc,
    )


def _judge(state: RunState, attempt: Attempt, ended: Ended) -> tuple[AttemptOutcome, str, bool]:
    """Completed means: success, the artefact written by this Run, metrics finite. A missing artefact is a failure for good."""
    if ended.kind is not EndKind.SUCCEEDED:
        return _not_completed(state, attempt, ended), ended.detail, ended.final
    if state.job.training.artifact is not None and ended.artifact_sha256 is None:
        detail = f"it ended well, but {state.job.training.artifact} was not written by this run"
        return AttemptOutcome.FAILED, detail, True
    bad = [name for name, value in ended.metrics.items() if not math.isfinite(value)]
    if bad:
        return AttemptOutcome.FAILED, f"metric {bad[0]} is not finite: the model is not used", True
    return AttemptOutcome.COMPLETED, ended.detail, False


def _not_completed(state: RunState, attempt: Attempt, ended: Ended) -> AttemptOutcome:
    if ended.kind is EndKind.STOPPED:
        return AttemptOutcome.CANCELLED if state.asked else AttemptOutcome.RELEASED
    if ended.kind is EndKind.FAILED and attempt.told == "stop" and not ended.final:
        return AttemptOutcome.CANCELLED if state.asked else AttemptOutcome.RELEASED
    return {
        EndKind.TAKEN: AttemptOutcome.INTERRUPTED,
        EndKind.FAILED: AttemptOutcome.FAILED,
        EndKind.NO_CAPACITY: AttemptOutcome.NO_CAPACITY,
        EndKind.LOST: AttemptOutcome.LOST,
    }[ended.kind]


def _bill(night: Night, backend: Backend, attempt: Attempt, ended: Ended, now_utc: float) -> tuple[float, float]:
    """The backend's bill; where it does not know yet, the time held at the Pool's price. A queue bills nothing."""
    try:
        bill = backend.bill(handle_of(attempt), now_utc)
    except Unsure:
        bill = None
    if bill is not None:
        return bill.billable_s, bill.cost_usd
    held_s = max(0.0, ended.at_utc - attempt.requested_utc - attempt.waited_s(ended.at_utc))
    return held_s, held_s / 3600.0 * _pool(night, attempt).price_usd_per_hour


def _pool(night: Night, attempt: Attempt) -> Pool:
    return night.state.job.pool(attempt.pool_id)


def handle_of(attempt: Attempt) -> Handle:
    """Where the backend finds it."""
    return Handle(attempt.token, attempt.pool_id, attempt.handle)


def strangers(handles: Sequence[Handle], state: RunState) -> list[Handle]:
    """What runs under this Run's name and is no live Attempt of it."""
    ours = {a.token for a in state.live}
    return [h for h in handles if h.token not in ours]
