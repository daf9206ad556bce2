"""Making the world as decided: stop what is not wanted, say `go` to what shall take over, then launch what is missing.

One Attempt trains. A PROBE may be held beside it, and trains from its `go` on; that is said once all else is confirmed ended.
"""

from __future__ import annotations

from typing import Mapping

from nightspot.model.attempt import Attempt, Phase, Role
from nightspot.model.decision import Decision
from nightspot.model.events import Limit
from nightspot.night.act import ask_for_checkpoint, launch, remind, save_wait_s, say_go, stop
from nightspot.night.night import Night
from nightspot.night.ports import Backends

Wanted = Mapping[str, Role]


def reconcile(night: Night, backends: Backends, decision: Decision, now_utc: float) -> bool:
    """Stop, say go and launch until the holding is the decided one. True where it is worth looking again at once."""
    wanted = _wanted(night, decision)
    unwanted = [a for a in night.state.live if not _is_wanted(a, wanted)]
    if unwanted:  # an intent, or one out of sight, is one too: nothing is launched before it is known to have ended
        said = [_let_go(night, backends, a, decision, now_utc) for a in unwanted if a.seen]
        return any(said)
    remind(night, backends, now_utc)
    done = [_hold(night, backends, pool_id, role, now_utc) for pool_id, role in wanted.items()]
    return any(done)


def _wanted(night: Night, decision: Decision) -> Wanted:
    """By Pool, what trains first. Past the spend cap no PROBE is paid for."""
    if len(decision.wants) > 1:
        capped = Limit.COST in night.state.limits_hit
        probes = [w for w in decision.wants if w.role is Role.PROBE and not capped]
        wants = [*(w for w in decision.wants if w.role is Role.TRAIN), *probes]
        return {want.pool_id: want.role for want in wants}
    return {want.pool_id: want.role for want in decision.wants}


def _is_wanted(attempt: Attempt, wanted: Wanted) -> bool:
    """A PROBE may be wanted to train; what trains cannot become a PROBE any more, and what was told to stop is lost."""
    role = wanted.get(attempt.pool_id)
    return role is not None and attempt.told != "stop" and (role is Role.TRAIN or attempt.role is Role.PROBE)


def _let_go(night: Night, backends: Backends, attempt: Attempt, decision: Decision, now_utc: float) -> bool:
    """A move that we make ourselves loses nothing, where there is time: a Checkpoint is asked for, and waited for a while.

    The guard does not wait: it planned with what is durable. True where something was said.
    """
    if attempt.told == "stop" or not _loses(night, attempt, now_utc):
        return stop(night, backends, attempt, now_utc)
    in_time, patient_s = decision.by != "guard", save_wait_s(night, attempt)
    asked_utc, saved_utc = attempt.save_asked_utc, night.state.durable_utc
    answered = asked_utc is not None and saved_utc is not None and saved_utc >= asked_utc
    if asked_utc is None or (answered and saved_utc is not None and now_utc - saved_utc > patient_s):
        if ask_for_checkpoint(night, backends, attempt, now_utc) and in_time:
            return True
    elif not answered and in_time and now_utc < asked_utc + patient_s:
        return False
    return stop(night, backends, attempt, now_utc)


def _loses(night: Night, attempt: Attempt, now_utc: float) -> bool:
    """Whether work may be lost if it ended now, and it would save it if it was asked to."""
    if attempt.phase is not Phase.TRAINING or not night.abilities[attempt.pool_id].control:
        return False
    if night.state.job.checkpoint.pattern is not None:  # such a script hears nothing
        return False
    report, state = night.reports.get(attempt.number), night.state
    if report is not None and report.units_done > state.durable_units:
        return True
    since_utc = max(state.durable_utc or attempt.requested_utc, attempt.trained_from_utc or attempt.requested_utc)
    return now_utc - since_utc > save_wait_s(night, attempt)  # it may be at work without saying so


def _hold(night: Night, backends: Backends, pool_id: str, role: Role, now_utc: float) -> bool:
    """Have that Pool, for that. All that lives is wanted."""
    live = night.state.live
    mine = next((a for a in live if a.pool_id == pool_id), None)
    if role is Role.PROBE:
        return mine is None and may_probe(night, pool_id) and launch(night, backends, pool_id, role, now_utc)
    if any(a.role is Role.TRAIN for a in live):
        return False
    if mine is None:
        return launch(night, backends, pool_id, role, now_utc)
    return mine.seen and mine.phase is not Phase.UNKNOWN and say_go(night, backends, mine, now_utc)


def may_probe(night: Night, pool_id: str) -> bool:
    """Beside what trains, and is in sight; with the job file's consent; and with a launch to spare for the way out."""
    live, limits = night.state.live, night.state.job.limits
    trains = any(a.role is Role.TRAIN for a in live)
    in_sight = all(a.seen and a.phase is not Phase.UNKNOWN for a in live)
    spare = night.state.launches + 1 < limits.attempts
    return trains and in_sight and spare and night.abilities[pool_id].beside and pool_id not in night.state.no_probe
