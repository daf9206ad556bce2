"""The capacity of a market as a Markov chain over states: down by age, then up by age. Rows are from, columns are to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightspot.market.belief import STATES, ageing, flip_chance
from nightspot.market.flips import BUCKETS
from nightspot.policy.planned.problem import Chances

Array = NDArray[np.float32]


def stays_up(chances: Chances, tick_s: float) -> NDArray[np.float64]:
    """(bucket, bucket): from up at an age to up at an age, by staying so."""
    lost = flip_chance(chances.loss_per_hour, tick_s)
    return (1.0 - lost)[:, None] * ageing(tick_s)


def lost_to(chances: Chances, tick_s: float) -> NDArray[np.float64]:
    """(bucket, STATES): from up at an age to whatever there is once that capacity is lost."""
    lost = flip_chance(chances.loss_per_hour, tick_s)
    after = np.zeros((BUCKETS, STATES))
    if chances.another:
        after[:, BUCKETS:] = chances.another
    after[:, 0] = 1.0 - after.sum(axis=1)
    return lost[:, None] * after


def seen(chances: Chances, tick_s: float) -> NDArray[np.float64]:
    """(STATES, STATES): the market within a tick."""
    found = flip_chance(chances.recovery_per_hour, tick_s)
    matrix = np.zeros((STATES, STATES))
    matrix[:BUCKETS, :BUCKETS] = (1.0 - found)[:, None] * ageing(tick_s)
    matrix[:BUCKETS, BUCKETS] = found
    matrix[BUCKETS:, BUCKETS:] = stays_up(chances, tick_s)
    matrix[BUCKETS:, :] += lost_to(chances, tick_s)
    return matrix
