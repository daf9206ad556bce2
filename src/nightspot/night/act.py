"""What the loop does to the world: words and launches. Intent is in the Journal before every launch, and before every `go`."""

from __future__ import annotations

from nightspot.errors import Unsure
from nightspot.model.attempt import Attempt, Phase, Role
from nightspot.model.events import (
    AttemptSeen,
    LaunchRefused,
    LaunchRequested,
    Limit,
    LimitHit,
    Told,
)
from nightspot.model.refusals import patience_s
from nightspot.model.state import RunState
from nightspot.night.look import handle_of, strangers
from nightspot.night.night import Night
from nightspot.night.ports import Backends, LaunchSpec, Refused

# A stop, or a go, that was not obeyed is said again after so long (market seconds), or after the Pool's own bound: words get lost.
STOP_AGAIN_S = 120.0
NOT_TRAINING = (Phase.REQUESTED, Phase.QUEUED, Phase.BOOTING, Phase.READY)


def stop(night: Night, backends: Backends, attempt: Attempt, now_utc: float) -> bool:
    """Tell it to stop, once, and again where that was not obeyed. True where it was told now."""
    bounds = night.state.bounds.get(attempt.pool_id)
    again_s = max(STOP_AGAIN_S, bounds.stop_s if bounds is not None else 0.0)
    if attempt.told == "stop" and now_utc - attempt.told_utc < again_s:
        return False
    backend = backends[night.state.job.pool(attempt.pool_id).backend]
    try:
        backend.tell(handle_of(attempt), "stop", now_utc)
    except Unsure:
        return False
    night.record(Told(now_utc, attempt.number, "stop"))
    return True


def stop_all(night: Night, backends: Backends, now_utc: float) -> None:
    """Tell every live Attempt to stop."""
    for attempt in night.state.live:
        if attempt.seen:
            stop(night, backends, attempt, now_utc)


def retry_utc(night: Night, pool_id: str) -> float:
    """When a Pool that refused may be asked again."""
    refused = night.state.refused_utc.get(pool_id)
    if refused is None:
        return float("-inf")
    reasons = night.state.refusals.get(pool_id, ())
    return refused + patience_s(night.state.job.pool(pool_id), reasons, night.settings.retry_s)


def token_of(state: RunState, number: int) -> str:
    """Unique for (Run, number) and the same for every controller that works it out."""
    return f"{state.run_id}-{state.nonce}-{number:03d}"


def launch(night: Night, backends: Backends, pool_id: str, role: Role, now_utc: float) -> bool:
    """Ask for that Pool, if there are launches left and it has not refused a moment ago. True where it is worth looking again at once."""
    state = night.state
    if state.launches >= state.job.limits.attempts or not _may_be_asked(night, pool_id, role, now_utc):
        return False
    number = len(state.attempts) + 1
    not_after_utc = state.deadline_utc + state.job.extend_s
    spec = LaunchSpec(
        run_id=state.run_id,
        number=number,
        token=token_of(state, number),
        pool=state.job.pool(pool_id),
        role=role,
        not_after_utc=not_after_utc,
        job=state.job,
        units_start=state.durable_units,
    )
    night.record(LaunchRequested(now_utc, number, spec.token, pool_id, role, not_after_utc))
    return _carry_out(night, backends, spec, now_utc)


def _may_be_asked(night: Night, pool_id: str, role: Role, now_utc: float) -> bool:
    """A request that we took out of a queue ourselves has not been refused: a PROBE may stand there at once. One that was granted, and not
    used, is not asked for again at once."""
    last = next((a for a in reversed(night.state.attempts) if a.pool_id == pool_id), None)
    if role is Role.TRAIN or last is None or last.stop_utc is None:
        return now_utc >= retry_utc(night, pool_id)
    if last.role is Role.PROBE and last.granted_utc is not None and last.ended_utc is not None:
        return now_utc >= last.ended_utc + max(night.settings.retry_s, night.settings.reaction_s)
    return now_utc >= retry_utc(night, pool_id) or night.abilities[pool_id].queues


