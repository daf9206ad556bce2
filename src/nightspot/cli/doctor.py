"""`nightspot doctor`: what would go wrong tonight, before it costs anything."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Iterator, Optional

import typer
from rich.table import Table
from rich.text import Text

from nightspot.cli import gate
from nightspot.cli import world as worlds
from nightspot.cli.home import Home
from nightspot.cli.learning import knowledge_if_any, taught
from nightspot.cli.quoting import quoted
from nightspot.cli.run import JOB_FILE
from nightspot.cli.shell import Shell, shell_of
from nightspot.cli.world import Anchors, World
from nightspot.errors import BackendError, ExitCode, JobFileError, UnknownBackendError
from nightspot.jobfile import JobFile, check_fits, load_job, plan_night
from nightspot.jobfile.durations import about
from nightspot.jobfile.feasible import need_s, plannable
from nightspot.jobfile.plan import PlannedNight
from nightspot.model.job import Job
from nightspot.night.ports import Finding, Kind
from nightspot.report.words import plural

# Backends say it so where nobody answers: for the last line's words, and for nothing else.
NO_CONNECTION = "there is no connection"
UNSEEN = "Leave it out where capacity is seen without a request; on SageMaker it needs wrapper = true."
NO_HANDOVER = "Leave it out, or let words reach the training: on SageMaker it needs wrapper = true."
STYLES = {"fatal": "bold red", "wrong": "yellow", "unchecked": "cyan", "fine": "green"}


@dataclass(frozen=True, slots=True)
class Row:
    """One finding. `about` is the backend that has it, or `job file`, `drill` or `market`."""

    mark: str
    about: str
    what: str
    remedy: str


def doctor(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The job file.")] = Path(JOB_FILE),
    *,
    set_: Annotated[
        Optional[list[str]],
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one key of the job file, for this command. May be repeated."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look for what would go wrong tonight, before any money is spent: the most expensive surprise first.

    Each finding comes with its remedy. What is fine is said, too, and what cannot be checked from here, and why. Nothing is
    launched. The exit code is 0 where nothing keeps the night from being run.

    Example: nightspot doctor nightspot.toml
    """
    shell = shell_of(context)
    job_file = load_job(file, set_ or ())
    plan = plan_night(job_file, time.time(), "", shell.home.run_folder)
    rows = sorted(_rows(shell.home, job_file, plan), key=lambda row: list(STYLES).index(row.mark))
    if json:
        shell.print_json(rows)
    else:
        _show(shell, rows)
    if any(row.mark == "fatal" for row in rows):
        raise typer.Exit(ExitCode.BAD_JOB_FILE)


def _rows(home: Home, job_file: JobFile, plan: PlannedNight) -> Iterator[Row]:
    """The window first, then each backend's own, in the order of the pools."""
    anchors = Anchors(plan.market_now_utc, time.time(), plan.job.time_scale, plan.start_utc)
    world = worlds.open_world(home, anchors)
    said: list[str] = []
    job = taught(plan.job, home.read_journal(), knowledge_if_any(home, said.append))
    for sentence in said:
        yield _row(Finding(sentence, "Move it away; `nightspot market fit` makes a new one."), "market")
    yield _row(_window(world, job, job_file.file, plan), "job file")
    for name in dict.fromkeys(pool.backend for pool in job.pools):
        for finding in _checked(world, job, name):
            yield _row(finding, name)
    for finding in _beside(world, job):
        yield _row(finding, "job file")
    for finding in _cap(world, job, job_file.file):
        yield _row(finding, "job file")
    for finding in gate.finding(home, job_file, job):
        yield _row(finding, "drill")


def _row(finding: Finding, about_: str) -> Row:
    return Row("fatal" if finding.fatal else finding.kind.value, about_, finding.what, finding.remedy)


def _window(world: World, job: Job, file: str, plan: PlannedNight) -> Finding:
    """Whether the work fits tonight's window, as `nightspot run` would ask."""
    from_utc = max(plan.start_utc, plan.market_now_utc)
    try:
        check_fits(job, file, from_utc, plan.deadline_utc, world.settings.reaction_s)
    except JobFileError as error:
        return _of_error(error)
    window_s = plan.deadline_utc - from_utc
    spare_s = window_s - min(need_s(job, pool) for pool in plannable(job)) - world.settings.reaction_s
    return Finding(f"the work fits the window of {about(window_s)}, with {about(spare_s)} to spare", kind=Kind.FINE)


def _checked(world: World, job: Job, name: str) -> list[Finding]:
    """A backend that cannot be asked hides no other."""
    try:
        return list(world.backends[name].check(job))
    except UnknownBackendError as error:
        return [Finding(str(error), "Correct `backend`, or install what provides it.", fatal=True)]
    except BackendError as error:
        return [Finding(f"{name} could not be asked: {error}", kind=Kind.UNCHECKED)]


def _beside(world: World, job: Job) -> Iterator[Finding]:
    """Whether what the job file consents to can be done: a second request, a handover."""
    try:
        can = {pool.id: world.backends[pool.backend].abilities(pool) for pool in job.spot}
    except (UnknownBackendError, BackendError):
        return  # said above
    asked = {"second_request": (job.second_request, UNSEEN), "handover": (job.handover, NO_HANDOVER)}
    for key, (wanted, remedy) in asked.items():
        if wanted:
            able = [
                id_ for id_, one in can.items() if one.beside and (one.handover if key == "handover" else one.queues)
            ]
            unable = [id_ for id_ in can if id_ not in able]
            if able:
                yield Finding(f"policy.{key}: {', '.join(able)} can do it", kind=Kind.FINE)
            if unable:
                yield Finding(f"policy.{key} is allowed, and {', '.join(unable)} cannot do it", remedy)


def _cap(world: World, job: Job, file: str) -> Iterator[Finding]:
    """Whether the spend cap leaves room for a night, where a backend must say what that costs."""
    if job.limits.cost_usd is None:
        return
    try:
        quoted(world.backends, job, file, time.time(), lambda _: None)
    except JobFileError as error:
        yield _of_error(error)
    except BackendError:
        return  # said above


def _of_error(error: JobFileError) -> Finding:
    return Finding(f"{error.field}: {error.expected}", error.remedy, fatal=True)


def _show(shell: Shell, rows: list[Row]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, ratio in (("", None), ("what", 3), ("remedy", 2)):
        table.add_column(name, ratio=ratio, no_wrap=ratio is None, overflow="fold")
    for row in rows:
        table.add_row(Text(row.mark, STYLES[row.mark]), Text(row.what), Text(row.remedy))
    shell.print(table, Text(_sum(rows)))


def _sum(rows: list[Row]) -> str:
    count = {mark: sum(row.mark == mark for row in rows) for mark in STYLES}
    rest = f"{plural(count['wrong'], 'warning')}, {count['unchecked']} not checked, {count['fine']} fine"
    if count["fatal"]:
        return f"The night cannot be run so: {plural(count['fatal'], 'fatal finding')}, {rest}."
    if count["unchecked"] * 2 > len(rows):
        unheard = sum(NO_CONNECTION in row.what for row in rows if row.mark == "unchecked")
        why = f": {NO_CONNECTION}" if unheard * 2 > count["unchecked"] else ""
        return f"Most could not be checked{why}. Nothing was found that keeps the night from being run: {rest}."
    return f"Nothing keeps the night from being run: {rest}."
