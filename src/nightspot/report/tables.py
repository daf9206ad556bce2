"""Many nights at a glance: the history, and what is open now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable

from rich.table import Table
from rich.text import Text

from nightspot.model.facts import RunFacts
from nightspot.report.words import Moments, count, money, span


@dataclass(frozen=True, slots=True)
class Standing:
    """How an open Run stands. `controller_pid` is None where no controller is at work on it."""

    run_id: str
    job: str
    controller_pid: int | None
    now_utc: float
    deadline_utc: float
    left_until_deadline_s: float
    slack_s: float | None
    pool: str | None
    attempt: int | None
    phase: str | None
    units_done: float
    units: float
    unit: str
    cost_usd: float
    interruptions: int
    decision: str
    asked: str | None
    timezone: str
    time_scale: float


def history(nights: Iterable[RunFacts]) -> Table:
    """One row for each night."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("night", "run", "outcome"):
        table.add_column(name, no_wrap=name == "run")
    for name in ("interruptions", "cost", "on-demand", "saved"):
        table.add_column(name, justify="right")
    for facts in nights:
        table.add_row(*_night(facts))
    return table


def _night(facts: RunFacts) -> tuple[str | Text, ...]:
    on_time = facts.outcome == "completed" and not facts.late
    outcome = (facts.outcome or "open").replace("-", " ") + (", late" if facts.late else "")
    style = "green" if on_time else ("yellow" if facts.outcome is None else "red")
    return (
        Moments(facts.timezone).night(facts.deadline_utc),
        facts.run_id,
        Text(outcome, style),
        str(facts.interruptions),
        money(facts.cost_usd),
        money(facts.on_demand_cost_usd),
        f"{facts.saving_percent:.0f} %" if facts.outcome == "completed" and facts.on_demand_cost_usd > 0 else "-",
    )


def standings(open_runs: Iterable[Standing]) -> Table:
    """One row for each open Run."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("run", "controller", "holds", "phase", "done", "deadline", "left", "slack", "cost"):
        table.add_column(name, no_wrap=name == "run")
    for standing in open_runs:
        table.add_row(*_standing(standing))
    return table


def _standing(standing: Standing) -> tuple[str | Text, ...]:
    pid = standing.controller_pid
    left_s = standing.left_until_deadline_s
    slack = span(standing.slack_s) if standing.slack_s is not None else "-"
    return (
        standing.run_id,
        f"pid {pid}" if pid is not None else Text("none", "bold yellow"),
        f"{standing.pool} (attempt {standing.attempt})" if standing.pool else "nothing",
        standing.phase or "-",
        f"{count(standing.units_done)}/{count(standing.units)} {standing.unit}s",
        Moments(standing.timezone).minute(standing.deadline_utc),
        span(left_s) if left_s >= 0 else Text(f"late by {span(-left_s)}", "bold red"),
        slack,
        money(standing.cost_usd),
    )
