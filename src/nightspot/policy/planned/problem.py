"""The numbers a plan rests on, and nothing else: what is equal here has the same plan.

Time is in ticks of `tick_s`; `ticks` of them are left at the window's start, and `spare` of one more. Work is in units of what the fastest
Pool does in one tick. Prices are USD for a tick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A Pool in a plan: `lead` ticks from the request to the first work, then `speed` units of work (0 < speed <= 1) a tick."""

    price: float
    speed: float
    lead: float

    @property
    def levels(self) -> int:
        """Whole ticks after which its start-up is over: 1 at least, for the first tick is the one in which it is launched."""
        return max(1, math.ceil(self.lead))

    def done(self) -> tuple[float, ...]:
        """Work done in the first tick after the launch, in the next, ..., and in each one after its start-up."""
        worked = [1.0 - min(1.0, max(0.0, self.lead - level)) for level in range(self.levels)]
        return (*[share * self.speed for share in worked], self.speed)

    def pending(self) -> tuple[float, ...]:
        """Ticks of start-up still to come when it is launched, a tick later, ..., and once it is over."""
        return (*[self.lead - level for level in range(self.levels)], 0.0)


@dataclass(frozen=True, slots=True)
class Chances:
    """How capacity flips: per hour by age (see `market.flips`), and what there is then.

    `another[lost][found]`: probability that when capacity of the age `lost` goes, the best of what else is up is `found` old (buckets).
    Empty where there is nothing else.
    """

    recovery_per_hour: tuple[float, ...]
    loss_per_hour: tuple[float, ...]
    another: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """A night as a plan sees it.

    `out`: ticks that must be left, beyond the work, when on-demand has to be asked for; `reaction`: ticks until that can be seen to.
    `redo`: work lost by an interruption. `blind`: on on-demand nothing is seen of Spot. `handover`: work lost when on-demand hands over to
    Spot that was started beside it; below 0 where that is not to be had.
    """

    tick_s: float
    ticks: int
    spare: float
    work: int
    on_demand: Place
    spot: Place
    chances: Chances
    out: float
    reaction: float = 1.0
    redo: float = 0.0
    blind: bool = False
    handover: float = -1.0

    def wait_limit(self, tick: int) -> float:
        """With at most so much work left, the guard lets nothing be held for a tick, `tick` of them being left."""
        return (tick + self.spare - self.reaction - self.out) * self.on_demand.speed

    def spot_limits(self, tick: int) -> tuple[float, ...]:
        """The same of Spot, by level: its work within the tick counts, less what an interruption would lose; or it finishes."""
        limit = self.wait_limit(tick)
        return tuple([max(done, limit + sure) for done, sure in zip(self.spot.done(), self.sure(), strict=True)])

    def sure(self) -> tuple[float, ...]:
        """By level, the units of a tick on Spot that nothing takes back at its end; below 0 where earlier ones are at risk."""
        found, since = [], 0.0
        for level, done in enumerate(self.spot.done()):
            since = since + done if level < self.spot.levels else self.redo
            found.append(done - min(self.redo, since))
        return tuple(found)
