"""What this job's past nights teach, put into tonight's Job before it is opened."""

from __future__ import annotations

from dataclasses import replace
from typing import Mapping

from nightspot.model.capacity import Bounds
from nightspot.model.job import Job
from nightspot.night.journal import Journal
from nightspot.policy.overheads import learned_bounds, learned_work, look_back

# Older nights than that say little about tonight.
NIGHTS = 90


def taught(job: Job, journal: Journal) -> Job:
    """The Job with the Bounds and the unit time that its past nights measured, where there were enough of them."""
    runs = [run_id for run_id in journal.runs() if run_id.startswith(f"{job.name}-")]
    past = look_back(job, (journal.read(run_id) for run_id in runs[-NIGHTS:]))
    bounds = learned_bounds(job, past)
    pools = tuple([replace(pool, bounds=bounds.get(pool.id)) for pool in job.pools])
    return replace(job, pools=pools, work=learned_work(job, past))


def bounds_of(job: Job) -> Mapping[str, Bounds]:
    """What the guard plans with, by Pool id."""
    return {pool.id: pool.bounds for pool in job.pools if pool.bounds is not None}
