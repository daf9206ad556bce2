"""When a night is over, and when somebody should be told before it is."""

from __future__ import annotations

from nightspot.model.attempt import Attempt, AttemptOutcome, Phase, Role, RunOutcome
from nightspot.model.capacity import Market
from nightspot.model.decision import Observation
from nightspot.model.events import Limit, LimitHit, RunClosed
from nightspot.model.job import OnLimit
from nightspot.model.state import RunState
from nightspot.night.act import NOT_TRAINING, stop, stop_all, swept
from nightspot.night.night import Night
from nightspot.night.observe import spent_usd
from nightspot.night.ports import Backends
from nightspot.policy.guard import slack_s


def close_if_over(night: Night, backends: Backends, now_utc: float) -> bool:
    """Stop what lives and close the Run, where there is a reason to. True once nothing more is to be decided."""
    _stop_the_stuck(night, backends, now_utc)
    reason = _reason(night, now_utc)
    if reason is None:
        return False
    stop_all(night, backends, now_utc)
    if not night.state.live and _nothing_is_left(night, backends, now_utc):
        outcome, why = reason
        at_utc = _finished_utc(night.state, outcome, now_utc)
        night.record(RunClosed(at_utc, outcome, at_utc > night.state.deadline_utc, why))
    return True


def _nothing_is_left(night: Night, backends: Backends, now_utc: float) -> bool:
    """Nobody looks after the Run once it is closed. Whoever cannot be asked is waited for until the deadline, and no longer."""
    return swept(night, backends, now_utc) or now_utc > night.state.deadline_utc


def _finished_utc(state: RunState, outcome: RunOutcome, now_utc: float) -> float:
    """A model is ready when its Attempt ended, not when we looked."""
    if outcome is not RunOutcome.COMPLETED:
        return now_utc
    ends = [a.ended_utc for a in state.attempts if a.outcome is AttemptOutcome.COMPLETED and a.ended_utc is not None]
    return max(ends, default=now_utc)


def _reason(night: Night, now_utc: float) -> tuple[RunOutcome, str] | None:
    state = night.state
    if state.completed:
        return RunOutcome.COMPLETED, "the work is done"
    if state.asked is not None:
        return RunOutcome.CANCELLED, "the user asked for it to stop"
    if state.hopeless:
        return RunOutcome.FAILED, state.hopeless
    if state.failures >= state.job.limits.failures:
        return RunOutcome.FAILED, f"{state.failures} attempts in a row failed without a new checkpoint"
    if state.launches >= state.job.limits.attempts and not state.live:
        return RunOutcome.FAILED, f"the limit of {state.job.limits.attempts} attempts is reached"
    return _cost_reason(night, now_utc) or _time_reason(state, now_utc)


def _cost_reason(night: Night, now_utc: float) -> tuple[RunOutcome, str] | None:
    limits = night.state.job.limits
    if limits.cost_usd is None or spent_usd(night, now_utc) < limits.cost_usd:
        return None
    if Limit.COST not in night.state.limits_hit:
        night.record(LimitHit(now_utc, Limit.COST, f"the spend cap of ${limits.cost_usd:.2f} is reached"))
    if limits.on_limit is OnLimit.ALERT:
        return None
    return RunOutcome.FAILED, f"the spend cap of ${limits.cost_usd:.2f} is reached"


def _time_reason(state: RunState, now_utc: float) -> tuple[RunOutcome, str] | None:
    """After the deadline a training that runs may go on for `extend_s`; nothing new is waited for."""
    if now_utc <= state.deadline_utc:
        return None
    if now_utc >= state.deadline_utc + state.job.extend_s:
        return _without_model(state), "the deadline has passed"
    refused_since = any(at >= state.deadline_utc for at in state.refused_utc.values())
    if not state.live and refused_since:
        return _without_model(state), "the deadline has passed and there is no capacity"
    return None


def _without_model(state: RunState) -> RunOutcome:
    trained = any(a.trained_from_utc is not None for a in state.attempts)
    return RunOutcome.EXPIRED if trained else RunOutcome.NO_CAPACITY


def _stop_the_stuck(night: Night, backends: Backends, now_utc: float) -> None:
    """An Attempt that reports progress, and then none for too long, is alive but of no use."""
    limit_s = night.state.job.limits.no_progress_s
    if limit_s is None:
        return
    for attempt in night.state.live:
        moved = max(night.progress_utc.get(attempt.number, now_utc), attempt.trained_from_utc or now_utc)
        if attempt.phase is Phase.TRAINING and now_utc - moved >= limit_s:
            message = f"attempt {attempt.number} has made no progress for {limit_s / 60:.0f} min: stopped"
            night.record(LimitHit(now_utc, Limit.NO_PROGRESS, message, attempt.number))
            stop(night, backends, attempt, now_utc)


def warn_of_risk(night: Night, observation: Observation) -> None:
    """Say so while it can still be helped: on-demand asked for and not there, slack low, a bound passed, nothing in sight."""
    state, now_utc = night.state, observation.now_utc
    for attempt in state.live:
        if attempt.phase is Phase.UNKNOWN and Limit.SIGHT not in state.limits_hit:
            night.record(LimitHit(now_utc, Limit.SIGHT, f"attempt {attempt.number} is out of sight", attempt.number))
        if _overdue(state, attempt, now_utc) and Limit.BOUND not in night.state.limits_hit:
            night.record(LimitHit(now_utc, Limit.BOUND, _bound_message(state, attempt), attempt.number))
    message = _risk(night, observation)
    if message and Limit.RISK not in night.state.limits_hit:
        night.record(LimitHit(now_utc, Limit.RISK, message))


def _overdue(state: RunState, attempt: Attempt, now_utc: float) -> bool:
    bounds = state.bounds.get(attempt.pool_id)
    starting = attempt.phase in NOT_TRAINING and attempt.trained_from_utc is None and attempt.role is Role.TRAIN
    spot = state.job.pool(attempt.pool_id).market is Market.SPOT
    queued_s = attempt.waited_s(now_utc) if spot else 0.0  # nothing was promised of a queue for Spot
    since_utc = attempt.requested_utc if attempt.gone_utc is None else attempt.gone_utc - attempt.probed_s
    return starting and bounds is not None and now_utc - queued_s > since_utc + bounds.lead_s


def _bound_message(state: RunState, attempt: Attempt) -> str:
    lead_min = state.bounds[attempt.pool_id].lead_s / 60
    return f"{attempt.pool_id} takes longer to start than the {lead_min:.0f} min planned with: the promise lapses"


def _risk(night: Night, observation: Observation) -> str:
    hooks, asked_utc = night.state.job.hooks, night.state.on_demand_asked_utc
    if asked_utc is not None:
        waited = observation.now_utc - asked_utc
        bound_s = max(
            [observation.lead_s(p.id) for p in observation.pools if p.market is Market.ON_DEMAND], default=0.0
        )
        if waited > (hooks.risk_after_s if hooks.risk_after_s is not None else bound_s):
            return f"on-demand was asked for {waited / 60:.0f} min ago and is not there"
    if hooks.risk_slack_s is not None and (slack := slack_s(observation)) < hooks.risk_slack_s:
        return f"slack is {slack / 60:.0f} min, under the {hooks.risk_slack_s / 60:.0f} min asked to be told of"
    return ""
