"""Money is hours times price, and a saving is measured against a whole night on on-demand."""

from __future__ import annotations

import pytest

from nightspot.market.prices import cost_usd, on_demand_cost_usd, saving


def test_half_an_hour_costs_half_the_price() -> None:
    assert cost_usd(1800.0, 3.06) == pytest.approx(1.53)


def test_a_night_on_demand_is_one_start_up_and_the_work() -> None:
    assert on_demand_cost_usd(4 * 3600.0, 180.0, 2.0) == pytest.approx(2.0 * (4 + 0.05))


def test_a_faster_pool_works_shorter_and_starts_no_faster() -> None:
    assert on_demand_cost_usd(4 * 3600.0, 3600.0, 3.0, speed=2.0) == pytest.approx(9.0)


def test_savings_are_shares_of_the_on_demand_cost() -> None:
    assert saving(3.0, 10.0) == pytest.approx(0.7)
    assert saving(12.0, 10.0) == pytest.approx(-0.2)
    assert saving(0.0, 0.0) == 0.0
