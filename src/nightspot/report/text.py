"""The report of one night, for people."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nightspot.model.facts import AttemptFacts, DecisionFacts, Remark, RunFacts
from nightspot.report.timeline import LEGEND, timeline
from nightspot.report.words import Moments, compressed, count, money, plural, span, units, verdict

GOOD, BAD = "bold green", "bold red"


def report(facts: RunFacts, now_utc: float, width: int = 100) -> Group:
    """Everything: the summary, each attempt, each decision with its reason, what was warned of."""
    parts: list[RenderableType] = [summary(facts, now_utc, width)]
    parts += [_section("Attempts", attempts_table(facts))] if facts.attempts else []
    parts += [_section("Decisions", decisions_table(facts))] if facts.decisions else []
    remarks = sorted((*facts.limits, *facts.warnings, *facts.hooks), key=lambda remark: remark.at_utc)
    parts += [_section("Warnings, limits and hooks", remarks_table(facts, remarks))] if remarks else []
    parts += [_section("Lineage", _lineage(facts))]
    return Group(*parts)


def summary(facts: RunFacts, now_utc: float, width: int = 100) -> Group:
    """The first screen: how it ended, what it cost, what it saved, and the night as one line."""
    good = facts.outcome in ("completed", None) and not facts.late
    head = Text(facts.run_id, "bold").append("  ").append(verdict(facts), GOOD if good else BAD)
    line = timeline(facts, now_utc, width - 16)
    parts: list[RenderableType] = [head, _key_figures(facts), Text(), Padding(line, (0, 0, 0, 2))]
    parts.append(Text(f"        {LEGEND}", "dim"))
    said = compressed(facts.time_scale)
    parts += [Text(f"  {said}", "dim")] if said else []
    return Group(*parts)


def _key_figures(facts: RunFacts) -> Table:
    moments = Moments(facts.timezone)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    rows = [
        ("  deadline", moments.full(facts.deadline_utc)),
        ("  ended", moments.full(facts.finished_utc) if facts.finished_utc is not None else ""),
        ("  cost", bill(facts)),
        ("  work", work(facts)),
        ("  attempts", attempts(facts)),
        ("  model", f"sha256 {facts.model_sha256}" if facts.model_sha256 else ""),
        ("  metrics", ", ".join(f"{name} {value:.6g}" for name, value in facts.metrics.items())),
        ("  missed", facts.miss_means if _missed(facts) else ""),
    ]
    for name, value in rows:
        if value:
            grid.add_row(name, value)
    return grid


def _missed(facts: RunFacts) -> bool:
    return facts.late or facts.outcome not in ("completed", None)


def bill(facts: RunFacts) -> str:
    """What it cost, and what the same work would have cost on on-demand alone. Only a finished night has saved anything."""
    so_far = " so far" if facts.outcome is None else ""
    if facts.unpriced:
        return f"{money(facts.cost_usd)}{so_far}, and what {', '.join(facts.unpriced)} cost, which nobody knows"
    if facts.on_demand_cost_usd <= 0:
        return money(facts.cost_usd) + so_far
    if facts.outcome != "completed":
        against = money(facts.on_demand_cost_usd)
        return f"{money(facts.cost_usd)}{so_far}; as much work on {facts.guard_pool} throughout: {against}"
    against = f"{money(facts.cost_usd)}, against {money(facts.on_demand_cost_usd)} on {facts.guard_pool} throughout"
    if facts.saving_usd >= 0:
        return f"{against}: {facts.saving_percent:.0f} % saved"
    return f"{against}: {money(-facts.saving_usd)} more"


def work(facts: RunFacts) -> str:
    """What was done, how long a unit took, and what had to be done twice."""
    done = f"{count(facts.units_done)} of {units(facts.units, facts.unit)}, {span(facts.unit_s)} each"
    twice = f"; {span(facts.lost_work_s)} of work redone" if facts.lost_work_s > 0 else "; nothing redone"
    unverified = "" if facts.verified else "; checkpoints unverified"
    return done + twice + unverified


def attempts(facts: RunFacts) -> str:
    """How many, how many were taken back, and whether on-demand was needed."""
    taken = plural(facts.interruptions, "interruption")
    fallback = ", on-demand used" if facts.fell_back else ""
    return f"{len(facts.attempts)}, {taken}{fallback}; policy {facts.policy}"


def attempts_table(facts: RunFacts) -> Table:
    """One row for each."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("#", "pool", "market", "outcome", "asked", "trained", "ended"):
        table.add_column(name)
    for name in ("billed", "cost", facts.unit + "s", "redone"):
        table.add_column(name, justify="right")
    for attempt in facts.attempts:
        table.add_row(*_attempt_row(attempt, Moments(facts.timezone)))
    return table


def _attempt_row(attempt: AttemptFacts, moments: Moments) -> list[str]:
    def clock(at_utc: float | None) -> str:
        return moments.clock(at_utc) if at_utc is not None else "-"

    return [
        str(attempt.number),
        attempt.pool,
        attempt.market,
        (attempt.outcome or "alive") + (" (probe)" if attempt.role == "probe" else ""),
        clock(attempt.started_utc),
        clock(attempt.training_utc),
        clock(attempt.ended_utc),
        span(attempt.billable_s),
        money(attempt.cost_usd),
        count(attempt.units),
        span(attempt.lost_work_s) if attempt.lost_work_s > 0 else "-",
    ]


def decisions_table(facts: RunFacts) -> Table:
    """Each change of the desired holding: when, what, who had the last word, why."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("at", "hold", "by", "why"):
        table.add_column(name)
    for decision in facts.decisions:
        table.add_row(*_decision_row(decision, Moments(facts.timezone)))
    return table


def _decision_row(decision: DecisionFacts, moments: Moments) -> list[str]:
    return [moments.clock(decision.at_utc), ", ".join(decision.words) or "nothing", decision.by, decision.why]


def remarks_table(facts: RunFacts, remarks: list[Remark]) -> Table:
    """What the user should hear."""
    moments = Moments(facts.timezone)
    table = Table.grid(padding=(0, 2))
    for remark in remarks:
        who = f"attempt {remark.attempt}: " if remark.attempt else ""
        table.add_row(moments.clock(remark.at_utc), remark.kind, Text(who + remark.message))
    return table


def _lineage(facts: RunFacts) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    rows = {
        "job": facts.job,
        "fingerprint": facts.fingerprint,
        "artifact": facts.artifact or "",
        "sha256": facts.model_sha256 or "",
        "nightspot": facts.version,
        **facts.facts,
    }
    for name, value in rows.items():
        if value:
            grid.add_row(name, Text(value))
    return grid


def _section(title: str, body: Table) -> Group:
    return Group(Text(), Text(title, "bold"), Padding(body, (0, 0, 0, 2)))
