"""Which Run a job file means, now: one that is open and goes on, one that is closed and is reported, or a new one.

A Run is one night of a Job: (name, deadline). With compressed time, whose deadlines say little, the latest open one of the Job goes on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Callable, Sequence

from nightspot.errors import JobFileError
from nightspot.jobfile import JobFile, changed_field
from nightspot.jobfile.plan import PlannedNight as Plan
from nightspot.model.job import Job
from nightspot.model.state import RunState, replay
from nightspot.night.journal import Journal, events_of

Planner = Callable[[str, float], Plan]
LONG_AGO_UTC = 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """Go on with `resume`, or report `closed`, or open `plan`. `overdue`: earlier nights left open, to be closed first."""

    plan: Plan
    resume: RunState | None = None
    closed: RunState | None = None
    overdue: tuple[RunState, ...] = ()
    beside: tuple[RunState, ...] = ()


def nights_of(journal: Journal, name: str) -> list[RunState]:
    """All nights of that Job, the latest last."""
    ids = [run_id for run_id in journal.runs() if run_id.startswith(f"{name}-")]
    states = [replay(events_of(journal, run_id)) for run_id in ids]
    return [state for state in states if state.job.name == name]


def choose(nights: Sequence[RunState], job_file: JobFile, plan: Planner, now_utc: float, *, fresh: bool) -> Choice:
    """What `nightspot run FILE` does. JobFileError where the file is no longer what an open Run began with."""
    planned = _planned(nights, job_file, plan, now_utc, fresh=fresh)
    alive = tuple(s for s in nights if s.outcome is None)
    if fresh:
        return Choice(plan(_free_suffix(planned.run_id, nights), now_utc), beside=alive)
    like = [s for s in nights if (s.job.time_scale == 1) == (planned.job.time_scale == 1)]
    compressed = planned.job.time_scale != 1
    choice = _compressed(like, job_file, planned) if compressed else _of_this_night(like, job_file, planned, now_utc)
    if choice.resume is None and choice.closed is None:  # a try in compressed time may have taken the name
        return replace(choice, plan=plan(_free_suffix(planned.run_id, nights), now_utc))
    return choice


def _planned(nights: Sequence[RunState], job_file: JobFile, plan: Planner, now_utc: float, *, fresh: bool) -> Plan:
    """The night it means. A dated deadline that has gone by is an error, unless that night was played: then it is that one."""
    try:
        return plan("", now_utc)
    except JobFileError:
        if fresh or not isinstance(job_file.document.deadline.at, datetime):
            raise
        past = plan("", LONG_AGO_UTC)
        if not any(_same_night(state, past) for state in nights):
            raise
        return past


def _compressed(nights: Sequence[RunState], job_file: JobFile, planned: Plan) -> Choice:
    alive = [s for s in nights if s.outcome is None]
    if alive:
        return _resumed(alive[-1], job_file, planned)
    same = [s for s in nights if _same_night(s, planned)]
    return Choice(planned, closed=same[-1] if same else None)


def _of_this_night(nights: Sequence[RunState], job_file: JobFile, planned: Plan, now_utc: float) -> Choice:
    same = [s for s in nights if _same_night(s, planned)]
    other = [s for s in nights if s.outcome is None and not _same_night(s, planned)]
    going = [s for s in same if s.outcome is None]
    if going:
        return _resumed(going[-1], job_file, planned)
    overdue = tuple(s for s in other if now_utc >= s.deadline_utc + s.job.extend_s)
    late = [s for s in other if s.deadline_utc <= now_utc and s not in overdue]
    if late:
        return _resumed(late[-1], job_file, planned)
    ahead = [s for s in other if s.deadline_utc > now_utc]
    if ahead and not same:
        raise _two_deadlines(ahead[-1], job_file)
    return Choice(planned, closed=same[-1] if same else None, overdue=overdue)


def _resumed(state: RunState, job_file: JobFile, planned: Plan) -> Choice:
    check_same_job(state, planned.job, job_file.file)
    return Choice(planned, resume=state)


def _same_night(state: RunState, planned: Plan) -> bool:
    suffix = state.run_id.removeprefix(planned.run_id)
    return state.run_id.startswith(planned.run_id) and (not suffix or suffix[1:].isdigit())


def _free_suffix(run_id: str, nights: Sequence[RunState]) -> str:
    taken = {state.run_id for state in nights}
    number = 1
    while _suffixed(run_id, number) in taken:
        number += 1
    return _suffixed("", number)


def _suffixed(run_id: str, number: int) -> str:
    return run_id if number == 1 else f"{run_id}-{number}"


def check_same_job(state: RunState, job: Job, file: str) -> None:
    """JobFileError unless what an open Run began with is what the file says now."""
    if job.time_scale != state.job.time_scale:
        raise _changed(state, file, "time_scale", job.time_scale, f"time_scale = {state.job.time_scale:g}")
    if job.training.fingerprint == state.job.training.fingerprint:
        return
    before, now = state.job.training, job.training
    if now.hyperparameters != before.hyperparameters:
        key, new, old = "training.hyperparameters", dict(now.hyperparameters), dict(before.hyperparameters)
        raise _changed(state, file, key, new, json.dumps(old, default=str))
    if now.command != before.command:
        raise _changed(state, file, "command", " ".join(now.command), " ".join(before.command))
    was, is_ = (pools[0].options.get("request") for pools in (state.job.pools, job.pools))
    if was and is_ and (field := changed_field(was, is_)) is not None:
        raise _changed(state, file, f"the request's {field[0]}", field[2], f"{field[1]!r}")
    raise _changed(state, file, "training.code", "changed", "other code, channels or world sizes")


def _changed(state: RunState, file: str, field: str, value: object, before: str) -> JobFileError:
    expected = f"run {state.run_id} is open and began with {before}; it goes on as it began, or not at all"
    remedy = f"Undo the change; or end that run (nightspot stop {state.run_id}) and begin another (nightspot run {file} --fresh)."
    return JobFileError(file, field, value, expected, remedy)


def _two_deadlines(state: RunState, job_file: JobFile) -> JobFileError:
    value = str(job_file.document.deadline.at)
    expected = f"run {state.run_id} of this job is open with another deadline, and one night is paid for at a time"
    remedy = f"End it first (nightspot stop {state.run_id}), or play both (--fresh)."
    return JobFileError(job_file.file, "deadline.at", value, expected, remedy)
