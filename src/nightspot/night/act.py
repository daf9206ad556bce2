"""Making the world as decided: stop what is not wanted, then launch what is. Intent is in the Journal before every launch."""

from __future__ import annotations

from nightspot.errors import Unsure
from nightspot.model.attempt import Attempt, Phase
from nightspot.model.decision import Decision
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

# A stop that was not obeyed is said again after so long (market seconds), or after the Pool's own bound: words get lost.
STOP_AGAIN_S = 120.0


def reconcile(night: Night, backends: Backends, decision: Decision, now_utc: float) -> bool:
    """Stop and launch until the holding is the decided one. True where it is worth looking again at once."""
    wanted = {want.pool_id for want in decision.wants}
    unwanted = [a for a in night.state.live if a.seen and a.pool_id not in wanted]
    stopped = [stop(night, backends, attempt, now_utc) for attempt in unwanted]
    if night.state.live:  # one Attempt trains; an intent, or one out of sight, counts as one
        return any(stopped)
    return _launch(night, backends, decision, now_utc)


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


def _launch(night: Night, backends: Backends, decision: Decision, now_utc: float) -> bool:
    state = night.state
    if not decision.wants or state.launches >= state.job.limits.attempts:
        return False
    want = decision.wants[0]
    if now_utc < retry_utc(night, want.pool_id):
        return False
    number = len(state.attempts) + 1
    not_after_utc = state.deadline_utc + state.job.extend_s
    spec = LaunchSpec(
        run_id=state.run_id,
        number=number,
        token=token_of(state, number),
        pool=state.job.pool(want.pool_id),
        role=want.role,
        not_after_utc=not_after_utc,
        job=state.job,
        units_start=state.durable_units,
    )
    night.record(LaunchRequested(now_utc, number, spec.token, want.pool_id, want.role, not_after_utc))
    return _carry_out(night, backends, spec, now_utc)


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
    return False


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
                clean = False
                backends[name].tell(handle, "stop", now_utc)
                night.record(LimitHit(now_utc, Limit.STRANGER, f"{handle.token} ran and was nobody's: stopped"))
        except Unsure:
            clean = False
    return clean


def ask_to_save(night: Night, backends: Backends, now_utc: float, trip_utc: float) -> None:
    """Before capacity is let go at `trip_utc`, ask once for a Checkpoint, `save_s` and a reaction ahead."""
    for attempt in night.state.live:
        bounds = night.state.bounds.get(attempt.pool_id)
        save_s = bounds.save_s if bounds is not None else 0.0
        due = now_utc >= trip_utc - save_s - night.settings.reaction_s
        if due and attempt.phase is Phase.TRAINING and _not_asked(night.state, attempt):
            try:
                backends[night.state.job.pool(attempt.pool_id).backend].tell(handle_of(attempt), "checkpoint", now_utc)
            except Unsure:
                continue
            night.record(Told(now_utc, attempt.number, "checkpoint"))


def _not_asked(state: RunState, attempt: Attempt) -> bool:
    asked = attempt.save_asked_utc
    return asked is None or (state.durable_utc is not None and state.durable_utc > asked)
