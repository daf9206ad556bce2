"""Recorded capacity of one market's Pools, and the nights that can be played over it, by ticks."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Sequence

import numpy as np
from numpy.typing import NDArray

from nightspot.market.trace import Trace, on_grid
from nightspot.model.capacity import Flips
from nightspot.planning.terms import EPSILON_S, Terms

Ticks = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Pools between which a night may choose, with their Traces and what is known of each (None: nothing). All Traces are finite."""

    names: tuple[str, ...]
    traces: tuple[Trace, ...]
    flips: tuple[Flips | None, ...]

    @property
    def begin_utc(self) -> float:
        """When all of them had begun."""
        return max([trace.start_utc for trace in self.traces])

    @property
    def end_utc(self) -> float:
        """When the first of them ends."""
        return min([trace.start_utc + trace.period_s for trace in self.traces])

    def knowing(self, flips: Sequence[Flips | None]) -> Recorded:
        """The same, with other knowledge."""
        return replace(self, flips=tuple(flips))


def starts_utc(
    recorded: Recorded, every_s: float, from_fraction: float, to_fraction: float, window_s: float
) -> list[float]:
    """When nights begin: each `every_s`, between those fractions of what was recorded, where the whole window was recorded."""
    begin_utc, length_s = recorded.begin_utc, recorded.end_utc - recorded.begin_utc
    first_utc = on_grid(begin_utc + from_fraction * length_s)
    last_utc = min(begin_utc + to_fraction * length_s - EPSILON_S, recorded.end_utc - window_s + EPSILON_S)
    count = max(0, math.floor((last_utc - first_utc) / every_s) + 1)
    return [first_utc + index * every_s for index in range(count)]


@dataclass(frozen=True, slots=True)
class Weather:
    """One Pool's capacity as nights by ticks see it: what there is at a tick's start holds for the tick.

    `up`: nights x ticks. `since_utc`: for each night, since when it had been as it is at its first tick.
    """

    up: Ticks
    since_utc: NDArray[np.float64]


def weather(trace: Trace, starts: Sequence[float], terms: Terms) -> Weather:
    """Look at a Trace at the ticks of each night."""
    flips_utc = _flips_utc(trace)
    begins = np.asarray(starts, dtype=np.float64)
    at_utc = begins[:, None] + np.arange(terms.ticks) * terms.tick_s
    first_up = trace.up(trace.start_utc)
    passed = np.searchsorted(flips_utc, at_utc, side="right")
    up = (passed % 2 == 0) == first_up
    known_utc = np.concatenate([[trace.start_utc], flips_utc])
    return Weather(up, known_utc[passed[:, 0]])


def _flips_utc(trace: Trace) -> NDArray[np.float64]:
    """Within what was recorded. Where a repeated Trace begins again is no flip."""
    inside = [utc for utc in trace.flips_utc if trace.start_utc < utc < trace.start_utc + trace.period_s]
    return np.asarray(inside, dtype=np.float64)


class TickCapacity:
    """One night's capacity of one Pool: backends.simulated.Capacity, made of ticks. It goes on as it ends."""

    __slots__ = ("_first_up", "_flips_utc", "_since_utc")

    def __init__(self, up: Ticks, start_utc: float, tick_s: float, since_utc: float) -> None:
        changes = np.flatnonzero(up[1:] != up[:-1]) + 1
        self._first_up = bool(up[0])
        self._flips_utc: list[float] = (start_utc + changes * tick_s).tolist()
        self._since_utc = since_utc

    def up(self, at_utc: float, /) -> bool:
        """See Capacity."""
        return self._first_up if bisect_right(self._flips_utc, at_utc) % 2 == 0 else not self._first_up

    def since(self, at_utc: float, /) -> float:
        """See Capacity."""
        index = bisect_right(self._flips_utc, at_utc)
        return self._flips_utc[index - 1] if index else self._since_utc

    def next_flip(self, at_utc: float, /) -> float:
        """See Capacity."""
        index = bisect_right(self._flips_utc, at_utc)
        return self._flips_utc[index] if index < len(self._flips_utc) else math.inf
