"""One step of a night: look, decide, act, and say when to be called next. It never sleeps, and asks nobody whether it is real.

look       poll what lives, settle open intents, see what is offered   -> Events
close      is it over?                                                 -> RunClosed
decide     policy inside the guard, over one Observation               -> DecisionChanged
reconcile  stop what is not wanted, say go, launch what is             -> LaunchRequested, then the call
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from nightspot.model.attempt import RunOutcome
from nightspot.model.capacity import Market
from nightspot.model.decision import Decision, Observation
from nightspot.model.events import DecisionChanged
from nightspot.model.state import NOTHING
from nightspot.night.act import ask_to_save, retry_utc, save_wait_s, sweep
from nightspot.night.closing import close_if_over, warn_of_risk
from nightspot.night.look import look
from nightspot.night.night import Night
from nightspot.night.observe import observe
from nightspot.night.ports import Backends, Clock
from nightspot.night.reconcile import reconcile
from nightspot.policy.base import Policy
from nightspot.policy.guard import latest_utc

# Refusals make a step look again at once; more than so many in one step wait for the next.
ROUNDS_MAX = 8
# What was told to stop when all was over is looked after so soon again, at the earliest (market seconds).
OVER_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Wake:
    """When to be called next: then, or earlier when there is news."""

    at_utc: float


def step(night: Night, backends: Backends, policy: Policy, clock: Clock) -> Union[Wake, RunOutcome]:
    """Do all that is to be done now. Raises Fenced where another controller acts on this Run."""
    now_utc = clock.now_utc()
    if night.state.outcome is not None:
        return night.state.outcome
    sweep(night, backends, now_utc)
    for _ in range(ROUNDS_MAX):
        look(night, backends, now_utc)
        now_utc = clock.now_utc()  # looking may take its time, and what is decided is decided now
        if close_if_over(night, backends, now_utc):
            return _over(night, now_utc)
        if now_utc < night.state.start_utc:
            return Wake(night.state.start_utc)
        observation = observe(night, backends, now_utc)
        warn_of_risk(night, observation)
        decision = policy.decide(observation)
        _note(night, decision, now_utc)
        if not reconcile(night, backends, decision, now_utc):
            return _wake(night, backends, observation, decision)
    return Wake(now_utc + night.settings.reaction_s)


def _over(night: Night, now_utc: float) -> Union[Wake, RunOutcome]:
    outcome = night.state.outcome
    return outcome if outcome is not None else Wake(now_utc + max(night.settings.reaction_s, OVER_AGAIN_S))


def play(night: Night, backends: Backends, policy: Policy, clock: Clock) -> RunOutcome:
    """Step until the Run is closed."""
    while True:
        result = step(night, backends, policy, clock)
        if isinstance(result, RunOutcome):
            return result
        clock.sleep_until(result.at_utc)


def _note(night: Night, decision: Decision, now_utc: float) -> None:
    """A Decision is an Event only where it changes the desired holding."""
    last = night.state.decision
    if last is NOTHING or decision.wants != last.wants:
        night.record(DecisionChanged(now_utc, decision.wants, decision.why, decision.by))


def _wake(night: Night, backends: Backends, observation: Observation, decision: Decision) -> Wake:
    """The earliest of: the decision's end, the deadline, a Pool's retry, the moment to ask for a Checkpoint."""
    now_utc = observation.now_utc
    times = [decision.until_utc, *_deadlines(night)]
    times += _retries_utc(night, decision)
    times += [a.save_asked_utc + save_wait_s(night, a) for a in night.state.live if a.save_asked_utc is not None]
    held = observation.held
    if held is not None and held.market is Market.SPOT and not observation.work.continuous:
        trip_utc = latest_utc(observation, observation.pool(held.pool_id))
        ask_to_save(night, backends, now_utc, trip_utc)
        bounds = observation.bounds.get(held.pool_id)
        times.append(trip_utc - (bounds.save_s if bounds else 0.0) - night.settings.reaction_s)
    later = [t for t in times if t > now_utc]
    return Wake(min(later, default=now_utc + night.settings.reaction_s))


def _retries_utc(night: Night, decision: Decision) -> list[float]:
    """When a Pool that refused may be asked again: a wanted one, or on-demand, which may be the way out."""
    wanted = {want.pool_id for want in decision.wants}
    pools = [night.state.job.pool(pool_id) for pool_id in night.state.refused_utc]
    return [retry_utc(night, p.id) for p in pools if p.id in wanted or p.market is Market.ON_DEMAND]


def _deadlines(night: Night) -> list[float]:
    deadline_utc = night.state.deadline_utc
    return [deadline_utc + 1e-3, deadline_utc + night.state.job.extend_s]
