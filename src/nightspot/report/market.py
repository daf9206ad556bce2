"""What is known of the market: a table of Pools, one of rates by age, and the same as facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from rich.table import Table

from nightspot.market.day import NO_DAY, Day
from nightspot.market.flips import edges_h, remaining_s
from nightspot.market.hazard import HOUR_S
from nightspot.market.knowledge import Known
from nightspot.model.capacity import Flips
from nightspot.report.words import count, span

HORIZON_S = 24 * HOUR_S
AGES_S = (0.0, HOUR_S, 4 * HOUR_S)


@dataclass(frozen=True, slots=True)
class MarketRow:
    """One Pool. `available` is the share of the watched time with capacity, None where nothing was watched; `by_hour` the same by hour
    of the day (UTC). `lasts_s` and `absent_s`: how long capacity, or its absence, still lasts on average (a day at most) when it is new,
    an hour and four hours old. `recovery_per_hour` and `loss_per_hour` are the rates by age, `ages_h` where each bucket begins.
    """

    pool: str
    watched_h: float
    flips: float
    available: float | None
    lasts_s: tuple[float, ...]
    absent_s: tuple[float, ...]
    ages_h: tuple[float, ...]
    recovery_per_hour: tuple[float, ...]
    loss_per_hour: tuple[float, ...]
    by_hour: tuple[float | None, ...]
    source: str


def row(name: str, known: Known, flips: Flips) -> MarketRow:
    """The facts of one Pool."""
    watched, up = known.exposure.hours, sum(known.exposure.up_h)
    return MarketRow(
        pool=name,
        watched_h=watched,
        flips=known.exposure.flips,
        available=up / watched if watched > 0.0 else None,
        lasts_s=tuple([remaining_s(flips, age, HORIZON_S, up=True) for age in AGES_S]),
        absent_s=tuple([remaining_s(flips, age, HORIZON_S, up=False) for age in AGES_S]),
        ages_h=tuple([begin for begin, _ in edges_h()]),
        recovery_per_hour=flips.recovery_per_hour,
        loss_per_hour=flips.loss_per_hour,
        by_hour=_by_hour(known.day),
        source=flips.source,
    )


def _by_hour(day: Day) -> tuple[float | None, ...]:
    return day.available if day != NO_DAY else ()


def pools_table(rows: Sequence[MarketRow]) -> Table:
    """One row for each Pool."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("pool")
    for name in ("watched", "flips", "available"):
        table.add_column(name, justify="right")
    for name in ("lasts: new", "1 h old", "4 h old", "absent: new", "1 h old", "4 h old"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in rows:
        share = "" if one.available is None else f"{one.available:.0%}"
        spans = [span(seconds) for seconds in (*one.lasts_s, *one.absent_s)]
        table.add_row(one.pool, f"{one.watched_h:.0f} h", count(one.flips), share, *spans)
    return table


def rates_table(one: MarketRow) -> Table:
    """Rates per hour by age: how the hazard falls."""
    table = Table(
        box=None, pad_edge=False, header_style="dim", title=f"{one.pool}: flips per hour, by age", title_justify="left"
    )
    table.add_column("age from")
    for begin_h in one.ages_h:
        table.add_column(span(begin_h * HOUR_S), justify="right")
    table.add_row("capacity is lost", *[f"{rate:.2f}" for rate in one.loss_per_hour])
    table.add_row("capacity comes back", *[f"{rate:.2f}" for rate in one.recovery_per_hour])
    return table
