"""What is believed of capacity that is not seen: it decays from what was last seen to what is usual, and is never taken for certain.

Capacity is a Markov chain over (down, up) x the buckets of `flips`: it flips at its age's rate, or grows older. What flips is young again.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nightspot.market.flips import AGES_H, BUCKETS, OLDEST_H, bucket, edges_h, remaining_s, survival
from nightspot.market.hazard import HOUR_S
from nightspot.model.capacity import Flips

STATES = 2 * BUCKETS
# Spans longer than that count as that long in long-run shares.
HORIZON_S = 48 * HOUR_S
# A step of the chain: short against the youngest bucket.
STEP_S = 60.0

Matrix = NDArray[np.float64]


def flip_chance(rates_per_hour: tuple[float, ...], step_s: float) -> Matrix:
    """(BUCKETS,): probability of a flip within `step_s`, by age."""
    chance: Matrix = -np.expm1(-np.asarray(rates_per_hour, dtype=np.float64) * (step_s / HOUR_S))
    return chance


def ageing(step_s: float) -> Matrix:
    """(BUCKETS, BUCKETS): from age to age within a step where nothing flips: a bucket is left once in its width, on average."""
    matrix = np.zeros((BUCKETS, BUCKETS))
    for index, (begin_h, end_h) in enumerate(edges_h()):
        moves = min(1.0, step_s / HOUR_S / (end_h - begin_h)) if end_h < math.inf else 0.0
        matrix[index, index] = 1.0 - moves
        if index < len(AGES_H):
            matrix[index, index + 1] = moves
    return matrix


def chain(flips: Flips, step_s: float) -> Matrix:
    """(STATES, STATES): rows are from, columns are to; down by age, then up by age."""
    found, lost = flip_chance(flips.recovery_per_hour, step_s), flip_chance(flips.loss_per_hour, step_s)
    matrix = np.zeros((STATES, STATES))
    matrix[:BUCKETS, :BUCKETS] = (1.0 - found)[:, None] * ageing(step_s)
    matrix[:BUCKETS, BUCKETS] = found
    matrix[BUCKETS:, BUCKETS:] = (1.0 - lost)[:, None] * ageing(step_s)
    matrix[BUCKETS:, 0] = lost
    return matrix


@lru_cache(maxsize=4096)
def belief(flips: Flips, last_up: bool | None, age_s: float, unseen_s: float) -> tuple[float, ...]:  # noqa: FBT001
    """Probabilities of (down, up) x buckets, `unseen_s` after it was last seen, being `age_s` old then. Never seen (None): the long run."""
    if last_up is None or unseen_s == math.inf:
        return usual(flips)
    start = np.zeros(STATES)
    start[bucket(max(0.0, age_s)) + (BUCKETS if last_up else 0)] = 1.0
    steps = math.ceil(max(0.0, unseen_s) / STEP_S)
    if steps == 0:
        return tuple(start.tolist())
    return tuple((start @ np.linalg.matrix_power(chain(flips, unseen_s / steps), steps)).tolist())


@lru_cache(maxsize=256)
def usual(flips: Flips) -> tuple[float, ...]:
    """The same of a Pool that was never seen."""
    share = long_run(flips)
    down = [(1.0 - share) * part for part in ages(flips, up=False)]
    return (*down, *[share * part for part in ages(flips, up=True)])


@lru_cache(maxsize=256)
def long_run(flips: Flips) -> float:
    """The share of time with capacity."""
    up_s = remaining_s(flips, 0.0, HORIZON_S, up=True)
    return up_s / (up_s + remaining_s(flips, 0.0, HORIZON_S, up=False))


@lru_cache(maxsize=256)
def ages(flips: Flips, *, up: bool) -> tuple[float, ...]:
    """How old that state is when one comes by at any time: shares by bucket."""
    times = [_spent_h(flips, begin_h, min(end_h, OLDEST_H), up=up) for begin_h, end_h in edges_h()]
    return tuple([time / sum(times) for time in times])


def _spent_h(flips: Flips, begin_h: float, end_h: float, *, up: bool) -> float:
    """Hours that a span spends in that bucket of age, on average."""
    reaches = survival(flips, begin_h * HOUR_S, up=up)
    # A hair past the edge: an age on an edge is in the younger bucket.
    return reaches * remaining_s(flips, begin_h * HOUR_S + 1e-3, (end_h - begin_h) * HOUR_S, up=up) / HOUR_S
