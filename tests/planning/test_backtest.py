"""Backtests: which nights are played, what they start with, and that the figures do not depend on how they are played."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.market.flips import fitted, watched_trace
from nightspot.market.generator import Generator
from nightspot.market.trace import Trace
from nightspot.planning.backtest import Backtest, Plan, backtest
from nightspot.planning.fitting import fit, fit_on_the_others
from nightspot.planning.recorded import Recorded, TickCapacity, starts_utc, weather
from nightspot.planning.results import captured
from nightspot.planning.terms import HOUR_S, Terms
from nightspot.policy.names import POLICY_OPTIONS

DAY_S = 86400.0


def recorded(seed: int, days: int = 3, tick_s: float = 195.0) -> Trace:
    """Generated, and looked at each tick, as a public trace is."""
    weather = Generator(seed).trace(0.0, days * DAY_S)
    return Trace.from_ticks([weather.up(n * tick_s) for n in range(int(days * DAY_S / tick_s))], tick_s)


def alone(trace: Trace) -> Recorded:
    return Recorded(("spot",), (trace,), (None,))


TRACES = [recorded(seed) for seed in range(3)]
QUICK = Plan(
    (alone(TRACES[0]), alone(TRACES[1])), (Terms(), Terms(window_s=5 * HOUR_S)), ("greedy", "on-demand"), 6 * HOUR_S
)


def test_nights_begin_each_hour_where_the_whole_window_was_recorded() -> None:
    trace = Trace.from_ticks([1] * 12, HOUR_S)  # twelve hours
    assert starts_utc(alone(trace), HOUR_S, 0.0, 1.0, 8 * HOUR_S) == [n * HOUR_S for n in range(5)]
    assert starts_utc(alone(trace), HOUR_S, 0.0, 0.25, 8 * HOUR_S) == [n * HOUR_S for n in range(3)]
    assert starts_utc(alone(trace), HOUR_S, 0.25, 1.0, 8 * HOUR_S) == [n * HOUR_S for n in (3, 4)]
    assert starts_utc(alone(trace), HOUR_S, 0.5, 1.0, 8 * HOUR_S) == []
    assert starts_utc(alone(trace), HOUR_S, 0.0, 1.0, 13 * HOUR_S) == []


def test_pools_of_one_market_have_the_nights_that_all_of_them_recorded() -> None:
    early, late = Trace.from_ticks([1] * 12, HOUR_S, 0.0), Trace.from_ticks([0] * 12, HOUR_S, 5 * HOUR_S)
    market = Recorded(("a", "b"), (early, late), (None, None))
    assert starts_utc(market, HOUR_S, 0.0, 1.0, 4 * HOUR_S) == [n * HOUR_S for n in (5, 6, 7, 8)]


def test_a_night_starts_with_the_state_and_the_age_that_the_trace_says() -> None:
    trace = Trace.from_ticks([0, 0, 0, 1, 1, 1, 1, 1], 600.0)
    terms = Terms(60.0, 600.0, tick_s=180.0)
    seen = weather(trace, [600.0, 2400.0, 1700.0], terms)
    assert seen.up.tolist() == [[False] * 4, [True] * 4, [False, True, True, True]]
    assert seen.since_utc.tolist() == [
        0.0,
        1800.0,
        0.0,
    ]  # before the first flip nobody knows more than the recording's age


def test_where_a_trace_begins_again_is_no_flip() -> None:
    trace = Trace.from_ticks([1, 0], HOUR_S)
    assert weather(trace, [0.0], Terms(60.0, HOUR_S)).since_utc.tolist() == [0.0]
    assert weather(trace, [HOUR_S], Terms(60.0, HOUR_S)).since_utc.tolist() == [HOUR_S]


@settings(max_examples=100, deadline=None)
@given(up=st.lists(st.booleans(), min_size=1, max_size=12), at_s=st.floats(0, 1500))
def test_a_tick_holds_what_there_was_at_its_start(up: list[bool], at_s: float) -> None:
    capacity = TickCapacity(np.asarray(up), 1000.0, 100.0, 900.0)
    tick = min(int(at_s // 100), len(up) - 1)
    assert capacity.up(1000.0 + at_s) == up[tick]
    since = capacity.since(1000.0 + at_s)
    begun = next((n for n in range(tick, 0, -1) if up[n] != up[n - 1]), None)
    assert since == (900.0 if begun is None else 1000.0 + begun * 100)
    flip = next((n for n in range(tick + 1, len(up)) if up[n] != up[tick]), None)
    assert capacity.next_flip(1000.0 + at_s) == (math.inf if flip is None else 1000.0 + flip * 100)


@pytest.fixture(scope="module")
def quick() -> Backtest:
    return backtest(QUICK)


def test_as_many_processes_as_you_like_give_the_same_to_the_last_bit(quick: Backtest) -> None:
    apart = backtest(QUICK, jobs=3)
    assert apart.windows() == quick.windows() and apart.policies() == quick.policies()
    for key, costs in quick.costs.items():
        for mine, theirs in zip(costs, apart.costs[key], strict=True):
            assert mine.paid_usd.tolist() == theirs.paid_usd.tolist()


def test_done_is_told_of_every_night_that_was_played(quick: Backtest) -> None:
    told: list[int] = []
    backtest(QUICK, done=told.append)
    assert sum(told) == sum(policy.nights for window in quick.windows() for policy in window.policies.values())


def test_the_on_demand_policy_costs_what_on_demand_is_said_to_cost(quick: Backtest) -> None:
    for window in quick.windows():
        policy = window.policies["on-demand"]
        assert policy.mean_cost == pytest.approx(policy.mean_cost_on_demand)
        assert policy.captured == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("terms", [Terms(), Terms(overhead_s=900.0), Terms(14_000.0, 25_000.0, 250.0, tick_s=195.0)])
def test_no_policy_is_cheaper_than_the_best_possible_on_any_night_or_late(terms: Terms) -> None:
    played = backtest(Plan((alone(TRACES[2]),), (terms,), tuple(POLICY_OPTIONS), 5 * HOUR_S))
    for name in POLICY_OPTIONS:
        (costs,) = played.costs[0, name]
        assert (costs.paid_usd >= costs.omniscient_usd - 1e-9).all(), name
        assert not costs.late.any(), name


@pytest.mark.parametrize(
    "abilities",
    [
        {},
        {"request_only": True},
        {"request_only": True, "second_request": True},
        {"request_only": True, "second_request": True, "handover_s": 30.0},
        {"handover_s": 30.0},
        {"redo_s": 300.0},
        {"request_only": True, "second_request": True, "handover_s": 30.0, "redo_s": 300.0},
    ],
    ids=lambda abilities: " ".join(abilities) or "plain",
)
def test_nobody_is_late_where_capacity_flickers_each_tick_and_notice_never_comes(abilities: dict[str, Any]) -> None:
    flickers = Trace.from_ticks([1, 0] * 60 + [1, 1, 0] * 40, 180.0)
    market = Recorded(("a", "b"), (flickers, recorded(7, 1)), (None, None))
    terms = (Terms(window_s=5 * HOUR_S, **abilities), Terms(overhead_s=900.0, window_s=6 * HOUR_S, **abilities))
    plan = Plan((alone(flickers), market), terms, tuple(POLICY_OPTIONS), 4 * HOUR_S, to_fraction=0.6)
    assert {name: policy.late for name, policy in backtest(plan).policies().items()} == dict.fromkeys(POLICY_OPTIONS, 0)


def test_a_choice_of_pools_is_worth_something_and_its_bound_is_no_higher() -> None:
    market = Recorded(("a", "b", "c"), tuple(TRACES), (None,) * 3)
    several = backtest(Plan((market,), (Terms(),), ("greedy",), 6 * HOUR_S)).policies()["greedy"]
    one = backtest(Plan(tuple(alone(t) for t in TRACES), (Terms(),), ("greedy",), 6 * HOUR_S)).policies()["greedy"]
    assert several.late == 0
    assert several.mean_cost < one.mean_cost
    assert several.mean_cost_omniscient < one.mean_cost_omniscient


def test_each_trace_is_judged_on_what_the_others_taught() -> None:
    flips = fit_on_the_others(TRACES)
    watched = [watched_trace(trace) for trace in TRACES]
    assert flips[0].loss_per_hour == fitted(watched[1] + watched[2], "").loss_per_hour
    assert fit(TRACES).loss_per_hour == fitted(watched[0] + watched[1] + watched[2], "").loss_per_hour
    with pytest.raises(ValueError, match="no others"):
        fit_on_the_others(TRACES[:1])


def test_captured_is_a_share_of_what_could_be_saved() -> None:
    assert captured(2.0, 4.0, 1.0) == pytest.approx(2 / 3)
    assert captured(4.0, 4.0, 4.0) is None


@pytest.mark.parametrize(
    "wrong", [{"work_s": 0.0}, {"tick_s": 0.0}, {"spot_usd_per_hour": -1.0}, {"window_s": 4 * HOUR_S + 179.0}]
)
def test_terms_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Terms(**wrong)
