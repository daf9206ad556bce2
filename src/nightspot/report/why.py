"""Why a run holds what it holds: the decision, its reason, and the numbers behind it, at one moment."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nightspot.report.words import Moments, money, span


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """A choice and its expected cost from then to the end (None: the guard would not allow it). `taken`: the plan's."""

    choice: str
    expected_usd: float | None
    taken: bool


@dataclass(frozen=True, slots=True)
class BeliefRow:
    """What was known of a Spot Pool's capacity, and the probability that it was up."""

    pool: str
    sight: str
    age_s: float
    unseen_s: float
    up: float
    source: str


@dataclass(frozen=True, slots=True)
class Why:
    """One moment of a Run. `holds`: what was decided to be held. `choices` are the planned policy's; of another policy there are none."""

    run_id: str
    at_utc: float
    deadline_utc: float
    policy: str
    holds: tuple[str, ...]
    why: str
    by: str
    decided_utc: float
    until_utc: float | None
    slack_s: float | None
    left_s: float
    spent_usd: float
    choices: tuple[ChoiceRow, ...]
    beliefs: tuple[BeliefRow, ...]
    timezone: str


def why(of: Why) -> Group:
    """For people."""
    parts: list[RenderableType] = [_head(of), _figures(of), Text()]
    if of.choices:
        parts += [_choices(of), Text()]
    parts.append(_beliefs(of))
    return Group(*parts)


def _head(of: Why) -> Text:
    moments = Moments(of.timezone)
    return Text(of.run_id, "bold").append(f"   at {moments.full(of.at_utc)}", "not bold")


def _figures(of: Why) -> Table:
    moments = Moments(of.timezone)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    grid.add_row("holds", ", ".join(of.holds) or "nothing")
    grid.add_row("because", f"{of.why} ({of.by}, {moments.clock(of.decided_utc)})")
    until = "as long as nothing changes" if of.until_utc is None else f"{moments.clock(of.until_utc)} at most"
    grid.add_row("until", until)
    grid.add_row("work left", f"{span(of.left_s)}, {span(of.deadline_utc - of.at_utc)} to the deadline")
    grid.add_row("slack", "-" if of.slack_s is None else span(of.slack_s))
    grid.add_row("spent", money(of.spent_usd))
    return grid


def _choices(of: Why) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("choice")
    table.add_column("expected cost from here on", justify="right")
    table.add_column("")
    for row in of.choices:
        usd = "not allowed by the guard" if row.expected_usd is None else money(row.expected_usd)
        table.add_row(
            row.choice, usd, "the cheapest, or as good" if row.taken else "", style="bold" if row.taken else ""
        )
    return table


def _beliefs(of: Why) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("Spot pool", "capacity", "up now with", "known from"):
        table.add_column(name)
    for row in of.beliefs:
        table.add_row(row.pool, _sight(row), f"{row.up:.0%}", row.source)
    return table


def _sight(row: BeliefRow) -> str:
    if row.sight == "unknown":
        return "never seen" if row.age_s <= 0 and row.unseen_s <= 0 else f"not seen for {span(row.unseen_s)}"
    return f"{row.sight} for {span(row.age_s)}"
