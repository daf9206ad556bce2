"""What a backtest found, for people: a table for each window length."""

from __future__ import annotations

from typing import Optional

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nightspot.planning.results import BacktestFacts, PolicyFacts, WindowFacts
from nightspot.report.words import plural, span

COLUMNS = ("nights", "late", "mean cost", "95 %", "on-demand", "best possible", "above it", "captured")


def backtest(facts: BacktestFacts) -> Group:
    """The terms, and a table with a block for each window."""
    parts: list[RenderableType] = [_terms(facts), Text(), _table(facts), Text(), *_notes(facts)]
    return Group(*parts)


def _terms(facts: BacktestFacts) -> Text:
    pools = "one market of " * facts.multi_pool + plural(len(facts.traces), "pool" if facts.multi_pool else "trace")
    spans = f"{span(facts.work_s)} of work, {span(facts.overhead_s)} to start, ticks of {span(facts.tick_s)}"
    prices = f"Spot at ${facts.spot_price:g} and on-demand at ${facts.on_demand_price:g} an hour"
    return Text(f"{pools}: {spans}, {prices}{_abilities(facts)}. What is known of capacity: {facts.fitted_on}.")


def _abilities(facts: BacktestFacts) -> str:
    """What is not as usual, as the end of a sentence."""
    said = [", capacity seen by a queued request alone"] if facts.visibility == "request" else []
    said += [", a second one beside on-demand"] if facts.second_request else []
    said += [f", handover in {span(facts.handover_s)}"] if facts.handover_s is not None else []
    said += [f", {span(facts.redo_s)} of work redone after an interruption"] if facts.redo_s else []
    return "".join(said)


def _table(facts: BacktestFacts) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("window", no_wrap=True)
    table.add_column("policy", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for window in facts.windows:
        _window(table, window)
    return table


def _window(table: Table, window: WindowFacts) -> None:
    cheapest = min(policy.mean_cost for policy in window.policies.values())
    for index, (name, policy) in enumerate(window.policies.items()):
        shown = span(window.window_s) if index == 0 else ""
        style = "bold" if policy.mean_cost == cheapest else ""
        table.add_row(shown, Text(name, style), *_cells(policy))


def _cells(policy: PolicyFacts) -> tuple[str | Text, ...]:
    above = policy.mean_cost / policy.mean_cost_omniscient - 1 if policy.mean_cost_omniscient > 0 else None
    return (
        str(policy.nights),
        Text(str(policy.late), "red" if policy.late else ""),
        f"${policy.mean_cost:.3f}",
        f"${policy.p95_cost:.3f}",
        f"${policy.mean_cost_on_demand:.3f}",
        f"${policy.mean_cost_omniscient:.3f}",
        _percent(above),
        _percent(policy.captured),
    )


def _percent(share: Optional[float]) -> str:
    return "-" if share is None else f"{round(share * 100, 1) + 0.0:.1f} %"


def _notes(facts: BacktestFacts) -> list[Text]:
    late = any(policy.late for policy in facts.policies.values())
    meaning = (
        "best possible: what one would have paid who knew each night's capacity in advance. captured: the share of what could have been "
        "saved against on-demand that was."
    )
    return [Text(meaning, "dim"), *([Text("late: nights without a model by the deadline.", "red")] if late else [])]
