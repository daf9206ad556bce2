"""Several Pools as one market: what else may be up when one is lost."""

from __future__ import annotations

import pytest

from nightspot.market.belief import long_run
from nightspot.market.flips import BUCKETS, prior
from nightspot.model.capacity import Market, Pool
from nightspot.policy.planned.market import any_of, chances, correlation


def pool(number: int, place: str = "us-east-1") -> Pool:
    return Pool(f"p{number}", "simulated", Market.SPOT, 0.3, place=f"{place}{'abcdef'[number]}")


def test_a_pool_alone_has_no_other() -> None:
    assert chances(pool(0), [pool(0)]).another == ()


def test_the_older_what_is_lost_the_likelier_another_is_up_and_it_is_never_older() -> None:
    another = chances(pool(0), [pool(0), pool(1), pool(2)]).another
    shares = [sum(row) for row in another]
    assert shares == sorted(shares)
    assert all(row[found] == 0.0 for lost, row in enumerate(another) for found in range(lost + 1, BUCKETS))
    assert 0.0 < shares[0] < shares[-1] < 1.0


def test_zones_of_one_region_go_together_more_than_regions_do() -> None:
    assert correlation(pool(0), pool(1)) > correlation(pool(0), pool(1, "us-west-2"))
    near = sum(chances(pool(0), [pool(0), pool(1)]).another[-1])
    far = sum(chances(pool(0), [pool(0), pool(1, "us-west-2")]).another[-1])
    assert near < far < long_run(prior())


def test_the_mean_of_equal_pools_is_each_of_them() -> None:
    pools = [pool(n) for n in range(3)]
    mean, one = any_of(pools), chances(pools[0], pools)
    assert mean.another[-1] == pytest.approx(one.another[-1])
    assert mean.loss_per_hour == pytest.approx(one.loss_per_hour)
