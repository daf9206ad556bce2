"""The stochastic dynamic programme: backwards from the deadline, the expected cost of every choice in every state.

    wait       E V(t-1, w, x')
    Spot       p_s + E V(t-1, w - work, x'), and w + redo where it is lost
    on-demand  p_o + E V(t-1, w - work, x')

V is the least of what the guard allows; what it does not allow costs what on-demand costs from then on. t: ticks left; w: work left; x: the
market's state. What is held is held at a level: the number of ticks since its launch, up to the one after which its start-up is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nightspot.market.belief import STATES
from nightspot.market.flips import BUCKETS
from nightspot.policy.planned.chain import Array, lost_to, seen, stays_up
from nightspot.policy.planned.handover import Handover
from nightspot.policy.planned.problem import Problem
from nightspot.policy.planned.shift import redone, worked
from nightspot.policy.planned.unseen import UNSEEN, Unseen

# More than any night costs.
NEVER = np.float32(1e9)
# As a share of on-demand's price for a tick.
EQUAL = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Costs in USD from `t` ticks before the end on, in float32, index of work last.

    `wait[t, x, w]`; `spot[t, level, age, w]` and `on_demand[t, level, x, w]`: of holding that in the coming tick, having
    held it for `level` ticks (0: it is launched now). Where the guard would not allow it, they are what it would cost if it did.
    Blind, `on_demand[t, 0 or 1, unseen, w]` is of launching it, and of it once it trains; `drop[t, unseen, w]` of leaving it for a queue.
    `beside[t, level, age, w]`: of holding Spot beside on-demand for that tick; at the last level, of moving to it.

    No two are equal: what is worked out of one is remembered by which it is.
    """

    problem: Problem
    wait: Array
    spot: Array
    on_demand: Array
    drop: Array
    beside: Array

    @property
    def equal(self) -> float:
        """Costs that differ by less are the same: the tables are of single precision."""
        return EQUAL * self.problem.on_demand.price


@lru_cache(maxsize=16)
def solve(problem: Problem) -> Plan:
    """The whole plan: some 50 ms for 480 ticks."""
    sweep, plan = Sweep(problem), _empty(problem)
    for tick in range(1, problem.ticks + 1):
        sweep.back(tick, plan)
    return plan


def _empty(problem: Problem) -> Plan:
    def table(*shape: int) -> Array:
        return np.zeros((problem.ticks + 1, *shape, problem.work + 1), np.float32)

    spots = problem.spot.levels + 1
    on_demand = table(2, UNSEEN) if problem.blind else table(problem.on_demand.levels + 1, STATES)
    drop = table(UNSEEN) if problem.blind else table(0)
    beside = table(spots, BUCKETS) if problem.handover >= 0.0 else table(0, BUCKETS)
    return Plan(problem, table(STATES), table(spots, BUCKETS), on_demand, drop, beside)


class Sweep:
    """What is carried from one tick back to the one before: V of holding nothing, Spot at a level, on-demand at a level, both."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._grid = np.arange(problem.work + 1, dtype=np.float32)
        self._seen = seen(problem.chances, problem.tick_s).astype(np.float32)
        self._stays = stays_up(problem.chances, problem.tick_s).astype(np.float32)
        self._lost = lost_to(problem.chances, problem.tick_s).astype(np.float32)
        self._spot_done = np.array(problem.spot.done(), np.float32)
        self._on_demand_done = np.array(problem.on_demand.done(), np.float32)
        some = (self._grid > 0).astype(np.float32)
        self._spends = problem.on_demand.price * some
        self._spot_spends = problem.spot.price * some
        self._ends(some)

    def _ends(self, some: Array) -> None:
        """With no tick left, on-demand does the rest."""
        way = self.problem.on_demand
        ends = [(self._grid * (way.price / way.speed) + way.price * start) * some for start in way.pending()]
        ends = [end.astype(np.float32) for end in ends]
        self.nothing = np.tile(ends[0], (STATES, 1))
        self.spot = np.stack([self.nothing[BUCKETS:]] * self.problem.spot.levels)
        self.on_demand = np.stack([np.tile(end, (STATES, 1)) for end in ends[1:]])
        self.unseen = Unseen(self.problem, ends[1:]) if self.problem.blind else None
        last = np.tile(ends[-1], (BUCKETS, 1))
        both = self.problem.handover >= 0.0
        self.both = Handover(self.problem, last, self._stays, self._lost) if both else None

    def back(self, tick: int, plan: Plan) -> None:
        """One tick back: the plan's tables of that tick, then V."""
        wait, spot = plan.wait[tick], plan.spot[tick]
        np.matmul(self._seen, self.nothing, out=wait)
        self._hold_spot(spot)
        limits = np.array(self.problem.spot_limits(tick), np.float32)
        waiting = np.where(self._grid <= self.problem.wait_limit(tick), wait, NEVER)
        held = np.where(self._grid <= limits[:, None, None], spot, NEVER)
        if self.unseen is not None:
            launched = self._unseen(self.unseen, tick, plan, waiting, held[0])
        else:
            launched = self._in_sight(tick, plan, waiting, held)
        np.minimum(waiting, launched, out=self.nothing)
        else_up = self.nothing[BUCKETS:].copy()
        np.minimum(else_up, held[0], out=self.nothing[BUCKETS:])
        np.minimum(held[1:], else_up, out=self.spot)

    def _hold_spot(self, spot: Array) -> None:
        """What trains loses work with its capacity; what is still starting up does not."""
        kept, gone = np.matmul(self._stays, self.spot), np.matmul(self._lost, self.nothing)
        worked(kept + gone, self._spot_done, spot)
        if self.problem.redo > 0.0:
            worked((kept[-1] + redone(gone, self.problem.redo))[None], self._spot_done[-1:], spot[-1:])
        spot += self._spot_spends

    def _in_sight(self, tick: int, plan: Plan, waiting: Array, held: Array) -> Array:
        """On-demand with the market in sight: V of it, and (STATES, work) what launching it costs."""
        costs = plan.on_demand[tick]
        worked(np.matmul(self._seen, self.on_demand), self._on_demand_done, costs)
        costs += self._spends
        both = plan.beside[tick]
        if self.both is not None:
            both[:-1] = self.both.held(self.on_demand[-1], self._spends + self._spot_spends)
        np.minimum(costs[1:], waiting, out=self.on_demand)
        up = self.on_demand[:, BUCKETS:]
        np.minimum(up, held[0], out=up)
        if self.both is not None:
            both[-1] = self.both.back(both[:-1], up[-1], held[-1])
            np.minimum(up[-1], both[0], out=up[-1])
        launched: Array = costs[0]
        return launched

    def _unseen(self, unseen: Unseen, tick: int, plan: Plan, waiting: Array, launched: Array) -> Array:
        """The same with nothing in sight; what is up when on-demand is asked for counts as lost just now."""
        costs = unseen.held(self._spends)
        plan.on_demand[tick] = costs[[0, -1]]
        plan.drop[tick] = unseen.back(costs, np.concatenate([waiting[:BUCKETS], launched]))
        at_once = costs[0, ::BUCKETS]
        return np.concatenate([at_once, np.broadcast_to(at_once[:1], at_once.shape)])
