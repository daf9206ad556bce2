"""From an Observation to what a plan is asked: what is left, what is held, what there is of capacity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

from nightspot.model.attempt import Role
from nightspot.model.capacity import Market, Offer, Pool, Sight
from nightspot.model.decision import Holding, Observation
from nightspot.policy.base import on_demand_choice
from nightspot.policy.guard import planned_with, refused_after_s
from nightspot.policy.planned.grid import SLIGHT, Grid, grid_of
from nightspot.policy.planned.market import any_of, chances
from nightspot.policy.planned.problem import Chances, Place, Problem
from nightspot.policy.planned.solve import Plan, solve

# What is taken for a price where nobody knows one: on-demand's, and of that a share for Spot.
USUAL_USD, USUAL_SPOT = 1.0, 0.3
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of a Pool: ticks since its launch, and the seconds of start-up that are still to come."""

    level: int
    pending_s: float


@dataclass(frozen=True, slots=True)
class Spot:
    """A Spot Pool as it stands: whether it can be had, and for how long it has been as it is.

    `sight` UNKNOWN: it was down, or up (`last_up`), for `age_s` when it was last seen, `unseen_s` ago. `held`: to train, or as a PROBE
    that was granted (`probe`); `queued`: a request for it waits.
    """

    pool: Pool
    plan: Plan
    sight: Sight
    age_s: float
    unseen_s: float
    last_up: bool | None
    held: Held | None
    probe: bool
    queued: bool
    waits_beside: bool

    @property
    def problem(self) -> Problem:
        """The numbers of its plan."""
        return self.plan.problem

    @property
    def up(self) -> bool:
        """Whether it can be had for certain."""
        return self.sight is Sight.UP

    @property
    def can_wait_beside(self) -> bool:
        """Whether a request for it may wait in a queue beside on-demand: what is not granted yet, and costs nothing until then."""
        return self.waits_beside and self.held is None


@dataclass(frozen=True, slots=True)
class Scene:
    """The present. `work`: units left, with all that is done counted. `plan`: what is asked while no Spot is up."""

    grid: Grid
    work: float
    on_demand: Pool
    held: Held | None
    plan: Plan
    spots: tuple[Spot, ...]

    @property
    def market(self) -> Problem:
        """The numbers of its plan."""
        return self.plan.problem

    @property
    def up(self) -> tuple[Spot, ...]:
        """Spot that can be had."""
        return tuple([spot for spot in self.spots if spot.up])

    @property
    def down_s(self) -> float:
        """How long no Spot at all has been up."""
        return min([spot.age_s for spot in self.spots if spot.sight is Sight.DOWN], default=0.0)

    @property
    def unseen(self) -> bool:
        """Whether nothing is seen of any Spot, and a request would show it."""
        return self.market.blind and all(spot.sight is Sight.UNKNOWN for spot in self.spots)


def scene_of(observation: Observation) -> Scene | None:
    """What the plan is asked; None where there is no Spot to plan for, or no on-demand Pool to plan with."""
    on_demand = on_demand_choice(observation)
    pools = tuple([p for p in observation.pools if p.market is Market.SPOT])
    if on_demand is None or not pools:
        return None
    grid = grid_of(observation)
    problems = _problems(observation, on_demand, pools, grid)
    held = _held(observation, on_demand, grid)
    left_s = observation.work.left_s - observation.work.undurable_s
    spots = [_spot(observation, pool, solve(problems[pool.id]), grid) for pool in pools]
    market = spots[0].plan if len(pools) == 1 else solve(problems[""])
    work = min(max(left_s, 0.0), observation.work.total_s) / grid.unit_s
    return Scene(grid, work, on_demand, held, market, tuple(spots))


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


def _held(observation: Observation, pool: Pool, grid: Grid) -> Held | None:
    """What is held of that Pool, and not being let go. A request in a queue holds nothing."""
    held = observation.holding(pool.id)
    if held is None or held.stopping or held.queued:
        return None
    lead_s = observation.lead_s(pool.id)
    levels = max(1, math.ceil(round(lead_s / grid.tick_s, 6)))
    if held.pending_s <= SLIGHT:
        return Held(levels, 0.0)
    begun = math.floor((lead_s - held.pending_s) / grid.tick_s + SLIGHT)
    return Held(min(max(begun, 0), levels), held.pending_s)


def _spot(observation: Observation, pool: Pool, plan: Plan, grid: Grid) -> Spot:
    held, holding = _held(observation, pool, grid), observation.holding(pool.id)
    queued = holding is not None and holding.queued
    offer = observation.offers.get(pool.id)
    sight = Sight.UP if held is not None else Sight.DOWN if queued else observation.seen(pool.id)
    last, since_utc, until_utc = _last(observation, offer, holding if held is not None or queued else None, sight)
    now_utc = observation.now_utc - grid.since_s
    unseen_s = max(0.0, now_utc - until_utc) if sight is Sight.UNKNOWN else 0.0
    age_s = max(0.0, min(now_utc, until_utc) - since_utc)
    probe = holding is not None and holding.role is Role.PROBE
    last_up = None if last is Sight.UNKNOWN else last is Sight.UP
    can = observation.abilities[pool.id]
    return Spot(pool, plan, sight, age_s, unseen_s, last_up, held, probe, queued, can.queues and can.beside)


def _last(
    observation: Observation, offer: Offer | None, holding: Holding | None, sight: Sight
) -> tuple[Sight, float, float]:
    """What it is, or was, since when and until when that was seen."""
    now_utc = observation.now_utc
    if offer is not None and offer.seen is sight and sight is not Sight.UNKNOWN:
        return sight, offer.since_utc, now_utc
    if offer is not None and offer.last is not Sight.UNKNOWN and (sight is Sight.UNKNOWN or offer.last is sight):
        return offer.last, offer.last_since_utc, now_utc if sight is offer.last else offer.last_utc
    if holding is not None:
        return sight, holding.phase_utc if holding.queued else holding.since_utc, now_utc
    if offer is not None and sight is Sight.UNKNOWN and offer.since_utc > -math.inf:
        return Sight.DOWN, offer.since_utc, offer.since_utc
    return sight, observation.start_utc, now_utc