def _carry_out(night: Night, backends: Backends, spec: LaunchSpec, now_utc: float) -> bool:
    try:
        answer = backends[spec.pool.backend].launch(spec, now_utc)
    except Unsure as error:  # the intent stays open; it is settled under its own token
        night.warn_once(now_utc, spec.number, f"its launch was not answered, and is asked after: {error}")
        return False
    if isinstance(answer, Refused):
        night.record(LaunchRefused(now_utc, spec.number, answer.reason, answer.message))
        return True
    night.record(AttemptSeen(now_utc, spec.number, answer.name))
    abilities = night.abilities[spec.pool.id]
    return abilities.queues and abilities.visibility_lag_s == 0.0  # it may have been granted on the spot


def say_go(night: Night, backends: Backends, attempt: Attempt, now_utc: float) -> bool:
    """From now on it trains, whether the word arrives or not: it is recorded first, so that nothing else ever trains beside it."""
    night.record(Told(now_utc, attempt.number, "go"))
    remind(night, backends, now_utc)
    return True


def remind(night: Night, backends: Backends, now_utc: float) -> None:
    """Say `go` to whoever was to be told and does not train yet: now, where this controller never has, and again after a while."""
    for attempt in night.state.live:
        waits = attempt.gone_utc is not None and attempt.shown in NOT_TRAINING
        if not waits or now_utc - night.gone_utc.get(attempt.number, float("-inf")) < STOP_AGAIN_S:
            continue
        try:
            backends[night.state.job.pool(attempt.pool_id).backend].tell(handle_of(attempt), "go", now_utc)
        except Unsure:
            continue
        night.gone_utc[attempt.number] = now_utc


def sweep(night: Night, backends: Backends, now_utc: float) -> None:
    """Each minute: stop whatever runs under this Run's name without being a live Attempt of it."""
    if now_utc - night.swept_utc >= night.settings.sweep_s:
        night.swept_utc = now_utc
        swept(night, backends, now_utc)


def swept(night: Night, backends: Backends, now_utc: float) -> bool:
    """The same, now. True where there was certainly nothing."""
    clean = True
    for name in night.pools_by_backend:
        try:
            for handle in strangers(backends[name].live(night.state.run_id), night.state):
                clean = False  # recorded first: to a controller that another has overtaken, what that launched looks strange
                night.record(LimitHit(now_utc, Limit.STRANGER, f"{handle.token} ran and was nobody's: stopped"))
                backends[name].tell(handle, "stop", now_utc)
        except Unsure:
            clean = False
    return clean


def ask_to_save(night: Night, backends: Backends, now_utc: float, trip_utc: float) -> None:
    """Before capacity is let go at `trip_utc`, ask once for a Checkpoint, `save_s` and a reaction ahead."""
    for attempt in night.state.live:
        due = now_utc >= trip_utc - save_wait_s(night, attempt)
        if due and attempt.phase is Phase.TRAINING and _not_asked(night.state, attempt):
            ask_for_checkpoint(night, backends, attempt, now_utc)


def save_wait_s(night: Night, attempt: Attempt) -> float:
    """How long a Checkpoint that was asked for may take until it is seen."""
    bounds = night.state.bounds.get(attempt.pool_id)
    return (bounds.save_s if bounds is not None else 0.0) + night.settings.reaction_s


def ask_for_checkpoint(night: Night, backends: Backends, attempt: Attempt, now_utc: float) -> bool:
    """True where it was asked."""
    try:
        backends[night.state.job.pool(attempt.pool_id).backend].tell(handle_of(attempt), "checkpoint", now_utc)
    except Unsure:
        return False
    night.record(Told(now_utc, attempt.number, "checkpoint"))
    return True


def _not_asked(state: RunState, attempt: Attempt) -> bool:
    asked = attempt.save_asked_utc
    return asked is None or (state.durable_utc is not None and state.durable_utc > asked)
