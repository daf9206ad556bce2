"""On-demand where only a request shows capacity, and none is queued beside it: what is not seen is believed.

A state is (how old the lack of capacity was when it was last seen, how long ago that is), in buckets of age. To know more, on-demand must
be dropped for a place in a queue: the request is granted, or shows that there is none.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from nightspot.market.belief import ageing, belief
from nightspot.market.flips import BUCKETS, OLDEST_H, edges_h
from nightspot.market.hazard import HOUR_S
from nightspot.model.capacity import Flips
from nightspot.policy.planned.problem import Chances, Problem
from nightspot.policy.planned.shift import Array, worked

UNSEEN = BUCKETS * BUCKETS


@lru_cache(maxsize=64)
def _believed(chances: Chances) -> Array:
    """(UNSEEN, STATES): what is believed in each state."""
    last_up = False
    flips = Flips(chances.recovery_per_hour, chances.loss_per_hour)
    middles_s = [(begin_h + min(end_h, OLDEST_H)) / 2 * HOUR_S for begin_h, end_h in edges_h()]
    rows = [belief(flips, last_up, age_s, unseen_s) for age_s in middles_s for unseen_s in middles_s]
    return np.array(rows, np.float32)


class Unseen:
    """V of on-demand, by levels 1 and up: (levels, UNSEEN, work)."""

    def __init__(self, problem: Problem, ends: list[Array]) -> None:
        """`ends`: (work,) for each level from 1 on: the cost when no tick is left."""
        self._problem = problem
        self._believed = _believed(problem.chances)
        self._later = np.diag(ageing(problem.tick_s), 1).astype(np.float32)[:, None]
        self._done = np.array(problem.on_demand.done(), np.float32)
        self.value = np.stack([np.broadcast_to(end, (UNSEEN, end.size)) for end in ends])

    def held(self, spends: Array) -> Array:
        """(levels + 1, UNSEEN, work): a tick of it, by levels from 0 on; `spends`: what the tick costs, (work,)."""
        expected = self.value.reshape(len(self.value), BUCKETS, BUCKETS, -1).copy()
        expected[:, :, :-1] += self._later * (expected[:, :, 1:] - expected[:, :, :-1])
        expected = expected.reshape(self.value.shape)
        costs = np.empty((len(self.value) + 1, *expected.shape[1:]), np.float32)
        worked(expected, self._done, costs)
        costs += spends
        return costs

    def back(self, costs: Array, market: Array) -> Array:
        """V from a tick's `costs`; what dropping it for a queue costs. `market`: (STATES, work), of what each state then allows."""
        drop: Array = self._believed @ market
        self.value = costs[1:]
        np.minimum(self.value[-1], drop, out=self.value[-1])
        return drop
