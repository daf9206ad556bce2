"""`nightspot why`: the reason of what a run holds, and what else it would cost. It reads the Journal, and asks no backend."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from typing import Annotated, Optional, Sequence
from zoneinfo import ZoneInfo

import typer

from nightspot.cli.find import find_run
from nightspot.cli.shell import shell_of
from nightspot.cli.standing import market_now_utc, observed
from nightspot.model.attempt import Role
from nightspot.model.events import DecisionChanged, Record, RunClosed
from nightspot.model.state import NOTHING, RunState, replay
from nightspot.policy.guard import Guarded, slack_s
from nightspot.policy.make import make_policy
from nightspot.report.why import BeliefRow, ChoiceRow, Why
from nightspot.report.why import why as why_text

TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")


def why(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id or its beginning, a job file, or `last`.")
    ] = "last",
    *,
    at: Annotated[
        Optional[str],
        typer.Option(
            "--at", metavar="TIME", help="As it was then: 02:30 of that night, or 2026-11-24T02:30, in the job's zone."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say why a run holds what it holds: the decision, its reason, slack, and what is believed of capacity.

    Under the policy `planned` also what each choice would cost from there to the end. An open run is shown as it is, a closed one as
    it was when it last decided, or either as it was at a time. Numbers are worked out again from the journal; nothing is asked.

    Example: nightspot why last --at 02:30
    """
    shell = shell_of(context)
    journal = shell.home.read_journal()
    records = list(journal.read(find_run(journal, run)))
    state, at_utc = _state_at(records, at)
    found = reasons(state, at_utc)
    if json:
        shell.print_json(found)
    else:
        shell.print(why_text(found))


def reasons(state: RunState, at_utc: float) -> Why:
    """All that is to be said of that Run then."""
    from nightspot.policy.planned.explain import explain

    observation = observed(state, at_utc)
    found = explain(observation)
    planned = state.job.policy.name == "planned"
    opened = at_utc >= state.start_utc
    until_utc = Guarded(make_policy(state.job.policy)).decide(observation).until_utc if opened else state.start_utc
    last = state.decision
    return Why(
        run_id=state.run_id,
        at_utc=at_utc,
        deadline_utc=state.deadline_utc,
        policy=state.job.policy.name,
        holds=tuple([w.pool_id if w.role is Role.TRAIN else f"{w.pool_id} ({w.role.value})" for w in last.wants]),
        why=last.why,
        by=last.by,
        decided_utc=last.until_utc if last is not NOTHING else state.opened_utc,
        until_utc=until_utc if until_utc < math.inf else None,
        slack_s=slack_s(observation) if opened else None,
        left_s=state.left_s,
        spent_usd=observation.spent_usd,
        choices=tuple([ChoiceRow(v.choice, v.usd, v.taken) for v in found.values]) if planned and opened else (),
        beliefs=tuple([BeliefRow(b.pool, b.sight, b.age_s, b.unseen_s, b.up, b.source) for b in found.beliefs]),
        timezone=state.job.timezone,
    )


def _state_at(records: Sequence[Record], at: str | None) -> tuple[RunState, float]:
    """The Run as it was then, and when that is."""
    opened = replay([record.event for record in records[:1]])
    whole = replay([record.event for record in records])
    if at is not None:
        at_utc = _time(at, opened)
        if at_utc < opened.opened_utc:
            raise typer.BadParameter(f"the run was not open yet: it was opened at {_local(opened, opened.opened_utc)}")
        closed = next((r.event for r in records if isinstance(r.event, RunClosed)), None)
        if closed is not None and at_utc > closed.at_utc:
            raise typer.BadParameter(f"the run was over by then: it ended at {_local(opened, closed.at_utc)}")
        return _until(records, at_utc), at_utc
    if whole.outcome is None:
        return whole, market_now_utc(whole)
    decided = [index for index, record in enumerate(records) if isinstance(record.event, DecisionChanged)]
    if not decided:
        return _until(records, opened.opened_utc), opened.opened_utc
    # What was done about it, at the same time, came after.
    return replay([record.event for record in records[: decided[-1] + 1]]), records[decided[-1]].event.at_utc


def _until(records: Sequence[Record], at_utc: float) -> RunState:
    """What had been recorded by then; a closed Run is shown as it was before."""
    events = [record.event for record in records]
    later = next((i for i, e in enumerate(events) if e.at_utc > at_utc or isinstance(e, RunClosed)), len(events))
    return replay(events[: max(1, later)])


def _time(text: str, opened: RunState) -> float:
    """A time of day within the night, or a whole date and time, in the Job's zone."""
    zone = ZoneInfo(opened.job.timezone)
    clock = TIME.fullmatch(text)
    try:
        if clock is None:
            given = datetime.fromisoformat(text)
            return (given if given.tzinfo else given.replace(tzinfo=zone)).timestamp()
        hour, minute, second = [int(part or 0) for part in clock.groups()]
        begun = datetime.fromtimestamp(opened.opened_utc, zone)
        then = begun.replace(hour=hour, minute=minute, second=second, microsecond=0)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time: write 02:30, or 2026-11-24T02:30") from None
    return (then if then >= begun.replace(microsecond=0) else then + timedelta(days=1)).timestamp()


def _local(opened: RunState, at_utc: float) -> str:
    return datetime.fromtimestamp(at_utc, ZoneInfo(opened.job.timezone)).isoformat(timespec="seconds")
