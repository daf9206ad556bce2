"""What every night of a backtest has in common."""

from __future__ import annotations

import math
from dataclasses import dataclass

HOUR_S = 3600.0
# Sums of ticks are exact to far less than this.
EPSILON_S = 1e-6


@dataclass(frozen=True, slots=True)
class Terms:
    """A night of `work_s` within `window_s`; any launch takes `overhead_s`, the loop acts each `tick_s`, and whole ticks are charged.

    Seconds are market time, prices USD for an hour. `request_only`: capacity is seen by a queued request alone; `second_request`: one may
    wait beside on-demand. `handover_s`: what moving from on-demand to Spot that has booted beside takes; None: that cannot be.
    `redo_s`: so much work is done again after each interruption. ValueError where on-demand from the first tick on would be late.
    """

    work_s: float = 4 * HOUR_S
    window_s: float = 8 * HOUR_S
    overhead_s: float = 180.0
    spot_usd_per_hour: float = 0.3
    on_demand_usd_per_hour: float = 1.0
    tick_s: float = 180.0
    request_only: bool = False
    second_request: bool = False
    handover_s: float | None = None
    redo_s: float = 0.0

    def __post_init__(self) -> None:
        if (
            min(self.work_s, self.window_s, self.tick_s) <= 0
            or min(self.overhead_s, self.redo_s, self.handover_s or 0.0) < 0
        ):
            raise ValueError("work, window and tick must be longer than nothing")
        if not all(0 <= price < math.inf for price in (self.spot_usd_per_hour, self.on_demand_usd_per_hour)):
            raise ValueError("prices are what an hour costs: 0 or more")
        if self.second_request and not self.request_only:
            raise ValueError("a second request is of use where only a request shows capacity")
        if self.window_s < self.work_s + self.overhead_s:
            raise ValueError(
                f"a window of {self.window_s:g} s is too short for {self.work_s:g} s of work and {self.overhead_s:g} s of start-up"
            )

    @property
    def ticks(self) -> int:
        """How many ticks begin within the window; the last may be cut short by the deadline."""
        return math.ceil((self.window_s - EPSILON_S) / self.tick_s)

    @property
    def spot_usd_per_tick(self) -> float:
        """What a tick on Spot costs."""
        return self.spot_usd_per_hour * self.tick_s / HOUR_S

    @property
    def on_demand_usd_per_tick(self) -> float:
        """What a tick on on-demand costs."""
        return self.on_demand_usd_per_hour * self.tick_s / HOUR_S

    @property
    def on_demand_usd(self) -> float:
        """A night wholly on on-demand: one start-up, then the work, in whole ticks."""
        return math.ceil((self.work_s + self.overhead_s - EPSILON_S) / self.tick_s) * self.on_demand_usd_per_tick
