"""What one Event of tonight teaches at once: only ever that things take longer than planned. Past nights: `policy.overheads`."""

from __future__ import annotations

from nightspot.model.attempt import Attempt, AttemptOutcome, Phase
from nightspot.model.capacity import Bounds, Market, Pool
from nightspot.model.change import changed
from nightspot.model.events import AttemptEnded, CheckpointSeen, PhaseChanged
from nightspot.model.job import Job

# A measured unit must be this much slower than planned before the plan changes: timer noise is not news.
SLOWER_BY = 1.02
LET_GO = (AttemptOutcome.RELEASED, AttemptOutcome.INTERRUPTED)


def slower_lead(pool: Pool, bounds: Bounds | None, attempt: Attempt, event: PhaseChanged) -> Bounds | None:
    """The new bounds, where a start-up took longer than its bound; they hold for the rest of the night.

    Waiting in a queue for Spot is not starting up; waiting for on-demand is: the way out must count it. Nor is a PROBE's
    wait for `go`.
    """
    took_s = event.at_utc - attempt.requested_utc
    if pool.market is Market.SPOT:
        took_s -= attempt.waited_s(event.at_utc)
    straight = attempt.incarnation == 1 and attempt.gone_utc is None
    if bounds is None or not straight or took_s <= bounds.lead_s:
        return None
    return changed(bounds, lead_s=took_s)


def learned_units_s(
    job: Job, unit_s: float, firm_s: float, attempt: Attempt, event: CheckpointSeen
) -> tuple[float, float]:
    """A unit's time to plan with, and what of it is firm. What a first Checkpoint says holds until two can be compared.

    One that is seen after its incarnation has left says when it was seen, and not how long it took.
    """
    if attempt.shown is not Phase.TRAINING:
        return unit_s, firm_s
    firm = firm_unit_s(job, firm_s, attempt, event)
    if firm is None:
        return slower_unit_s(job, unit_s, attempt, event), firm_s
    return firm, firm


def slower_unit_s(job: Job, unit_s: float, attempt: Attempt, event: CheckpointSeen) -> float:
    """A unit's time: units slower than planned make the work left longer, at once, for the guard plans with what is."""
    took_s = _unit_took_s(job, attempt, event, attempt.trained_from_utc, attempt.trained_from_units)
    return took_s if took_s > unit_s * SLOWER_BY else unit_s


def firm_unit_s(job: Job, unit_s: float, attempt: Attempt, event: CheckpointSeen) -> float | None:
    """The same from two Checkpoints of one incarnation: what the first needed to be seen, in a bucket, is in neither. None without two."""
    if attempt.first_saved_utc is None:
        return None
    took_s = _unit_took_s(job, attempt, event, attempt.first_saved_utc, attempt.first_saved_units)
    if took_s == 0.0:
        return None
    return took_s if took_s > unit_s * SLOWER_BY else unit_s


def _unit_took_s(
    job: Job, attempt: Attempt, event: CheckpointSeen, since_utc: float | None, since_units: float
) -> float:
    """At speed 1; 0 where too little was done since then to tell."""
    done = event.units_done - since_units
    if since_utc is None or done <= 0 or done < min(1.0, 0.05 * job.work.units):
        return 0.0
    return (event.at_utc - since_utc) * job.pool(attempt.pool_id).speed / done


def as_good_as_refused(bounds: Bounds | None, attempt: Attempt, event: AttemptEnded) -> bool:
    """No capacity; let go in a queue; or let go because it was overdue. The next Pool's turn comes before its own."""
    if attempt.stopped_in_queue and event.outcome in LET_GO:
        return True
    if event.outcome is not AttemptOutcome.RELEASED or bounds is None or attempt.stop_utc is None:
        return event.outcome is AttemptOutcome.NO_CAPACITY
    return attempt.trained_from_utc is None and attempt.stop_utc > attempt.requested_utc + bounds.lead_s
