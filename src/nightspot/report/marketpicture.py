"""What is known of the market as a picture: how long capacity lasts and stays away, and how it lies over the day."""

from __future__ import annotations

from typing import Any, Sequence

from nightspot.market.flips import survival
from nightspot.market.hazard import HOUR_S
from nightspot.model.capacity import Flips
from nightspot.report.figure import COLOURS, as_bytes, begin, plain
from nightspot.report.market import MarketRow

WIDTH_IN, HEIGHT_IN = 11.0, 3.4
HOURS = [hour / 10 for hour in range(241)]


def picture(rows: Sequence[MarketRow], form: str = "svg") -> bytes | None:
    """Survival of capacity, survival of its absence, and the share of the time with capacity by hour. None without matplotlib."""
    figure = begin(WIDTH_IN, HEIGHT_IN)
    if figure is None:
        return None
    lasts, absent, day = figure.subplots(1, 3)
    for index, row in enumerate(rows):
        colour = COLOURS[index % len(COLOURS)]
        flips = Flips(row.recovery_per_hour, row.loss_per_hour)
        for axis, up in ((lasts, True), (absent, False)):
            shares = [survival(flips, hour * HOUR_S, up=up) for hour in HOURS]
            axis.plot(HOURS, shares, color=colour, linewidth=1.4, label=row.pool)
        _day(day, row, colour)
    _frame(lasts, "capacity that is there is still there after", "hours")
    _frame(absent, "capacity that is gone is still gone after", "hours")
    _frame(day, "share of the time with capacity (UTC)", "hour of the day")
    lasts.legend(fontsize=7, frameon=False)
    return as_bytes(figure, form)


def _day(axis: Any, row: MarketRow, colour: str) -> None:
    seen = [(hour, share) for hour, share in enumerate([*row.by_hour, *row.by_hour[-1:]]) if share is not None]
    axis.step([hour for hour, _ in seen], [share for _, share in seen], where="post", color=colour, linewidth=1.4)


def _frame(axis: Any, title: str, label: str) -> None:
    plain(axis, title)
    axis.set_ylim(0.0, 1.02)
    axis.set_xlim(0.0, 24.0)
    axis.set_xticks(range(0, 25, 4))
    axis.set_xlabel(label, fontsize=8)
