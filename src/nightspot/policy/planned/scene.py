"""From an Observation to what a plan is asked: what is left, what is held, what there is of capacity."""

from __future__ import annotations

import math
from typing import NamedTuple

from nightspot.model.attempt import Role
from nightspot.model.capacity import Offer, Pool, Sight
from nightspot.model.decision import Holding, Observation
from nightspot.policy.base import on_demand_choice
from nightspot.policy.planned.grid import SLIGHT, Grid, grid_of
from nightspot.policy.planned.problem import Problem
from nightspot.policy.planned.solve import Plan
from nightspot.policy.planned.terms import plans_of, terms_of


class Held(NamedTuple):
    """What is held of a Pool: ticks since its launch, and the seconds of start-up that are still to come."""

    level: int
    pending_s: float


class Spot(NamedTuple):
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


class Scene(NamedTuple):
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
    terms = terms_of(observation)
    on_demand = terms.on_demand or on_demand_choice(observation)
    if on_demand is None or not terms.spots:
        return None
    grid = grid_of(terms.steps, observation)
    plans = plans_of(terms, observation, on_demand, grid)
    held = _held(observation, on_demand, grid)
    left_s = observation.work.left_s - observation.work.undurable_s
    spots = [_spot(observation, pool, plan, grid) for pool, plan in zip(terms.spots, plans.spots, strict=True)]
    work = min(max(left_s, 0.0), observation.work.total_s) / grid.unit_s
    return Scene(grid, work, on_demand, held, plans.market, tuple(spots))


def _held(observation: Observation, pool: Pool, grid: Grid) -> Held | None:
    """What is held of that Pool, and not being let go. A request in a queue holds nothing."""
    held = observation.holding(pool.id) if observation.holdings else None
    if held is None or held.stopping or held.queued:
        return None
    lead_s = observation.lead_s(pool.id)
    levels = max(1, math.ceil(round(lead_s / grid.tick_s, 6)))
    if held.pending_s <= SLIGHT:
        return Held(levels, 0.0)
    begun = math.floor((lead_s - held.pending_s) / grid.tick_s + SLIGHT)
    return Held(min(max(begun, 0), levels), held.pending_s)


def _spot(observation: Observation, pool: Pool, plan: Plan, grid: Grid) -> Spot:
    held, holding, queued = None, None, False
    if observation.holdings:
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
