"""Counting flips by age, and rates from the counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightspot.market.flips import (
    AGES_H,
    BUCKETS,
    NOTHING_WATCHED,
    Exposure,
    bucket,
    fitted,
    prior,
    rate_per_hour,
    remaining_s,
    survival,
    watched,
    watched_trace,
)
from nightspot.market.generator import Generator
from nightspot.market.hazard import HOUR_S, Hazard
from nightspot.market.trace import Trace
from nightspot.model.capacity import Flips

EXPONENTIAL = Flips((2.0,) * BUCKETS, (0.5,) * BUCKETS)
AGES_S = st.floats(0.0, 40 * HOUR_S)


def test_buckets_are_the_intervals_between_the_edges() -> None:
    assert [bucket(edge * HOUR_S) for edge in AGES_H] == list(range(BUCKETS - 1))
    assert [bucket(edge * HOUR_S + 1.0) for edge in AGES_H] == list(range(1, BUCKETS))


def test_a_span_is_counted_in_every_bucket_that_it_passed_and_its_flip_where_it_ended() -> None:
    exposure = watched([(0.0, 0.75, True, True), (0.25, 0.5, False, False)])
    assert exposure.up_h == pytest.approx((1 / 6, 1 / 3, 0.25, 0, 0, 0, 0, 0))
    assert exposure.up_flips == (0, 0, 1, 0, 0, 0, 0, 0)
    assert exposure.down_h == pytest.approx((0, 0.25, 0, 0, 0, 0, 0, 0))
    assert exposure.flips == 1
    assert exposure.hours == pytest.approx(1.0)


def test_the_first_span_of_a_trace_has_no_known_age_and_the_last_no_known_end() -> None:
    trace = Trace.from_ticks([1, 1, 0, 0, 0, 1, 0], HOUR_S)
    exposure = watched_trace(trace)
    assert sum(exposure.down_h) == pytest.approx(4.0)
    assert sum(exposure.down_flips) == 1
    assert sum(exposure.up_h) == pytest.approx(1.0)
    assert sum(exposure.up_flips) == 1


def test_a_trace_that_never_flips_is_at_least_as_old_as_it_was_watched() -> None:
    exposure = watched_trace(Trace.from_ticks([1] * 24, HOUR_S))
    assert sum(exposure.up_h) == pytest.approx(24.0)
    assert exposure.flips == 0


def test_exposures_add_up() -> None:
    one, other = watched([(0.0, 1.0, True, True)]), watched([(0.0, 3.0, False, True)])
    both = watched([(0.0, 1.0, True, True), (0.0, 3.0, False, True)])
    assert one + other == both
    assert one + NOTHING_WATCHED == one


def test_with_nothing_watched_the_rates_are_the_priors() -> None:
    rates = fitted(NOTHING_WATCHED, "")
    assert rates.loss_per_hour == pytest.approx(prior().loss_per_hour)
    assert rates.recovery_per_hour == pytest.approx(prior().recovery_per_hour)


def test_the_prior_falls_with_age_and_agrees_with_its_law() -> None:
    rates = prior().loss_per_hour
    assert list(rates) == sorted(rates, reverse=True)
    for edge in AGES_H:
        assert survival(prior(), edge * HOUR_S, up=True) == pytest.approx(Hazard().survival(edge * HOUR_S))


def test_much_that_was_watched_outweighs_the_prior() -> None:
    exposure = Exposure((1000.0,) * 8, (3000.0,) * 8, (1000.0,) * 8, (10.0,) * 8)
    rates = fitted(exposure, "")
    assert rates.recovery_per_hour == pytest.approx((3.0,) * 8, rel=0.02)
    assert rates.loss_per_hour == pytest.approx((0.01,) * 8, rel=0.1)


def test_a_market_made_from_the_law_is_fitted_to_the_law() -> None:
    exposure = NOTHING_WATCHED
    for seed in range(40):
        made = Generator(seed).trace(0.0, 30 * 86400.0)
        cut = Trace.from_flips([f for f in made.flips_utc if 0 < f < 30 * 86400], first_up=made.up(0.0))
        spans = list(cut.spans(0.0, 30 * 86400.0))[1:]
        exposure += watched([(0.0, (b - a) / HOUR_S, up, b < 30 * 86400.0) for a, b, up in spans])
    rates = fitted(exposure, "", weight=1e-9)
    for ours, law in zip(rates.loss_per_hour[:6], prior().loss_per_hour[:6], strict=True):
        assert ours == pytest.approx(law, rel=0.2)


@given(AGES_S)
def test_with_a_constant_rate_survival_is_exponential_and_age_says_nothing(age_s: float) -> None:
    assert survival(EXPONENTIAL, age_s, up=True) == pytest.approx(math.exp(-0.5 * age_s / HOUR_S))
    assert rate_per_hour(EXPONENTIAL, age_s, up=False) == 2.0
    expected_h = (1 - math.exp(-0.5 * 4)) / 0.5
    assert remaining_s(EXPONENTIAL, age_s, 4 * HOUR_S, up=True) == pytest.approx(expected_h * HOUR_S)


@given(AGES_S, st.floats(0.0, 30 * HOUR_S))
def test_what_remains_never_exceeds_the_horizon_and_grows_with_age_under_a_falling_rate(
    age_s: float, horizon_s: float
) -> None:
    young, old = (remaining_s(prior(), a, horizon_s, up=True) for a in (age_s, age_s + HOUR_S))
    assert 0.0 <= young <= old + 1e-6
    assert old <= horizon_s + 1e-6


@pytest.mark.parametrize("rate", [0.0, -1.0, math.inf, math.nan])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="positive, finite rate"):
        Flips((1.0,) * 8, (rate,) * 8)
