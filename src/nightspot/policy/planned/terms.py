"""What stays the same from one question to the next, and need not be worked out again: the steps of the grid, and the plans.

A night asks with the same Pools, bounds and abilities; nights of a backtest do so too. What was worked out for some is remembered by their
values, which are compared: a few numbers, and mappings whose contents are mostly the very same objects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Mapping, Optional, Sequence

from nightspot.model.capacity import Abilities, Bounds, Market, Pool
from nightspot.model.decision import Observation
from nightspot.policy.guard import planned_with, refused_after_s
from nightspot.policy.planned.grid import SLIGHT, Grid, Steps, steps_of
from nightspot.policy.planned.market import any_of, chances
from nightspot.policy.planned.problem import Chances, Place, Problem
from nightspot.policy.planned.solve import Plan, solve

# What is taken for a price where nobody knows one: on-demand's, and of that a share for Spot.
USUAL_USD, USUAL_SPOT = 1.0, 0.3
HOUR_S = 3600.0
# So many are remembered.
TERMS_MOST = 8


@dataclass(frozen=True, slots=True)
class Plans:
    """By Spot Pool, in file order; `market`: of a Pool like the mean of them, or of the only one."""

    spots: tuple[Plan, ...]
    market: Plan


@dataclass(slots=True)
class Terms:
    """What an Observation had in common with others. `plans`, for the grid's `spare` and `most`, are those that were last asked for."""

    pools: tuple[Pool, ...]
    bounds: Mapping[str, Bounds]
    abilities: Mapping[str, Abilities]
    numbers: tuple[float, ...]
    spots: tuple[Pool, ...]
    on_demand: Optional[Pool]  # where there is but one
    steps: Steps
    spare: float = -1.0
    most: int = -1
    plans: Optional[Plans] = None

    def are(self, observation: Observation, numbers: tuple[float, ...]) -> bool:
        """Whether that has them."""
        return (
            self.numbers == numbers
            and self.pools == observation.pools
            and self.bounds == observation.bounds
            and self.abilities == observation.abilities
        )


class _Known:
    """The latest first. Replaced as a whole, so that any thread may read it."""

    def __init__(self) -> None:
        self.terms: tuple[Terms, ...] = ()


_KNOWN = _Known()


def terms_of(observation: Observation) -> Terms:
    """Those that are known, or new ones."""
    numbers = _numbers(observation)
    for terms in _KNOWN.terms:
        if terms.are(observation, numbers):
            return terms
    pools = observation.pools
    spots = tuple([p for p in pools if p.market is Market.SPOT])
    on_demand = [p for p in pools if p.market is Market.ON_DEMAND]
    only = on_demand[0] if len(on_demand) == 1 else None
    bounds, abilities = dict(observation.bounds), dict(observation.abilities)
    new = Terms(pools, bounds, abilities, numbers, spots, only, steps_of(observation))
    _KNOWN.terms = (new, *_KNOWN.terms[: TERMS_MOST - 1])
    return new


def _numbers(observation: Observation) -> tuple[float, ...]:
    work = observation.work
    return (
        observation.deadline_utc - observation.tail_s - observation.start_utc,
        observation.reaction_s,
        work.total_s,
        work.redo_s,
        observation.guard_pools,
    )


def plans_of(terms: Terms, observation: Observation, on_demand: Pool, grid: Grid) -> Plans:
    """Solved, or remembered. With several on-demand Pools the way out depends on which of them are there, so those are looked up anew."""
    if (
        terms.plans is not None
        and terms.spare == grid.spare
        and terms.most == grid.most
        and terms.on_demand is not None
    ):
        return terms.plans
    problems = _problems(observation, on_demand, terms.spots, grid)
    spots = tuple([solve(problems[pool.id]) for pool in terms.spots])
    plans = Plans(spots, spots[0] if len(spots) == 1 else solve(problems[""]))
    terms.plans, terms.spare, terms.most = plans, grid.spare, grid.most
    return plans


def _problems(observation: Observation, on_demand: Pool, pools: Sequence[Pool], grid: Grid) -> dict[str, Problem]:
    """By Pool id; under "" that of a Pool like the mean of them."""
    way_out, out = _place(observation, on_demand, on_demand, grid), round(_out_s(observation) / grid.tick_s, 6)
    work = math.ceil(observation.work.total_s / grid.unit_s - SLIGHT) + 1
    redo = round(observation.work.redo_s / grid.unit_s, 3)
    abilities = [observation.abilities[pool.id] for pool in pools]
    blind = all(can.queues and not can.beside for can in abilities)
    moves = all(can.handover for can in abilities)
    loses = max([can.handover_s for can in abilities]) / grid.unit_s if moves else -1.0

    def problem(spot: Place, odds: Chances) -> Problem:
        return Problem(
            grid.tick_s, grid.most, grid.spare, work, way_out, spot, odds, out, grid.reaction, redo, blind, loses
        )

    places = [_place(observation, pool, on_demand, grid) for pool in pools]
    found = {pool.id: problem(place, chances(pool, pools)) for pool, place in zip(pools, places, strict=True)}
    if len(pools) > 1:
        number = len(places)
        mean = Place(
            sum([p.price for p in places]) / number,
            sum([p.speed for p in places]) / number,
            sum([p.lead for p in places]) / number,
        )
        found[""] = problem(mean, any_of(pools))
    return found


def _out_s(observation: Observation) -> float:
    """Beyond the work, what the guard counts for the way to on-demand."""
    ways = planned_with(observation)
    refusals_s = sum([refused_after_s(observation, p) for p in ways[: observation.guard_pools - 1]])
    stop_s = max([bounds.stop_s for bounds in observation.bounds.values()], default=0.0)
    return stop_s + refusals_s + max([observation.lead_s(p.id) for p in ways], default=0.0)


def _place(observation: Observation, pool: Pool, on_demand: Pool, grid: Grid) -> Place:
    usd_per_hour = pool.price_usd_per_hour
    if usd_per_hour <= 0.0:
        usual = on_demand.price_usd_per_hour or USUAL_USD
        usd_per_hour = usual if pool.market is Market.ON_DEMAND else usual * USUAL_SPOT
    speed = pool.speed * grid.tick_s / grid.unit_s
    return Place(usd_per_hour * grid.tick_s / HOUR_S, speed, round(observation.lead_s(pool.id) / grid.tick_s, 6))
