"""Whether a night can be in time at all, by its own numbers. Pure: a Job and two instants in, an error with numbers in words out."""

from __future__ import annotations

from nightspot.errors import JobFileError
from nightspot.jobfile.durations import about, format_duration
from nightspot.market.prices import on_demand_cost_usd, on_demand_s
from nightspot.model.capacity import Pool
from nightspot.model.job import Job


def check_pools(job: Job, file: str) -> None:
    """JobFileError unless there is an on-demand pool that the guard can plan with, and the spend cap lets it work a whole night."""
    _check_plannable(job, file)
    _check_cap(job, file)


def _check_plannable(job: Job, file: str) -> None:
    if not job.on_demand:
        markets = [pool.market.value for pool in job.pools]
        expected = "there is no on-demand pool, so no deadline can be kept"
        raise JobFileError(file, "pools", markets, expected, 'Add [[pools]] with market = "on-demand" and its price.')
    if not plannable(job):
        index = job.pools.index(job.on_demand[0])
        raise JobFileError(
            file,
            f"pools[{index}].bounds",
            None,
            "the guard must know how long an on-demand pool takes to start",
            'Add it, for example: bounds = { lead = "10min" }.',
        )


def plannable(job: Job) -> tuple[Pool, ...]:
    """On-demand Pools with bounds, in file order."""
    return tuple([pool for pool in job.on_demand if pool.bounds is not None])


def _check_cap(job: Job, file: str) -> None:
    cap_usd = job.limits.cost_usd
    if cap_usd is None:
        return
    dearest = max(plannable(job), key=lambda pool: night_cost_usd(job, pool))
    worst_usd = night_cost_usd(job, dearest)
    if cap_usd < worst_usd:
        hours = about(on_demand_s(job.work.total_s, _lead_s(dearest), dearest.speed))
        price = f"{dearest.price_usd_per_hour:g} USD an hour"
        expected = f"a night wholly on {dearest.id} costs {worst_usd:.2f} USD ({hours} at {price})"
        remedy = f"Allow at least {_rounded_up(worst_usd):.2f}, or leave the cap out."
        raise JobFileError(file, "limits.cost", cap_usd, expected, remedy)


def _rounded_up(usd: float) -> float:
    return int(usd * 100 + 1) / 100


def night_cost_usd(job: Job, pool: Pool) -> float:
    """USD for the whole work on that Pool, with one start-up."""
    return on_demand_cost_usd(job.work.total_s, _lead_s(pool), pool.price_usd_per_hour, pool.speed)


def need_s(job: Job, pool: Pool) -> float:
    """From asking that Pool to the end of the night: start-up, work and what follows training."""
    return on_demand_s(job.work.total_s, _lead_s(pool), pool.speed) + job.tail_s


def _lead_s(pool: Pool) -> float:
    return pool.bounds.lead_s if pool.bounds is not None else 0.0


def check_fits(job: Job, file: str, start_utc: float, deadline_utc: float, margin_s: float = 0.0) -> None:
    """JobFileError if no on-demand pool could do all the work between those instants.

    `start_utc` is when it can begin: the window's start, or now, if that is later. `margin_s` is what the controller itself may take.
    """
    _check_plannable(job, file)
    best = min(plannable(job), key=lambda pool: need_s(job, pool))
    window_s = deadline_utc - start_utc
    short_s = need_s(job, best) + margin_s - window_s
    if short_s <= 0:
        return
    expected = f"{_sum(job, best, margin_s)} does not fit the window of {about(window_s)}"
    remedy = f"It is {_lacking(short_s)} too long: start earlier, finish later, or use a faster pool."
    raise JobFileError(file, "work", about(job.work.total_s), expected, remedy)


def _lacking(short_s: float) -> str:
    return about(short_s) if short_s >= 1 else "less than a second"


def _sum(job: Job, pool: Pool, margin_s: float) -> str:
    measured = ", as past nights measured it," if job.work.learned else ""
    parts = [
        f"work of {about(job.work.total_s)}{measured} at speed {pool.speed:g} + start-up {format_duration(_lead_s(pool))}"
    ]
    if job.tail_s:
        parts.append(f"reserve {format_duration(job.tail_s)}")
    if margin_s:
        parts.append(f"reaction {about(margin_s)}")
    return " + ".join(parts)
