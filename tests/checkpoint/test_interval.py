"""How often to save: what may be asked for, and what "auto" makes of cost and hazard."""

import itertools
import math

import pytest

from nightspot.checkpoint.errors import ConfigError
from nightspot.checkpoint.hazard import SCALE_S, SHAPE, Hazard
from nightspot.checkpoint.interval import AUTO, LONGEST_S, MOST_SHARE, Kind, Rule, choose, daly_s, parse, young_s
from nightspot.market.hazard import HOUR_S
from nightspot.market.hazard import Hazard as MarketHazard

MEANS_S = (60.0, 1600.0, 11520.0, 86400.0)
COSTS_S = (0.001, 0.1, 0.4, 2.0, 10.0, 60.0)


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ("auto", AUTO),
        (" Auto ", AUTO),
        ("30min", Rule(Kind.TIME, 1800.0)),
        ("1h30m", Rule(Kind.TIME, 5400.0)),
        (600, Rule(Kind.TIME, 600.0)),
        (0, Rule(Kind.TIME, 0.0)),
        (math.inf, Rule(Kind.TIME, math.inf)),
        ("500 steps", Rule(Kind.STEPS, 500.0)),
        ("1step", Rule(Kind.STEPS, 1.0)),
        ("1 epoch", Rule(Kind.UNITS, 1.0)),
        ("0.25 Epochs", Rule(Kind.UNITS, 0.25)),
        ("2 units", Rule(Kind.UNITS, 2.0)),
    ],
)
def test_what_may_be_asked_for(said: str | float, rule: Rule) -> None:
    assert parse(said) == rule


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "it is empty"),
        ("600", "600 has no unit"),
        ("0s", "longer than nothing"),
        ("often", "no number with a unit"),
        ("3 fortnights", "'fortnights' is no unit of time"),
        ("0 steps", "counted whole"),
        ("1.5 steps", "counted whole"),
        ("0 epochs", "more than nothing"),
        (-1, "0 or more"),
        (math.nan, "0 or more"),
        (True, "0 or more"),
        (None, "0 or more"),
    ],
)
def test_what_is_no_interval_is_refused_in_a_sentence_that_shows_the_right_ones(said: str | float, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        parse(said)
    assert repr(said) in str(refused.value)
    assert '"500 steps"' in str(refused.value)


@pytest.mark.parametrize(
    "rule", [AUTO, Rule(Kind.TIME, 90.5), Rule(Kind.STEPS, 500), Rule(Kind.UNITS, 0.25), Rule(Kind.UNITS, 1)]
)
def test_a_rule_travels_as_text(rule: Rule) -> None:
    assert parse(rule.text) == rule


def lost_share(interval_s: float, cost_s: float, mean_s: float) -> float:
    """Of wall-clock time, exactly, for exponential interruptions and a restart that takes no time (Daly's equation 20, R = 0)."""
    return math.expm1((interval_s + cost_s) / mean_s) * mean_s / interval_s - 1.0


@pytest.mark.parametrize(("cost_s", "mean_s"), [*itertools.product(COSTS_S, MEANS_S)])
def test_dalys_interval_loses_no_more_than_any_other(cost_s: float, mean_s: float) -> None:
    taken_s = daly_s(cost_s, mean_s)
    others_s = [taken_s * ratio / 100 for ratio in range(5, 1000, 5)]
    best = min(lost_share(other_s, cost_s, mean_s) for other_s in others_s)
    assert lost_share(taken_s, cost_s, mean_s) <= best * 1.01 + 1e-12


def test_daly_is_young_where_a_save_costs_little_and_the_mean_where_it_costs_all() -> None:
    assert daly_s(0.01, 86400.0) == pytest.approx(young_s(0.01, 86400.0), rel=1e-3)
    assert daly_s(200.0, 100.0) == daly_s(1000.0, 100.0) == 100.0
    assert young_s(0.0, math.inf) == 0.0
    assert daly_s(0.4, math.inf) == math.inf


def test_at_the_point_where_daly_changes_form_nothing_jumps() -> None:
    # The series itself is good to some ten per cent at C = 2 M.
    assert daly_s(199.99, 100.0) == pytest.approx(daly_s(200.0, 100.0), rel=0.13)


@pytest.mark.parametrize(("cost_s", "mean_s"), [*itertools.product(COSTS_S, MEANS_S)])
def test_auto_keeps_its_bounds_whatever_it_is_given(cost_s: float, mean_s: float) -> None:
    for save_s, longest_s in itertools.product((0.0, 3.0, 2000.0), (LONGEST_S, LONGEST_S / 60)):
        taken_s = choose(cost_s, save_s, mean_s, longest_s).interval_s
        assert taken_s >= max(save_s, longest_s / 90)
        assert taken_s <= max(save_s, longest_s)
        assert cost_s / taken_s <= MOST_SHARE or taken_s in (save_s, longest_s)


def test_the_bound_that_decided_is_named() -> None:
    assert choose(0.4, 3.0, 11520.0).bound == ""
    assert choose(0.4, 3.0, 11520.0).interval_s == daly_s(0.4, 11520.0)
    assert "win nothing" in choose(1e-6, 0.0, 60.0).bound
    assert "no more than 5%" in choose(2.0, 3.0, 60.0).bound
    assert "at stake" in choose(60.0, 3.0, math.inf).bound
    assert choose(0.4, 950.0, 11520.0).interval_s == 950.0
    assert "in flight" in choose(0.4, 950.0, 11520.0).bound


def test_the_hazard_of_a_training_image_is_the_markets_own() -> None:
    market = MarketHazard()
    assert (market.shape, market.scale_h * HOUR_S) == (SHAPE, SCALE_S)
    for age_s in (0.0, 600.0, 4 * HOUR_S):
        assert Hazard().mean_s(age_s) == pytest.approx(HOUR_S / market.per_hour(age_s))


def test_old_capacity_is_saved_less_often_and_a_known_rate_does_not_age() -> None:
    young, old = (choose(0.4, 3.0, Hazard().mean_s(age_s)).interval_s for age_s in (0.0, 8 * HOUR_S))
    assert old > 4 * young
    assert Hazard(7200.0).mean_s(0.0) == Hazard(7200.0).mean_s(1e6) == 7200.0


def test_where_market_time_is_compressed_the_usual_hazard_is_compressed_with_it() -> None:
    for age_s in (0.0, 60.0):
        assert Hazard(time_scale=60.0).mean_s(age_s) * 60 == pytest.approx(Hazard().mean_s(age_s * 60))
