"""The job file: TOML in, a frozen Job out, and one clear error for whatever is wrong."""

from __future__ import annotations

from nightspot.jobfile.durations import format_duration, parse_duration
from nightspot.jobfile.feasible import check_fits, check_pools
from nightspot.jobfile.fingerprint import changed_field
from nightspot.jobfile.init import starter
from nightspot.jobfile.load import JobFile, load_job
from nightspot.jobfile.overrides import apply_overrides
from nightspot.jobfile.plan import PlannedNight, plan_night
from nightspot.jobfile.schema import job_schema

__all__ = [
    "JobFile",
    "PlannedNight",
    "apply_overrides",
    "changed_field",
    "check_fits",
    "check_pools",
    "format_duration",
    "job_schema",
    "load_job",
    "parse_duration",
    "plan_night",
    "starter",
]
