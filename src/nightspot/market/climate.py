"""Capacity made up for several Pools at once, as alike and as unlike as real ones: for backtests and forecasts where nothing was recorded.

Each Pool flips by the pooled rates of real ones, by age (`flips`), sped up by the pressure z of its place:

    loss per hour = pace * rate(age) * exp(-z)        recovery per hour = pace * rate(age) * exp(z)
    z = ease + regional * Z_region(t) + everywhere * Z(t) + day * cos(2 pi (t - DAY_PEAK_H) / 24 h) + unlike * z_pool

Z are Ornstein-Uhlenbeck processes of variance 1 that forget themselves in `lasts_h`. The constants were chosen so that runs of capacity,
their tails, the correlation of zones within and across regions, and the day's cycle come out as measured on public traces of AWS Spot
(2023: mean run with capacity 3.2 h, median 0.54 h; without 1.8 h and 0.49 h; coefficients of variation 2.4 to 4.2; zones of one region
correlate 0.25 to 0.59, across regions 0.03 to 0.27). tests/market/test_climate.py holds it to that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import Any, Mapping

import numpy as np

from nightspot.market.flips import AGES_H
from nightspot.market.hazard import HOUR_S
from nightspot.market.trace import Trace
from nightspot.model.capacity import Flips

DAY_H, DAY_PEAK_H = 24.0, 6.0
# Pooled over the public traces, per hour and bucket of age.
POOLED = Flips(
    recovery_per_hour=(1.75, 1.27, 0.69, 0.43, 0.28, 0.23, 0.15, 0.06),
    loss_per_hour=(1.59, 1.27, 0.79, 0.47, 0.25, 0.17, 0.14, 0.05),
    source="pooled over public traces of AWS Spot",
)
# Before the first tick, so that ages and pressures are what they are in the long run.
WARM_UP_H = 72.0

Array = Any  # of numpy; its own types tell nothing more here


@dataclass(frozen=True, slots=True)
class Climate:
    """The weather of several regions: `zones` of each. The same seed gives the same weather."""

    seed: int
    zones: tuple[int, ...] = (4, 2, 3)
    flips: Flips = field(default=POOLED)
    pace: float = 1.2
    ease: float = 0.27
    regional: float = 0.72
    everywhere: float = 0.5
    day: float = 0.4
    unlike: float = 0.3
    lasts_h: float = 8.0

    def __post_init__(self) -> None:
        if not self.zones or min(self.zones) < 1 or not (self.pace > 0 and self.lasts_h > 0):
            raise ValueError(f"a climate needs zones, a pace and a memory, all above zero, not {self!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """By region and zone: "region-1a", "region-1b", "region-2a"."""
        return tuple([_name(region, zone) for region, n in enumerate(self.zones, 1) for zone in range(n)])

    def traces(self, days: float, tick_s: float = 180.0, start_utc: float = 0.0) -> Mapping[str, Trace]:
        """A Trace for each Pool, by name; the day's cycle counts from `start_utc` as midnight."""
        ticks = self.ticks(days, tick_s)
        return {
            name: Trace.from_ticks(list(row), tick_s, start_utc) for name, row in zip(self.names, ticks, strict=True)
        }

    def ticks(self, days: float, tick_s: float) -> Array:
        """0 and 1, Pools x ticks."""
        chance = np.random.default_rng(self.seed)
        warm_up, count = int(WARM_UP_H * HOUR_S / tick_s), max(1, int(days * DAY_H * HOUR_S / tick_s))
        pressure = self._pressure(chance, warm_up, warm_up + count, tick_s / HOUR_S)
        return _play(chance, self._rates(), pressure, tick_s / HOUR_S)[:, warm_up:]

    def _rates(self) -> Array:
        """(down, up) x buckets, per hour, at no pressure."""
        return self.pace * np.array([self.flips.recovery_per_hour, self.flips.loss_per_hour])

    def _pressure(self, chance: Array, warm_up: int, ticks: int, tick_h: float) -> Array:
        """z, Pools x ticks."""
        region = np.repeat(np.arange(len(self.zones)), self.zones)
        wander = _wander(chance, len(self.zones) + 1, ticks, math.exp(-tick_h / self.lasts_h))
        hours = (np.arange(ticks) - warm_up) * tick_h
        cycle = self.day * np.cos(2 * math.pi * (hours - DAY_PEAK_H) / DAY_H)
        own = self.unlike * chance.standard_normal(len(region))
        return self.ease + self.regional * wander[region] + self.everywhere * wander[-1] + cycle + own[:, None]


def _name(region: int, zone: int) -> str:
    letters = ascii_lowercase[zone % 26] * (1 + zone // 26)
    return f"region-{region}{letters}"


def _wander(chance: Array, count: int, ticks: int, keeps: float) -> Array:
    """Ornstein-Uhlenbeck processes of variance 1, each tick keeping so much of the last."""
    shocks = chance.standard_normal((ticks, count)) * math.sqrt(1 - keeps * keeps)
    values = np.empty((ticks, count))
    value = chance.standard_normal(count)
    for tick in range(ticks):
        value = keeps * value + shocks[tick]
        values[tick] = value
    return values.T


def _play(chance: Array, rates: Array, pressure: Array, tick_h: float) -> Array:
    pools, ticks = pressure.shape
    ease, luck, ends_h = np.exp(pressure), chance.random((ticks, pools)), np.array(AGES_H)
    up, age_h = chance.random(pools) < 0.5, np.zeros(pools)
    states = np.empty((ticks, pools), np.int8)
    for tick in range(ticks):
        per_hour = rates[up.astype(np.intp), np.searchsorted(ends_h, age_h)]
        per_hour *= np.where(up, 1.0 / ease[:, tick], ease[:, tick])
        flips = luck[tick] < -np.expm1(-per_hour * tick_h)
        up, age_h = up ^ flips, np.where(flips, 0.0, age_h + tick_h)
        states[tick] = up
    return states.T
