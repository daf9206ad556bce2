"""The bill: billable time has the discount in it already, so the full price counts."""

from __future__ import annotations

from typing import Any

import pytest

from nightspot.backends.aws import billing
from nightspot.model.capacity import Market, Pool
from nightspot.model.job import Job
from nightspot.night.ports import Bill, LaunchSpec, Quote
from tests.backends.specs import job, pool, spec

SPOT = pool(price=0.4)


def asked(one: Pool, *others: Pool) -> LaunchSpec:
    return spec(one, job(one, *others))


def nobody(_pool: Pool, _job: Job) -> Quote | None:
    return None


def test_the_job_files_own_full_price_wins() -> None:
    one = pool(options={"full_price_usd_per_hour": 2.5})
    assert billing.full_price(asked(one, pool(market=Market.ON_DEMAND, price=1.0)), "", nobody) == 2.5


def test_else_the_on_demand_pool_of_the_same_type_says_it() -> None:
    others = (
        pool(market=Market.ON_DEMAND, price=9.0, instance_type="ml.other", id="b"),
        pool(market=Market.ON_DEMAND, price=1.0),
    )
    assert billing.full_price(asked(SPOT, *others), "ml.g5.xlarge", nobody) == 1.0


def test_a_price_that_was_not_in_the_job_file_is_none() -> None:
    unknown = pool(market=Market.ON_DEMAND, price=0.0, options={"price_known": False})
    assert billing.full_price(asked(unknown), "", nobody) is None


def test_else_the_price_list_is_asked_for_on_demand_of_the_type_that_was_chosen() -> None:
    heard: list[Pool] = []

    def ask(one: Pool, _job: Job) -> Quote:
        heard.append(one)
        return Quote(3.0, "the price list")

    several = pool(market=Market.ON_DEMAND, options={"instance_types": ["a", "b"], "full_price_usd_per_hour": 9.0})
    assert billing.full_price(asked(several), "ml.b", ask) == 3.0
    assert (heard[0].instance_type, heard[0].market) == ("ml.b", Market.ON_DEMAND)
    assert not set(billing.OF_THE_POOL) & set(heard[0].options)


@pytest.mark.parametrize(("billable_s", "full"), [(0.0, None), (0.0, 2.0)])
def test_what_billed_nothing_costs_nothing_whatever_the_price(billable_s: float, full: Any) -> None:
    assert billing.final(billable_s, full) == Bill(0.0, 0.0)


def test_without_a_price_nobody_knows() -> None:
    assert billing.final(10.0, None) is None
    assert billing.so_far(asked(SPOT), 10.0, None) is None
    assert billing.so_far(asked(pool(price=0.0)), 10.0, 1.0) is None


def test_a_spot_night_is_not_discounted_twice() -> None:
    held_s, full = 3600.0, 1.0
    discounted_s = held_s * 0.4  # as AWS says it
    assert billing.final(discounted_s, full) == Bill(1440.0, 1440.0 / 3600.0)
    assert billing.so_far(asked(SPOT), held_s, full) == Bill(1440.0, 1440.0 / 3600.0)


def test_on_demand_is_billed_as_it_is_held() -> None:
    assert billing.so_far(asked(pool(market=Market.ON_DEMAND)), 1800.0, 2.0) == Bill(1800.0, 1.0)
