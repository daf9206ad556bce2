"""What one Event of tonight teaches at once: only ever that things take longer than planned. Past nights: `policy.overheads`."""

from __future__ import annotations

from nightspot.model.attempt import Attempt, AttemptOutcome
from nightspot.model.capacity import Bounds, Market, Pool
from nightspot.model.change import changed
from nightspot.model.events import AttemptEnded, CheckpointSeen, PhaseChanged
from nightspot.model.job import Job

# A measured unit must be this much slower than planned before the plan changes: timer noise is not news.
SLOWER_BY = 1.02


def slower_lead(pool: Pool, bounds: Bounds | None, attempt: Attempt, event: PhaseChanged) -> Bounds | None:
    """The new bounds, where a start-up took longer than its bound; they hold for the rest of the night.

    Waiting in a queue for Spot is not starting up; waiting for on-demand is: the way out must count it.
    """
    took_s = event.at_utc - attempt.requested_utc
    if pool.market is Market.SPOT:
        took_s -= attempt.waited_s(event.at_utc)
    if attempt.incarnation > 1 or bounds is None or took_s <= bounds.lead_s:
        return None
    return changed(bounds, lead_s=took_s)


def slower_unit_s(job: Job, unit_s: float, attempt: Attempt, event: CheckpointSeen) -> float:
    """A unit's time: units slower than planned make the work left longer, at once, for the guard plans with what is."""
    done = event.units_done - attempt.trained_from_units
    if attempt.trained_from_utc is None or done <= 0 or done < min(1.0, 0.05 * job.work.units):
        return unit_s
    took_s = (event.at_utc - attempt.trained_from_utc) * job.pool(attempt.pool_id).speed / done
    return took_s if took_s > unit_s * SLOWER_BY else unit_s


def as_good_as_refused(bounds: Bounds | None, attempt: Attempt, event: AttemptEnded) -> bool:
    """No capacity; or let go because it was overdue. The next Pool's turn comes before its own."""
    if event.outcome is not AttemptOutcome.RELEASED or bounds is None or attempt.stop_utc is None:
        return event.outcome is AttemptOutcome.NO_CAPACITY
    return attempt.trained_from_utc is None and attempt.stop_utc > attempt.requested_utc + bounds.lead_s
