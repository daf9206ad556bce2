"""`nightspot status`, `history` and `report`: what is, what was, and what it cost. They read the Journal, and change nothing."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from nightspot.cli.find import find_run
from nightspot.cli.shell import shell_of
from nightspot.cli.standing import market_now_utc, standing
from nightspot.model.facts import RunFacts, facts_of
from nightspot.model.state import RunState, replay
from nightspot.night.journal import Journal, events_of
from nightspot.report.tables import history as history_table
from nightspot.report.tables import standings
from nightspot.report.text import report as report_text

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id or its beginning, a job file, or `last`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def status(
    context: typer.Context,
    run: Annotated[
        Optional[str], typer.Argument(metavar="[RUN]", help="A run's id or its beginning, a job file, or `last`.")
    ] = None,
    *,
    json: JsonOption = False,
) -> None:
    """Show how the open runs stand: what they hold, what is done, slack, cost, and whether a controller is at work.

    Slack is the time that may still be lost before on-demand must start. A run without a controller has nobody
    who guards its deadline: `nightspot run` with its job file goes on with it.

    Example: nightspot status
    """
    shell = shell_of(context)
    journal = shell.home.read_journal()
    wanted = [find_run(journal, run)] if run is not None else list(journal.runs())
    states = [replay(events_of(journal, run_id)) for run_id in wanted]
    alive = [state for state in states if state.outcome is None]
    rows = [standing(shell.home, facts_of(journal.read(s.run_id), market_now_utc(s)), s) for s in alive]
    if json:
        shell.print_json(rows)
    elif rows:
        shell.print(standings(rows))
        for row in rows:
            shell.print(f"[dim]{row.run_id}: {row.decision}[/dim]" if row.decision else "")
    else:
        shell.print(_nothing_open(states, run))


def _nothing_open(states: list[RunState], run: str | None) -> str:
    if run is not None:
        return f"{states[0].run_id} is closed: {states[0].outcome.value if states[0].outcome else ''}. `nightspot report {run}`"
    return "no run is open. `nightspot history` lists those that were"


def history(
    context: typer.Context,
    *,
    job: Annotated[str, typer.Option("--job", metavar="NAME", help="Only nights of this job.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the latest.")] = 30,
    json: JsonOption = False,
) -> None:
    """List the nights: how each ended, how often capacity was taken, what it cost and what it saved.

    The saving is against one on-demand attempt doing the same work without a break.

    Example: nightspot history --limit 7
    """
    shell = shell_of(context)
    journal = shell.home.read_journal()
    wanted = [run_id for run_id in journal.runs() if not job or run_id.startswith(f"{job}-")]
    nights = [_facts(journal, run_id) for run_id in wanted]
    nights = [facts for facts in nights if not job or facts.job == job][-limit:]
    if json:
        shell.print_json(nights)
    elif nights:
        shell.print(history_table(nights))
    else:
        shell.print("no runs yet: `nightspot run FILE` begins a night")


def report(context: typer.Context, run: RunArgument = "last", *, json: JsonOption = False) -> None:
    """Tell what happened in a run, what it cost, and what it saved.

    Every attempt with its pool, times and bill; work that had to be redone; every decision with its reason; warnings;
    where the model came from. All times are market time.

    Example: nightspot report last --json
    """
    shell = shell_of(context)
    journal = shell.home.read_journal()
    run_id = find_run(journal, run)
    facts = _facts(journal, run_id)
    if json:
        shell.print_json(facts)
    else:
        shell.print(report_text(facts, _now_utc(journal, facts), shell.out.width))


def _facts(journal: Journal, run_id: str) -> RunFacts:
    return facts_of(journal.read(run_id), market_now_utc(replay(events_of(journal, run_id))))


def _now_utc(journal: Journal, facts: RunFacts) -> float:
    return market_now_utc(replay(events_of(journal, facts.run_id)))
