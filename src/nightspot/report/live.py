"""The live view of a night that is going on. A picture of one moment: whoever shows it says what time it is."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nightspot.model.facts import AttemptFacts, RunFacts
from nightspot.report.text import bill
from nightspot.report.timeline import LEGEND, timeline
from nightspot.report.words import Moments, compressed, count, plural, span, units

REMARKS_SHOWN = 4


@dataclass(frozen=True, slots=True)
class View:
    """What the loop knows at `at_utc`. `units_now` counts what is not durable too; `slack_s` is None before the window opens."""

    facts: RunFacts
    at_utc: float
    slack_s: float | None
    units_now: float
    phase: str = ""
    note: str = ""


def live(view: View, now_utc: float, width: int = 100) -> Group:
    """The whole view. The countdown is of `now_utc`, all else of the loop's last look."""
    facts = view.facts
    parts: list[RenderableType] = [_head(facts, now_utc), _figures(view, now_utc, width), Text()]
    parts += [timeline(facts, now_utc, width - 14), Text(f"      {LEGEND}", "dim")]
    parts += _remarks(facts)
    parts += [Text(view.note, "bold yellow")] if view.note else []
    said = compressed(facts.time_scale)
    parts += [Text(said, "dim")] if said else []
    return Group(*parts)


def _head(facts: RunFacts, now_utc: float) -> Text:
    moments = Moments(facts.timezone)
    left_s = facts.deadline_utc - now_utc
    head = Text(facts.run_id, "bold").append(f"   {moments.clock(now_utc)}   ", "not bold")
    if left_s < 0:
        return head.append(f"LATE by {span(-left_s)}", "bold red")
    return head.append(f"{span(left_s)} to the deadline at {moments.minute(facts.deadline_utc)}", "not bold")


def _figures(view: View, now_utc: float, width: int) -> Table:
    facts = view.facts
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    grid.add_row("holding", holding(view, now_utc))
    grid.add_row("work", _bar(view, width))
    grid.add_row("slack", _slack(view))
    grid.add_row("cost", f"{bill(facts)}; {plural(facts.interruptions, 'interruption')}")
    if facts.decisions:
        last = facts.decisions[-1]
        grid.add_row("decided", f"{last.why} ({last.by}, {Moments(facts.timezone).clock(last.at_utc)})")
    return grid


def holding(view: View, now_utc: float) -> Text:
    """The Attempt that trains or shall, its Pool and what it does, and a probe beside it; or what is waited for."""
    alive = [attempt for attempt in view.facts.attempts if attempt.outcome is None]
    if not alive:
        opens = view.facts.start_utc
        return Text(f"nothing: the window opens in {span(opens - now_utc)}" if now_utc < opens else "nothing", "dim")
    first = max(alive, key=lambda attempt: (attempt.role != "probe", attempt.number))
    beside = [attempt for attempt in alive if attempt is not first]
    text = _alive(first, view.phase, now_utc)
    for attempt in beside:
        text.append(f"; beside it a request for {attempt.pool}, attempt {attempt.number}", "not bold dim")
    return text


def _alive(attempt: AttemptFacts, phase: str, now_utc: float) -> Text:
    style = "bold blue" if attempt.market == "on-demand" else "bold green"
    text = Text(attempt.pool, style).append(f"  attempt {attempt.number}, {phase or 'alive'}", "not bold default")
    return text.append(f", for {span(max(0.0, now_utc - attempt.started_utc))}", "not bold default")


def _bar(view: View, width: int) -> Table:
    facts = view.facts
    done = max(view.units_now, facts.units_done)
    grid = Table.grid(padding=(0, 2))
    safe = f"{count(facts.units_done)} safe" if view.units_now > facts.units_done else ""
    bar = ProgressBar(total=facts.units, completed=done, width=max(10, min(40, width - 60)))
    grid.add_row(bar, f"{count(done)} of {units(facts.units, facts.unit)}", Text(safe, "dim"))
    return grid


def _slack(view: View) -> Text:
    if view.slack_s is None:
        return Text("-", "dim")
    if view.slack_s < 0:
        return Text(f"none: {span(-view.slack_s)} short", "bold red")
    return Text(span(view.slack_s), "yellow" if view.slack_s < 600 else "default")


def _remarks(facts: RunFacts) -> list[RenderableType]:
    """The latest that the user should hear."""
    remarks = sorted((*facts.limits, *facts.warnings), key=lambda remark: remark.at_utc)[-REMARKS_SHOWN:]
    moments = Moments(facts.timezone)
    lines = [Text(f"{moments.clock(r.at_utc)} {r.kind.upper()}: {r.message}", "yellow") for r in remarks]
    return [Padding(line, (0, 0, 0, 0)) for line in lines]
