"""What would go wrong tonight that needs no look at AWS: names, and whose time it is."""

from __future__ import annotations

from typing import Callable, Iterator

from nightspot.backends.aws.asked import asked_of
from nightspot.backends.aws.request import NAME_MAX, is_job_name
from nightspot.model.job import Job
from nightspot.night.ports import Finding

# What stands behind a job's name in the name of a training job: its deadline, a second run's number, a nonce, the attempt's number.
LONGEST_REST = "-20261125T070000Z-99-01234567-001"
NAME_LONGEST = NAME_MAX - len(LONGEST_REST)


def check(job: Job, loopback: Callable[[str], bool]) -> Iterator[Finding]:
    """Fatal findings first. `loopback`: whether SageMaker of that region is on this machine."""
    if not is_job_name(f"{job.name}{LONGEST_REST}"):
        yield Finding(
            f"{job.name!r} is too long: with deadline and attempt it makes a training job's name, of at most {NAME_MAX} characters",
            f"Shorten `name` to {NAME_LONGEST} characters.",
            fatal=True,
        )
    real = [asked.region for asked in asked_of(job) if job.time_scale != 1 and not loopback(asked.region)]
    if real:
        yield Finding(
            f"time_scale = {job.time_scale:g}, but SageMaker's time cannot be compressed",
            "Leave time_scale out, or run it on the emulator (--emulate).",
            fatal=True,
        )
    for asked in asked_of(job):
        if asked.resources.get("KeepAlivePeriodInSeconds"):
            yield Finding(
                f"the template of {asked.pool.id} keeps a warm pool: it is left out, since it bills after the end",
                "Remove KeepAlivePeriodInSeconds from it.",
            )
