"""What capacity costs. Prices are USD for one hour of a whole Attempt, all its instances; spans are market seconds."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Iterable

from nightspot.market.trace import Trace

HOUR_S = 3600.0


def cost_usd(billable_s: float, price_usd_per_hour: float) -> float:
    """USD for that many billable seconds."""
    return billable_s / HOUR_S * price_usd_per_hour


def on_demand_s(work_s: float, lead_s: float, speed: float = 1.0) -> float:
    """Billable seconds of a night wholly on on-demand: one start-up, then the work. `work_s` is at speed 1, `lead_s` as the clock runs."""
    return lead_s + work_s / speed


def on_demand_cost_usd(work_s: float, lead_s: float, price_usd_per_hour: float, speed: float = 1.0) -> float:
    """USD for a night wholly on on-demand: what a saving is measured against."""
    return cost_usd(on_demand_s(work_s, lead_s, speed), price_usd_per_hour)


def saving(paid_usd: float, against_usd: float) -> float:
    """The share saved: 0.7 is 70 %; negative where it was dearer; 0 where there was nothing to pay."""
    return 1.0 - paid_usd / against_usd if against_usd > 0 else 0.0


@dataclass(frozen=True, slots=True)
class PriceHistory:
    """What one Pool cost over time: (from when on, USD for an hour), in order, known until `end_utc`."""

    changes: tuple[tuple[float, float], ...]
    end_utc: float

    @classmethod
    def of(cls, prices: Iterable[tuple[float, float]], end_utc: float) -> PriceHistory:
        """From (time, price) in any order; of two at one time the later one given counts. ValueError without any."""
        changes = tuple(sorted(dict(prices).items()))
        if not changes:
            raise ValueError("a price history needs at least one price")
        return cls(changes, max(end_utc, changes[-1][0] + 1.0))

    def usd_per_hour(self, utc: float) -> float:
        """The price at that time; before the first, the first."""
        index = bisect_right(self.changes, (utc, math.inf))
        return self.changes[max(0, index - 1)][1]

    @property
    def mean_usd_per_hour(self) -> float:
        """Over all of its time."""
        times = [utc for utc, _ in self.changes] + [self.end_utc]
        spent = sum([(b - a) * usd for a, b, (_, usd) in zip(times, times[1:], self.changes, strict=False)])
        return spent / (self.end_utc - times[0])

    def trace(self, price_cap_usd_per_hour: float) -> Trace:
        """When it cost less than that: what somebody saw who bids no more."""
        changes = [(utc, usd < price_cap_usd_per_hour) for utc, usd in self.changes]
        return Trace.from_changes(changes, self.end_utc)
