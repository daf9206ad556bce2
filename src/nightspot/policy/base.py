"""What a Policy is, and the few questions that every one asks of an Observation."""

from __future__ import annotations

from typing import Protocol

from nightspot.model.capacity import Market, Pool, Sight
from nightspot.model.decision import FOREVER_UTC, Decision, Holding, Observation, Want

# How long a request may stand in a queue before another Pool is tried, where its Pool's bounds do not say.
PATIENCE_S = 900.0


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

    A Pool out of sight whose requests queue can be asked for: the request is the probe. It is kept for as long as its Pool's
    `refusal_s`; then the others have their turn, the one that refused longest ago first. On-demand that is held is not let go for a guess.
    """
    held = observation.held
    if held is not None and held.market is Market.SPOT and not held.stopping:
        return _queued_choice(observation, held) if held.queued else observation.pool(held.pool_id)
    seen = [p for p in observation.pools if p.market is Market.SPOT and observation.seen(p.id) is Sight.UP]
    if seen:
        return min(seen, key=cost_rate)
    if on_on_demand(observation):
        return None
    leaving = held.pool_id if held is not None else ""  # its turn is over, and the refusal not recorded yet
    return _next_to_ask(observation, leaving) or _next_to_ask(observation)


def _queued_choice(observation: Observation, held: Holding) -> Pool | None:
    """The queue one stands in; another where that took too long, and another can be had or asked."""
    bounds = observation.bounds.get(held.pool_id)
    patience_s = bounds.refusal_s if bounds is not None and bounds.refusal_s > 0 else PATIENCE_S
    mine = observation.pool(held.pool_id)
    if observation.now_utc < held.phase_utc + patience_s or observation.attempts_left <= 1:
        return mine
    others = [p for p in observation.pools if p.market is Market.SPOT and p.id != held.pool_id]
    seen = [p for p in others if observation.seen(p.id) is Sight.UP]
    return min(seen, key=cost_rate) if seen else _next_to_ask(observation, held.pool_id) or mine


def _next_to_ask(observation: Observation, but: str = "") -> Pool | None:
    """Of the Pools that only a queued request can see: the one that refused longest ago, or never; the cheapest of those."""
    unseen = [p for p in observation.pools if p.market is Market.SPOT and p.id != but and _asks_blindly(observation, p)]
    return min(unseen, key=lambda p: (_refused_utc(observation, p), cost_rate(p)), default=None)


def _asks_blindly(observation: Observation, pool: Pool) -> bool:
    return observation.seen(pool.id) is Sight.UNKNOWN and observation.abilities[pool.id].queues


def _refused_utc(observation: Observation, pool: Pool) -> float:
    offer = observation.offers.get(pool.id)
    return offer.since_utc if offer is not None else float("-inf")


def only_asked(observation: Observation, pool: Pool) -> bool:
    """Whether wanting that Spot Pool is waiting for it: a request in a queue, or one to be put there."""
    held = observation.held
    if held is not None and held.pool_id == pool.id and not held.stopping:
        return held.queued
    return _asks_blindly(observation, pool)


def queue_until_utc(observation: Observation, pool: Pool, until_utc: float = FOREVER_UTC) -> float:
    """When to think again about a queue: `until_utc`, or the end of patience where that comes first and is still to come."""
    bounds, held = observation.bounds.get(pool.id), observation.held
    patience_s = bounds.refusal_s if bounds is not None and bounds.refusal_s > 0 else PATIENCE_S
    since_utc = held.phase_utc if held is not None and held.pool_id == pool.id and held.queued else observation.now_utc
    patient_utc = since_utc + patience_s
    return min(until_utc, patient_utc) if patient_utc > observation.now_utc else until_utc


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
    """Whether a Spot Attempt is held and not being let go; a request in a queue holds nothing."""
    held = observation.held
    return held is not None and held.market is Market.SPOT and not held.stopping and not held.queued


def on_on_demand(observation: Observation) -> bool:
    """Whether an on-demand Attempt is held and not being let go."""
    held = observation.held
    return held is not None and held.market is Market.ON_DEMAND and not held.stopping
