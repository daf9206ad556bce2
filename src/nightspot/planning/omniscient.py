"""The cheapest that a night could have been, for one who knew all of its capacity in advance: exact, by dynamic programme.

The rules are those of the loop on ticks. A launch, the first included, has `overhead_s` pending; a tick held works it off, and trains for
the rest of the tick; whole ticks are charged; letting go is free; Spot can be held in a tick at whose start there is some.

The state is (tick, work done, what is held). Three things make it small without leaving anything out:

- A launch let go before its first useful tick cost something and did nothing, so none is part of a cheapest night. A launch is therefore
  one leap over q ticks that do nothing, and one that trains for tick - r, with overhead = q ticks + r. No pending overhead is in the state.
- Work done is always a sum of whole ticks and of first useful ticks. Those sums that stay below the work are all the states: whole ticks
  where the overhead is a multiple of the tick, else some thousands at most. Nothing is interpolated, and the work may be any number.
- What is held matters only as "past its overhead, on that Pool".

The last tick may be cut short by the deadline: what it trains is cut short, too, and what it costs is not.
All arithmetic is on floats of 64 bits: "exact" means to rounding. Many nights go at once, in blocks that fit a core's cache.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Sequence

import numpy as np
from numpy.typing import NDArray

from nightspot.planning.recorded import Ticks
from nightspot.planning.terms import EPSILON_S, Terms

Costs = NDArray[np.float64]
# Floats of one array that is worked on at once.
BLOCK_SIZE = 1 << 14


def omniscient_usd(ups: Sequence[Ticks], terms: Terms) -> Costs:
    """The cheapest cost of each night. `ups`: for each Spot Pool, nights x ticks. Shape of the result: (nights,)."""
    plan = _Plan.of(terms)
    nights = ups[0].shape[0]
    size = max(1, BLOCK_SIZE // len(plan.after_tick))
    blocks = [_block([up[n : n + size].T for up in ups], plan) for n in range(0, nights, size)]
    costs: Costs = np.concatenate([np.empty(0), *blocks])
    return costs


@dataclass(frozen=True, slots=True)
class _Plan:
    """The states, and where each move leads. Work amounts are indices; the last of them means done.

    `after_tick`, `after_launch`: the index reached from each by a whole tick of training, and by the first useful tick of a launch.
    `done_cut`: whether the last tick, cut short, brings the end from there; `done_cut_launch`: as the first useful one of a launch.
    """

    ticks: int
    leap: int  # ticks from a launch to the end of its first useful one
    after_tick: NDArray[np.intp]
    after_launch: NDArray[np.intp]
    done_cut: Ticks
    done_cut_launch: Ticks
    spot_usd: float
    on_demand_usd: float

    @classmethod
    def of(cls, terms: Terms) -> _Plan:
        """Worked out once for all nights."""
        idle = math.floor((terms.overhead_s + EPSILON_S) / terms.tick_s)
        rest_s = max(0.0, terms.overhead_s - idle * terms.tick_s)
        first_s = terms.tick_s - rest_s
        amounts_s = _amounts_s(terms.work_s, terms.tick_s, first_s, terms.ticks)
        cut_s = terms.window_s - (terms.ticks - 1) * terms.tick_s
        left_s = terms.work_s - amounts_s
        return cls(
            terms.ticks,
            idle + 1,
            _reached(amounts_s, terms.tick_s, terms.work_s),
            _reached(amounts_s, first_s, terms.work_s),
            left_s <= cut_s + EPSILON_S,
            left_s <= cut_s - rest_s + EPSILON_S,
            terms.spot_usd_per_tick,
            terms.on_demand_usd_per_tick,
        )


def _amounts_s(work_s: float, tick_s: float, first_s: float, ticks: int) -> NDArray[np.float64]:
    """All amounts of work below `work_s` that some number of whole and of first ticks can make, in order; `work_s` itself at the end."""
    whole = range(min(ticks, math.ceil(work_s / tick_s)) + 1)
    firsts = range(1 if first_s >= tick_s - EPSILON_S else ticks + 1)
    sums = {round(a * tick_s + b * first_s, 6) for a, b in itertools.product(whole, firsts) if a + b <= ticks}
    below = sorted(amount for amount in sums if amount < work_s - EPSILON_S)
    return np.asarray([*below, work_s])


def _reached(amounts_s: NDArray[np.float64], by_s: float, work_s: float) -> NDArray[np.intp]:
    """The index of each amount and that much more. An amount that no night has time for stands in for nothing: it is never reached."""
    wanted = np.minimum(amounts_s + by_s, work_s)
    return np.minimum(np.searchsorted(amounts_s, wanted - 1e-5), len(amounts_s) - 1)


def _block(ups: Sequence[Ticks], plan: _Plan) -> Costs:
    """Backwards over the ticks. Arrays are amounts x nights; `ups` are ticks x nights. Ends with nothing held and nothing done."""
    shape = (len(plan.after_tick), ups[0].shape[1])
    always = np.ones((plan.ticks, shape[1]), dtype=np.bool_)
    capacities = [_Held(up, plan.spot_usd, plan, shape) for up in ups] + [
        _Held(always, plan.on_demand_usd, plan, shape)
    ]
    nothing, scratch = _over(shape), np.empty(shape)
    for tick in reversed(range(plan.ticks)):
        for held in capacities:
            held.launch(tick, nothing, scratch)
        for held in capacities:
            held.go_on(tick, nothing, scratch)
    cheapest: Costs = nothing[0]
    return cheapest


class _Held:
    """One Pool: the cost from each tick on, with it held and past its overhead. Values of the next `leap` ticks are kept in a ring."""

    def __init__(self, up: Ticks, usd: float, plan: _Plan, shape: tuple[int, int]) -> None:
        self._plan = plan
        self._ring = [_over(shape) for _ in range(plan.leap + 1)]
        self._usd = np.where(up, usd, np.inf)
        self._leap_usd = np.where(_lasting(up, plan.leap), usd * plan.leap, np.inf)

    def launch(self, tick: int, nothing: Costs, scratch: Costs) -> None:
        """Lower `nothing`, the cost from `tick` on with nothing held, to that of launching this Pool. It comes in as that of waiting."""
        plan, after = self._plan, tick + self._plan.leap
        if after < plan.ticks:
            np.take(self._ring[after % len(self._ring)], plan.after_launch, axis=0, out=scratch, mode="clip")
            scratch += self._leap_usd[tick]
        elif after == plan.ticks:
            np.add(_only(plan.done_cut_launch), self._leap_usd[tick], out=scratch)
        else:
            return
        scratch[-1] = 0.0
        np.minimum(nothing, scratch, out=nothing)

    def go_on(self, tick: int, nothing: Costs, scratch: Costs) -> None:
        """The cost from `tick` on with this Pool held: keep it while it is there, or let go."""
        plan, mine = self._plan, self._ring[tick % len(self._ring)]
        if tick + 1 < plan.ticks:
            np.take(self._ring[(tick + 1) % len(self._ring)], plan.after_tick, axis=0, out=scratch, mode="clip")
            scratch += self._usd[tick]
        else:
            np.add(_only(plan.done_cut), self._usd[tick], out=scratch)
        scratch[-1] = 0.0
        np.minimum(nothing, scratch, out=mine)


def _over(shape: tuple[int, int]) -> Costs:
    """Past the deadline: nothing is to be paid where all is done, and no money helps where it is not."""
    costs = np.full(shape, np.inf)
    costs[-1] = 0.0
    return costs


def _only(done: Ticks) -> Costs:
    """0 where that holds, else infinite, as a column."""
    column: Costs = np.where(done, 0.0, np.inf)[:, None]
    return column


def _lasting(up: Ticks, ticks: int) -> Ticks:
    """Where capacity lasts for so many ticks from that one on."""
    lasting: Ticks = up.copy()
    for later in range(1, ticks):
        lasting[:-later] &= up[later:]
        lasting[-later:] = False
    return lasting
