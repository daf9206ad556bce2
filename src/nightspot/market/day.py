"""How capacity lies over the day: for each hour of the day (UTC), how long it was watched, and how long there was some."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Iterable

HOURS, HOUR_S = 24, 3600.0
# More days than that in one span say no more about the hours of the day, and take long to count.
LONGEST_S = 400 * HOURS * HOUR_S


@dataclass(frozen=True, slots=True)
class Day:
    """Hours with capacity, and hours watched, by hour of the day."""

    up_h: tuple[float, ...] = (0.0,) * HOURS
    watched_h: tuple[float, ...] = (0.0,) * HOURS

    def __add__(self, other: Day) -> Day:
        """Both together."""
        up = [a + b for a, b in zip(self.up_h, other.up_h, strict=True)]
        return Day(tuple(up), tuple([a + b for a, b in zip(self.watched_h, other.watched_h, strict=True)]))

    @property
    def available(self) -> tuple[float | None, ...]:
        """The share of the time with capacity, by hour of the day; None where nothing was watched."""
        pairs = zip(self.up_h, self.watched_h, strict=True)
        return tuple([up / watched if watched > 0.0 else None for up, watched in pairs])


NO_DAY = Day()


def day_of(spans_utc: Iterable[tuple[float, float, bool]]) -> Day:
    """From (begin, end, up) in market time."""
    up_h, watched_h = [0.0] * HOURS, [0.0] * HOURS
    for begin_utc, end_utc, up in spans_utc:
        at_utc, end_utc = begin_utc, min(end_utc, begin_utc + LONGEST_S)
        while at_utc < end_utc:
            next_utc = min(end_utc, (math.floor(at_utc / HOUR_S) + 1) * HOUR_S)
            hour = int(at_utc // HOUR_S) % HOURS
            watched_h[hour] += (next_utc - at_utc) / HOUR_S
            up_h[hour] += (next_utc - at_utc) / HOUR_S if up else 0.0
            at_utc = next_utc
    return Day(tuple(up_h), tuple(watched_h))
