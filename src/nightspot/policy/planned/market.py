"""Several Spot Pools as one market: how likely another is up when one is lost, how old it then is, how soon any comes back.

Capacity of Pools is correlated: 0.4 within a region, 0.1 elsewhere (measured on recorded capacity: 0.25-0.59, and 0.03-0.27).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Sequence

from nightspot.market.belief import ages, long_run
from nightspot.market.flips import BUCKETS, prior
from nightspot.model.capacity import Flips, Pool
from nightspot.policy.planned.problem import Chances

SAME_REGION, ELSEWHERE = 0.4, 0.1


def flips_of(pool: Pool) -> Flips:
    """What is known of that Pool's capacity, or the prior."""
    return pool.flips if pool.flips is not None else _prior()


@lru_cache(maxsize=1)
def _prior() -> Flips:
    return prior()


def correlation(one: Pool, other: Pool) -> float:
    """Of two Pools' capacity, by their places: a zone's name is its region's and a letter more."""
    same = _region(one.place) == _region(other.place) and one.place != ""
    return SAME_REGION if same or one.place == other.place else ELSEWHERE


def _region(place: str) -> str:
    return place[:-1] if place[-2:-1].isdigit() and place[-1:].isalpha() else place


def chances(pool: Pool, spots: Sequence[Pool]) -> Chances:
    """Of that Pool in a market of all of `spots` (itself among them)."""
    others = tuple([p for p in spots if p.id != pool.id])
    flips = flips_of(pool)
    if not others:
        return Chances(flips.recovery_per_hour, flips.loss_per_hour)
    return _together(flips, tuple([(flips_of(p), correlation(pool, p)) for p in others]))


@lru_cache(maxsize=256)
def _together(flips: Flips, others: tuple[tuple[Flips, float], ...]) -> Chances:
    younger = [_younger(flips, other, shared) for other, shared in others]
    up = [1.0 - math.prod([1.0 - chances[bucket] for chances in younger]) for bucket in range(BUCKETS)]
    first = [0.0, *up[:-1]]
    best = [b - a for a, b in zip(first, up, strict=True)]
    another = [(*best[: bucket + 1], *[0.0] * (BUCKETS - bucket - 1)) for bucket in range(BUCKETS)]
    return Chances(flips.recovery_per_hour, flips.loss_per_hour, tuple(another))


def _younger(flips: Flips, other: Flips, shared: float) -> list[float]:
    """By bucket, the probability that the other is up when the one is lost, and not older than that bucket.

    What is held was the best when it was taken, so what is older than it is not there.
    """
    chance = _up_when_lost(flips, other, shared)
    return [chance * sum(ages(other, up=True)[: bucket + 1]) for bucket in range(BUCKETS)]


def _up_when_lost(flips: Flips, other: Flips, shared: float) -> float:
    """Probability that the other is up while the one is down, of two states with that correlation."""
    mine, its = long_run(flips), long_run(other)
    return min(1.0, max(0.0, its - shared * math.sqrt(its * (1.0 - its) * mine / (1.0 - mine))))


def any_of(spots: Sequence[Pool]) -> Chances:
    """Of a Pool like the mean of them, in their market: what there is to plan with while none is up."""
    each = [chances(pool, spots) for pool in spots]
    return Chances(
        _mean([c.recovery_per_hour for c in each]),
        _mean([c.loss_per_hour for c in each]),
        tuple([_mean(rows) for rows in zip(*[c.another for c in each], strict=True)]),
    )


def _mean(rows: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple([sum(column) / len(rows) for column in zip(*rows, strict=True)])
