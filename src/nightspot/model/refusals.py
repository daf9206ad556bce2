"""What a refused launch means for the next ones: no capacity may be there in a minute; a quota, or a request that is wrong, hardly."""

from __future__ import annotations

from typing import Mapping

from nightspot.model.attempt import AttemptOutcome
from nightspot.model.capacity import Market, Pool
from nightspot.model.events import RefusalReason
from nightspot.model.job import Job

# How long a Spot Pool is left alone at least, in market seconds: another one's turn is worth more than asking again each minute.
PATIENCE_S = {RefusalReason.QUOTA: 900.0, RefusalReason.INVALID: 1800.0}
TWICE = 2
OUTCOMES = {
    RefusalReason.NO_CAPACITY: AttemptOutcome.NO_CAPACITY,
    RefusalReason.ABSENT: AttemptOutcome.LOST,
}


def outcome_of(reason: RefusalReason) -> AttemptOutcome:
    """What becomes of the Attempt that was refused."""
    return OUTCOMES.get(reason, AttemptOutcome.FAILED)


def patience_s(pool: Pool, refusals: tuple[RefusalReason, ...], retry_s: float) -> float:
    """How long a Pool that refused is not asked again. The way out is never shut: a quota that another job held may be free in a minute."""
    if pool.market is Market.ON_DEMAND or not refusals:
        return retry_s
    return max(retry_s, PATIENCE_S.get(refusals[-1], 0.0))


def hopeless(job: Job, refusals: Mapping[str, tuple[RefusalReason, ...]], message: str) -> str:
    """Why no launch can ever succeed tonight; "" while one may. `refusals`: each Pool's, in a row, the last ones.

    One passing fault may look like a wrong request: on-demand is asked twice before that is believed.
    """
    wrong = {id_ for id_, given in refusals.items() if given[-1] is RefusalReason.INVALID}
    twice = all(refusals.get(p.id, ())[-TWICE:] == (RefusalReason.INVALID,) * TWICE for p in job.on_demand)
    if twice and wrong >= {pool.id for pool in job.pools}:
        return f"every pool refuses the request as it is: {message}"
    return ""
