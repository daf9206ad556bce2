"""On-demand that trains while Spot starts up beside it, and hands over to it: both are paid, no work is lost but at the move."""

from __future__ import annotations

import numpy as np

from nightspot.policy.planned.problem import Problem
from nightspot.policy.planned.shift import Array, more, worked


class Handover:
    """V of holding both, by the ticks since Spot was asked for, 1 and up: (levels, ages, work)."""

    def __init__(self, problem: Problem, end: Array, stays: Array, lost: Array) -> None:
        """`end`: (ages, work), the cost when no tick is left; `stays`, `lost`: what becomes of Spot within a tick."""
        self._problem, self._stays, self._lost = problem, stays, lost
        self._done = np.full(problem.spot.levels, problem.on_demand.speed, np.float32)
        self.value = np.stack([end] * problem.spot.levels)

    def held(self, on_demand: Array, spends: Array) -> Array:
        """(levels, ages, work): a tick of both, by the levels from 0 on; `on_demand`: V of on-demand alone, (STATES, work)."""
        expected = np.matmul(self._stays, self.value) + np.matmul(self._lost, on_demand)
        costs: Array = np.empty(expected.shape, np.float32)
        worked(expected, self._done, costs)
        costs += spends
        return costs

    def back(self, costs: Array, on_demand: Array, moved: Array) -> Array:
        """V from a tick's `costs`, of `on_demand` alone and of Spot that is ready. What the move costs: (ages, work)."""
        place = self._problem.on_demand
        move = more(moved, self._problem.handover, np.float32(place.price / place.speed))
        self.value[:-1] = np.minimum(costs[1:], on_demand)
        self.value[-1] = np.minimum(move, on_demand)
        return move
