"""What a Policy is, and the few questions that every one asks of an Observation."""

from __future__ import annotations

from typing import Protocol

from nightspot.model.capacity import Market, Pool, Sight
from nightspot.model.decision import FOREVER_UTC, Decision, Observation, Want


class Policy(Protocol):
    """Says what to hold now. Pure: it keeps nothing, reads no clock, writes nothing."""

    def decide(self, observation: Observation, /) -> Decision:
        """The whole desired holding, until a time or the next Event."""
        ...


def hold(pool: Pool | None, why: str, until_utc: float = FOREVER_UTC) -> Decision:
    """Train on that Pool; with None, hold nothing."""
    return Decision((Want(pool.id),) if pool is not None else (), until_utc, why)


def keep(observation: Observation, why: str) -> Decision:
    """Hold what is held."""
    held = observation.held
    return Decision((Want(held.pool_id),) if held is not None else (), FOREVER_UTC, why)


def cost_rate(pool: Pool) -> float:
    """USD for one hour of work at speed 1."""
    return pool.price_usd_per_hour / pool.speed


def spot_choice(observation: Observation) -> Pool | None:
    """The Spot Pool to train on now: the held one, else the cheapest a unit of work among those that can be had.

    A Pool out of sight whose requests queue can be asked for: the request is the probe.
    """
    held = observation.held
    if held is not None and held.market is Market.SPOT and not held.stopping:
        return observation.pool(held.pool_id)
    best: Pool | None = None
    for pool in observation.pools:
        if pool.market is Market.SPOT and _can_be_asked(observation, pool):
            best = pool if best is None or cost_rate(pool) < cost_rate(best) else best
    return best


def _can_be_asked(observation: Observation, pool: Pool) -> bool:
    seen = observation.seen(pool.id)
    if seen is Sight.UP:
        return True
    return seen is Sight.UNKNOWN and observation.abilities[pool.id].queues


def on_demand_choice(observation: Observation) -> Pool | None:
    """The on-demand Pool to train on: the held one, else the first in file order not known to be out of capacity."""
    held = observation.held
    if held is not None and held.market is Market.ON_DEMAND and not held.stopping:
        return observation.pool(held.pool_id)
    pools = [p for p in observation.pools if p.market is Market.ON_DEMAND]
    for pool in pools:
        if observation.seen(pool.id) is not Sight.DOWN:
            return pool
    return pools[0] if pools else None


def on_spot(observation: Observation) -> bool:
    """Whether a Spot Attempt is held and not being let go."""
    held = observation.held
    return held is not None and held.market is Market.SPOT and not held.stopping


def on_on_demand(observation: Observation) -> bool:
    """Whether an on-demand Attempt is held and not being let go."""
    held = observation.held
    return held is not None and held.market is Market.ON_DEMAND and not held.stopping
