"""What is believed of capacity that nobody sees: certain at first, usual in the end, and always a probability."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.market.belief import STATES, ages, belief, chain, long_run, usual
from nightspot.market.flips import BUCKETS, bucket, prior
from nightspot.model.capacity import Flips

HOUR = 3600.0
STEADY = Flips((1.0,) * BUCKETS, (0.5,) * BUCKETS)


def up(probabilities: tuple[float, ...]) -> float:
    return sum(probabilities[BUCKETS:])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(1e-3, 50.0), min_size=2 * BUCKETS, max_size=2 * BUCKETS),
    st.booleans(),
    st.floats(0.0, 40 * HOUR),
    st.floats(0.0, 40 * HOUR),
)
def test_it_is_a_distribution_whatever_the_rates(
    rates: list[float], was_up: bool, age_s: float, unseen_s: float
) -> None:
    found = belief(Flips(tuple(rates[:BUCKETS]), tuple(rates[BUCKETS:])), was_up, age_s, unseen_s)
    assert len(found) == STATES
    assert sum(found) == pytest.approx(1.0)
    assert min(found) >= 0.0


@pytest.mark.parametrize("was_up", [True, False])
def test_what_is_seen_just_now_is_certain(was_up: bool) -> None:
    found = belief(prior(), was_up, 3 * HOUR, 0.0)
    assert found[bucket(3 * HOUR) + BUCKETS * was_up] == 1.0


@pytest.mark.parametrize("was_up", [True, False])
def test_it_decays_as_two_constant_rates_say(was_up: bool) -> None:
    share = 1.0 / 1.5
    expected = share + ((1.0 if was_up else 0.0) - share) * math.exp(-1.5 * 2.0)
    assert up(belief(STEADY, was_up, HOUR, 2 * HOUR)) == pytest.approx(expected, abs=0.005)


def test_in_the_end_and_unseen_from_the_start_it_is_what_is_usual() -> None:
    assert up(belief(STEADY, False, 0.0, 100 * HOUR)) == pytest.approx(long_run(STEADY), abs=0.01)
    assert belief(STEADY, None, 0.0, 0.0) == usual(STEADY)
    assert up(usual(STEADY)) == pytest.approx(1.0 / 1.5)


def test_what_was_up_for_long_is_trusted_for_longer() -> None:
    assert up(belief(prior(), True, 10 * HOUR, HOUR)) > up(belief(prior(), True, 0.0, HOUR))
    assert up(belief(prior(), False, 10 * HOUR, HOUR)) < up(belief(prior(), False, 0.0, HOUR))


def test_rows_of_the_chain_sum_to_one_and_ages_to_all_time() -> None:
    assert np.allclose(chain(prior(), 180.0).sum(axis=1), 1.0)
    assert sum(ages(prior(), up=True)) == pytest.approx(1.0)
