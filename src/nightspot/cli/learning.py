"""What this job's past nights teach, put into tonight's Job before it is opened."""

from __future__ import annotations

from dataclasses import replace
from typing import Mapping

from nightspot.model.capacity import Bounds
from nightspot.model.job import Job
from nightspot.night.journal import Journal
from nightspot.policy.overheads import learned_bounds, learned_interruptions, learned_work, look_back

# Older nights than that say little about tonight.
NIGHTS = 90


def taught(job: Job, journal: Journal) -> Job:
    """The Job with the Bounds, the unit time and the rate of interruptions that its past nights showed, where they showed enough."""
    runs = [run_id for run_id in journal.runs() if run_id.startswith(f"{job.name}-")]
    past = look_back(job, (journal.read(run_id) for run_id in runs[-NIGHTS:]))
    bounds = learned_bounds(job, past)
    every_s = learned_interruptions(job, past)
    pools = tuple(
        [replace(one, bounds=bounds.get(one.id), interruption_every_s=every_s.get(one.id)) for one in job.pools]
    )
    return replace(job, pools=pools, work=learned_work(job, past))


def bounds_of(job: Job) -> Mapping[str, Bounds]:
    """What the guard plans with, by Pool id."""
    return {pool.id: pool.bounds for pool in job.pools if pool.bounds is not None}
