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
from nightspot.jobfile.sagemakertable import SAGEMAKER
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
        raise NotProvenError(f"{why}: {_remedy(shell.home, job_file, plan.job)}. Nothing was started")
    shell.say(f"WARNING: {why}: {_remedy(shell.home, job_file, plan.job)}")
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
        known = max(_counting(home, job_file, job), key=_when)
        when = f" on {Moments(job.timezone).full(known.finished_utc)}"
        how = " through the emulator" if known.emulated else ""
        what = f"the last drill passed{how}{when}, and neither the training files nor the packages changed since"
        yield Finding(what, kind=Kind.FINE)
        return
    then = {"refuse": "; `run` refuses the night", ON_DEMAND: "; the night is played without Spot"}
    unproven = job_file.document.drill.unproven
    remedy = f"Play it: {_remedy(home, job_file, job)}."
    yield Finding(why + then.get(unproven, ""), remedy, fatal=unproven == "refuse")


def doubt(home: Home, job_file: JobFile, job: Job) -> Optional[str]:
    """Why it is not known that this training resumes, in words. None where it is known, or does not matter."""
    if not _asked(job):
        return None
    known = _counting(home, job_file, job)
    if not known:
        return _never(home, job_file, job)
    latest = max(known, key=_when)
    if not latest.passed:
        return f"the last drill did not pass ({latest.verdict})"
    changes = {one.emulated: _changes(job_file, one) for one in known}
    still = [one for one in known if one.passed and not changes[one.emulated]] or [latest]
    proven = {case for one in still for case in one.cases}
    missing = [case for case in job_file.document.drill.cases or get_args(CaseName) if case not in proven]
    if missing:
        return f"the last drill left out {_some(missing)}"
    since = changes[still[0].emulated]
    return f"resume is not proven for what changed since the last drill ({_some(since)})" if since else None


def _counting(home: Home, job_file: JobFile, job: Job) -> list[proof.Proof]:
    """The last drill, and, where all that may be interrupted is SageMaker's, the last one through the emulator."""
    emulated = (False, True) if not _elsewhere(job) else (False,)
    found = [proof.read(home.path, job_file.name, emulated=one) for one in emulated]
    return [one for one in found if one is not None]


def _when(known: proof.Proof) -> float:
    return known.finished_utc


def _changes(job_file: JobFile, known: proof.Proof) -> list[str]:
    return proof.changed(known.standing, proof.standing_of(job_file, emulated=known.emulated))


def _elsewhere(job: Job) -> list[str]:
    """Spot Pools that the emulator says nothing of."""
    return [pool.id for pool in job.spot if pool.backend != SAGEMAKER]


def _never(home: Home, job_file: JobFile, job: Job) -> str:
    if proof.read(home.path, job_file.name, emulated=True) is None:
        return "resume was never proven"
    return f"resume was proven through the emulator alone, which says nothing of {_some(_elsewhere(job))}"


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


def _remedy(home: Home, job_file: JobFile, job: Job) -> str:
    """Where nothing is said that could train on this machine, the emulator can play it all the same."""
    plain = bool(job_file.document.words or job_file.document.drill.command) or bool(_elsewhere(job))
    command = f"drill {shlex.quote(job_file.file)}" + ("" if plain else " --emulate")
    return f"{home.command(command)} takes minutes"


def _some(names: list[str]) -> str:
    more = len(names) - MOST_TOLD
    return ", ".join(names[:MOST_TOLD]) + (f" and {more} more" if more > 0 else "")
