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
from nightspot.policy.planned.problem import Problem
from nightspot.policy.planned.shift import more, worked

# More than any night costs.
NEVER = np.float32(1e9)
# As a share of on-demand's price for a tick.
EQUAL = 1e-3


@dataclass(frozen=True, slots=True)
class Plan:
    """Costs in USD from `t` ticks before the end on, in float32, index of work last.

    `wait[t, x, w]`; `spot[t, level, age, w]` and `on_demand[t, level, x, w]`: of holding that in the coming tick, having
    held it for `level` ticks (0: it is launched now). Where the guard would not allow it, they are what it would cost if it did.
    """

    problem: Problem
    wait: Array
    spot: Array
    on_demand: Array

    @property
    def equal(self) -> float:
        """Costs that differ by less are the same: the tables are of single precision."""
        return EQUAL * self.problem.on_demand.price


@lru_cache(maxsize=16)
def solve(problem: Problem) -> Plan:
    """The whole plan: some 50 ms for 480 ticks."""
    ticks, width = problem.ticks, problem.work + 1
    spot, on_demand = problem.spot, problem.on_demand
    plan = Plan(
        problem,
        np.zeros((ticks + 1, STATES, width), np.float32),
        np.zeros((ticks + 1, spot.levels + 1, BUCKETS, width), np.float32),
        np.zeros((ticks + 1, on_demand.levels + 1, STATES, width), np.float32),
    )
    sweep = Sweep(problem)
    for tick in range(1, ticks + 1):
        sweep.back(tick, plan)
    return plan


class Sweep:
    """What is carried from one tick back to the one before: V of holding nothing, Spot at a level, on-demand at a level."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        grid = np.arange(problem.work + 1, dtype=np.float32)
        self._grid = grid
        self._seen = seen(problem.chances, problem.tick_s).astype(np.float32)
        stays, lost = stays_up(problem.chances, problem.tick_s), lost_to(problem.chances, problem.tick_s)
        self._stays, self._lost = stays.astype(np.float32), lost.astype(np.float32)
        self._spot_done = np.array(problem.spot.done(), np.float32)
        self._on_demand_done = np.array(problem.on_demand.done(), np.float32)
        work = grid * np.float32(problem.on_demand.price / problem.on_demand.speed)
        by_level = problem.on_demand.price * np.array(problem.on_demand.pending(), np.float32)
        ends = [np.broadcast_to(work + start, (STATES, grid.size)) * (grid > 0) for start in by_level]
        self.nothing = ends[0].copy()
        self.spot = np.stack([ends[0][BUCKETS:]] * problem.spot.levels)
        self.on_demand = np.stack(ends[1:])

    def back(self, tick: int, plan: Plan) -> None:
        """One tick back: the plan's tables of that tick, then V."""
        problem = self.problem
        wait, on_demand, spot = plan.wait[tick], plan.on_demand[tick], plan.spot[tick]
        np.matmul(self._seen, self.nothing, out=wait)
        worked(np.matmul(self._seen, self.on_demand), self._on_demand_done, on_demand)
        on_demand += np.float32(problem.on_demand.price) * (self._grid > 0)
        kept = np.matmul(self._stays, self.spot)
        gone = np.matmul(self._lost, self.nothing)
        worked(kept + gone, self._spot_done, spot)
        if problem.redo > 0.0:
            self._redo(kept[-1], gone, spot)
        spot += np.float32(problem.spot.price) * (self._grid > 0)
        self._least(tick, wait, spot, on_demand)

    def _redo(self, kept: Array, gone: Array, spot: Array) -> None:
        """What trains loses work with its capacity; what is still starting up does not."""
        again = more(gone, self.problem.redo, np.float32(self.problem.on_demand.price / self.problem.on_demand.speed))
        worked((kept + again)[None], self._spot_done[-1:], spot[-1:])

    def _least(self, tick: int, wait: Array, spot: Array, on_demand: Array) -> None:
        """V of what the guard allows."""
        limits = np.array(self.problem.spot_limits(tick), np.float32)
        waiting = np.where(self._grid <= self.problem.wait_limit(tick), wait, NEVER)
        held = np.where(self._grid <= limits[:, None, None], spot, NEVER)
        np.minimum(waiting, on_demand[0], out=self.nothing)
        else_up = self.nothing[BUCKETS:].copy()
        np.minimum(else_up, held[0], out=self.nothing[BUCKETS:])
        np.minimum(held[1:], else_up, out=self.spot)
        np.minimum(on_demand[1:], waiting, out=self.on_demand)
        np.minimum(self.on_demand[:, BUCKETS:], held[0], out=self.on_demand[:, BUCKETS:])
