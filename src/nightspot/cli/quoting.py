"""Prices that the job file leaves out, asked of the backends once, when a night begins. A price stands in nobody's way."""

from __future__ import annotations

from typing import Callable

from nightspot.jobfile.durations import about
from nightspot.jobfile.feasible import check_pools
from nightspot.model.capacity import Pool
from nightspot.model.change import changed
from nightspot.model.job import Job
from nightspot.night.ports import Backends, Quote

Say = Callable[[str], None]


def quoted(backends: Backends, job: Job, file: str, now_utc: float, say: Say) -> Job:
    """The Job with a price on each Pool that had none, its source and age said; 0 where nobody knows. `now_utc` is real time.

    A price in the job file is never changed. JobFileError where the spend cap turns out to be less than a night may cost.
    """
    open_ = [pool for pool in job.pools if not known(pool)]
    if not open_:
        return job
    priced = changed(job, pools=tuple([_priced(backends, job, pool, now_utc, say) for pool in job.pools]))
    check_pools(priced, file)
    return priced


def known(pool: Pool) -> bool:
    """Whether the job file says what it costs."""
    return bool(pool.options.get("price_known", True))


def _priced(backends: Backends, job: Job, pool: Pool, now_utc: float, say: Say) -> Pool:
    if known(pool):
        return pool
    quote = backends[pool.backend].quote(pool, job)
    if quote is None:
        say(f"WARNING: {_nobody_knows(pool, job)}")
        return pool
    say(f"pool {pool.id} costs about {quote.usd_per_hour:.4g} USD an hour: {quote.source}{_age(quote, now_utc)}")
    options = {**pool.options, "price_source": quote.source, "price_as_of_utc": quote.as_of_utc}
    return changed(pool, price_usd_per_hour=quote.usd_per_hour, options=options)


def _nobody_knows(pool: Pool, job: Job) -> str:
    cap = ", and limits.cost does not count it" if job.limits.cost_usd is not None else ""
    return f"nobody knows what pool {pool.id} costs: its bill cannot be told{cap}. Give `price` in [[pools]]"


def _age(quote: Quote, now_utc: float) -> str:
    return "" if quote.as_of_utc is None else f", {about(max(0.0, now_utc - quote.as_of_utc))} old"
