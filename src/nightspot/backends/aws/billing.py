"""What an Attempt costs. `BillableTimeInSeconds` has the discount in it already: times the full, on-demand price it is the bill."""

from __future__ import annotations

import dataclasses
from typing import Callable

from nightspot.model.capacity import Market, Pool
from nightspot.model.job import Job
from nightspot.night.ports import Bill, LaunchSpec, Quote

Ask = Callable[[Pool, Job], "Quote | None"]
# What stands for the attempt as a whole, and not for another instance type.
OF_THE_POOL = ("full_price_usd_per_hour", "instance_types")


def full_price(spec: LaunchSpec, instance_type: str, ask: Ask) -> float | None:
    """USD an hour of the whole Attempt, on-demand, on that instance type: as the job file says, else the price list; None: nobody knows.

    "" is the Pool's own type.
    """
    pool, chosen = spec.pool, instance_type or spec.pool.instance_type
    given = pool.options.get("full_price_usd_per_hour")
    if given is not None and chosen == pool.instance_type:
        return float(given)
    for other in (pool, *spec.job.pools):
        if other.market is Market.ON_DEMAND and other.instance_type == chosen and priced(other):
            return other.price_usd_per_hour
    options = {key: value for key, value in pool.options.items() if key not in OF_THE_POOL}
    quote = ask(dataclasses.replace(pool, market=Market.ON_DEMAND, instance_type=chosen, options=options), spec.job)
    return quote.usd_per_hour if quote is not None else None


def priced(pool: Pool) -> bool:
    """Whether its price is known, and not only hoped for."""
    return pool.price_usd_per_hour > 0 and bool(pool.options.get("price_known", True))


def so_far(spec: LaunchSpec, held_s: float, full_usd_per_hour: float | None) -> Bill | None:
    """An estimate while it runs: the instances' time, on Spot at what the Pool is said to cost. None where that is not known."""
    if full_usd_per_hour is None or full_usd_per_hour <= 0:
        return None
    share = 1.0
    if spec.pool.market is Market.SPOT:
        if spec.pool.price_usd_per_hour <= 0:
            return None
        share = min(1.0, spec.pool.price_usd_per_hour / full_usd_per_hour)
    return final(held_s * share, full_usd_per_hour)


def final(billable_s: float, full_usd_per_hour: float | None) -> Bill | None:
    """The bill. What billed nothing costs nothing, whatever the price."""
    if billable_s == 0:
        return Bill(0.0, 0.0)
    return Bill(billable_s, billable_s / 3600.0 * full_usd_per_hour) if full_usd_per_hour is not None else None
