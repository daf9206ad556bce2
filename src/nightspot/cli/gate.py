"""The gate before a new night on Spot: was resume proven, by a drill, with what the training is now?

Only nights that are paid for are asked: neither one in compressed time nor one on the emulator. A run that is open goes on as it began.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Iterator, Optional, get_args

from nightspot.cli.home import Home
from nightspot.cli.shell import Shell
from nightspot.drill import proof
from nightspot.errors import ExitCode, NightspotError
from nightspot.jobfile import JobFile
from nightspot.jobfile.drilltable import CaseName
from nightspot.jobfile.plan import PlannedNight
from nightspot.model.job import Job, PolicyChoice
from nightspot.night.ports import Finding, Kind
from nightspot.report.words import Moments

# How many changes are told by name.
MOST_TOLD = 3
ON_DEMAND = "on-demand"


class NotProvenError(NightspotError):
    """The job file wants no night on Spot without a proof, and there is none."""

    exit_code = ExitCode.NOT_PROVEN


def admitted(shell: Shell, job_file: JobFile, plan: PlannedNight) -> PlannedNight:
    """The night as it may be opened: as planned, or without its Spot Pools. NotProvenError where it may not."""
    why = doubt(shell.home, job_file, plan.job)
    if why is None:
        return plan
    if job_file.document.drill.unproven == "refuse":
        raise NotProvenError(f"{why}: {_remedy(shell.home, job_file)}. Nothing was started")
    shell.say(f"WARNING: {why}: {_remedy(shell.home, job_file)}")
    if job_file.document.drill.unproven == "warn":
        return plan
    job = on_demand_only(plan.job)
    spot, rest = (", ".join(pool.id for pool in pools) for pools in (plan.job.spot, job.pools))
    shell.say(f"this night is on {rest} from its beginning; left out, until a drill has passed: {spot}")
    return replace(plan, job=job)


def finding(home: Home, job_file: JobFile, job: Job) -> Iterator[Finding]:
    """What the doctor says of it: nothing of a night that needs no proof."""
    if not _asked(job):
        return
    why = doubt(home, job_file, job)
    if why is None:
        known = proof.read(home.path, job_file.name)
        when = f" on {Moments(job.timezone).full(known.finished_utc)}" if known is not None else ""
        what = f"the last drill passed{when}, and neither the training files nor the packages changed since"
        yield Finding(what, kind=Kind.FINE)
        return
    then = {"refuse": "; `run` refuses the night", ON_DEMAND: "; the night is played without Spot"}
    unproven = job_file.document.drill.unproven
    remedy = f"Play it: {_remedy(home, job_file)}."
    yield Finding(why + then.get(unproven, ""), remedy, fatal=unproven == "refuse")


def doubt(home: Home, job_file: JobFile, job: Job) -> Optional[str]:
    """Why it is not known that this training resumes, in words. None where it is known, or does not matter."""
    if not _asked(job):
        return None
    known = proof.read(home.path, job_file.name)
    if known is None:
        return "resume was never proven"
    if not known.passed:
        return f"the last drill did not pass ({known.verdict})"
    missing = [case for case in job_file.document.drill.cases or get_args(CaseName) if case not in known.cases]
    if missing:
        return f"the last drill left out {_some(missing)}"
    changes = proof.changed(known.standing, proof.standing_of(job_file))
    return f"resume is not proven for what changed since the last drill ({_some(changes)})" if changes else None


def on_demand_only(job: Job) -> Job:
    """The same work without Spot, and without waiting for it: every policy but this one would."""
    return replace(job, pools=job.on_demand, policy=PolicyChoice(ON_DEMAND))


def as_it_began(job_file: JobFile, job: Job) -> str:
    """What is to be said of an open run on Spot, where the job file is strict with new ones."""
    if job.spot and _asked(job) and job_file.document.drill.unproven != "warn":
        return " as it began: `unproven` of [drill] is for new runs"
    return ""


def _asked(job: Job) -> bool:
    """Whether anything is at stake: capacity that is taken back, in a night that is no play in compressed time."""
    return bool(job.spot) and job.time_scale == 1


def _remedy(home: Home, job_file: JobFile) -> str:
    command = f"drill {shlex.quote(job_file.file)}"
    return f"{home.command(command)} takes minutes"


def _some(names: list[str]) -> str:
    more = len(names) - MOST_TOLD
    return ", ".join(names[:MOST_TOLD]) + (f" and {more} more" if more > 0 else "")
