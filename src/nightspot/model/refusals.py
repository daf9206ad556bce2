"""What a refused launch means for the next ones: no capacity may be there in a minute; a quota, or a request that is wrong, will not."""

from __future__ import annotations

from typing import Mapping

from nightspot.model.attempt import AttemptOutcome
from nightspot.model.events import RefusalReason
from nightspot.model.job import Job

# How long a Pool is left alone at least, in market seconds: asked each minute, one that will not change its mind would use up the launches.
PATIENCE_S = {RefusalReason.QUOTA: 900.0, RefusalReason.INVALID: 1800.0}
OUTCOMES = {
    RefusalReason.NO_CAPACITY: AttemptOutcome.NO_CAPACITY,
    RefusalReason.ABSENT: AttemptOutcome.LOST,
}


def outcome_of(reason: RefusalReason) -> AttemptOutcome:
    """What becomes of the Attempt that was refused."""
    return OUTCOMES.get(reason, AttemptOutcome.FAILED)


def patience_s(reason: RefusalReason | None, retry_s: float) -> float:
    """How long a Pool that refused for that reason is not asked again."""
    return max(retry_s, PATIENCE_S.get(reason, 0.0)) if reason is not None else retry_s


def hopeless(job: Job, refusals: Mapping[str, RefusalReason], message: str) -> str:
    """Why no launch can ever succeed tonight; "" while one may. `refusals`: each Pool's last, where it was not granted since."""
    if all(refusals.get(pool.id) is RefusalReason.INVALID for pool in job.pools):
        return f"every pool refuses the request as it is: {message}"
    return ""
