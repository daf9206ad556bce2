"""Made-up capacity: the same for the same seed, and the older a state, the longer it lasts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightspot.market.capacity import capacity_trace
from nightspot.market.generator import Generator
from nightspot.market.hazard import Hazard

HOUR_S = 3600.0
SEEDS = st.integers(0, 2**32)


@given(SEEDS, st.floats(0, 1e6), st.floats(0, 1e6), st.sampled_from([None, True, False]))
def test_a_longer_horizon_only_adds(seed: int, one_s: float, other_s: float, first_up: bool | None) -> None:
    generator = Generator(seed, first_up=first_up)
    short, long = (generator.trace(1e9, s) for s in sorted([one_s, other_s]))
    assert long.flips_s[: len(short.flips_s)] == short.flips_s
    assert (long.first_up, long.start_utc) == (short.first_up, short.start_utc)
    assert short.next_flip(1e9 + min(one_s, other_s)) == long.next_flip(1e9 + min(one_s, other_s))


@given(SEEDS, st.integers(0, 2_000_000_000))
def test_the_weather_of_a_seed_is_the_same_whenever_the_night_begins(seed: int, start: int) -> None:
    here, there = Generator(seed).trace(start), Generator(seed).trace(0)
    assert here == there.shifted(start)


@given(SEEDS, st.booleans(), st.sampled_from([0.0, 5.0, 86400.0]))
def test_the_first_state_can_be_chosen(seed: int, first_up: bool, warm_up_s: float) -> None:
    assert Generator(seed, warm_up_s=warm_up_s, first_up=first_up).trace(1e9, 0.0).up(1e9) is first_up


@given(st.floats(0.1, 5), st.floats(0.01, 10), st.floats(1e-6, 1.0))
def test_ages_are_sampled_by_the_inverse_of_survival(shape: float, scale_h: float, survival: float) -> None:
    hazard = Hazard(shape, scale_h)
    assert hazard.survival(hazard.age_s(survival)) == pytest.approx(survival, rel=1e-6)


def test_the_hazard_falls_with_age_as_measured_on_real_pools() -> None:
    hazard = Hazard()
    assert hazard.per_hour(0.0) == pytest.approx(2.25)
    assert [hazard.per_hour(h * HOUR_S) for h in (1, 4, 16)] == pytest.approx([0.643, 0.2045, 0.0549], rel=1e-3)


def test_old_capacity_outlives_new_capacity() -> None:
    spans = [e - b for b, e, _ in Generator(7, warm_up_s=0.0).trace(0.0, 4e8).spans(0.0, 4e8)]
    assert len(spans) > 1000

    def lasts_an_hour_more(from_s: float) -> float:
        reached = [s for s in spans if s >= from_s]
        return sum(s >= from_s + HOUR_S for s in reached) / len(reached)

    young, older, old = (lasts_an_hour_more(h * HOUR_S) for h in (0.0, 1.0, 4.0))
    assert young + 0.15 < older < old - 0.15
    hazard = Hazard()
    assert young == pytest.approx(hazard.survival(HOUR_S), abs=0.05)


def test_a_bad_hazard_is_refused() -> None:
    for shape, scale_h in ((0.0, 1.0), (1.0, -1.0), (float("nan"), 1.0), (float("inf"), 1.0)):
        with pytest.raises(ValueError, match="hazard"):
            Hazard(shape, scale_h)


def test_the_job_files_setting_becomes_a_trace() -> None:
    assert capacity_trace("always", 0.0).up(5.0)
    assert not capacity_trace("never", 0.0).up(5.0)
    setting = {"seed": 3, "loss": 2.0, "scale_s": 720.0, "warm_up_s": 0.0, "first": "up"}
    by_hand = Generator(3, Hazard(2.0, 0.2), Hazard(0.9, 0.2), 0.0, first_up=True)
    assert capacity_trace(setting, 1e9) == by_hand.trace(1e9)
    text = '{"metadata": {"gap_seconds": 60}, "data": [0, 0, 1, 0]}'
    assert capacity_trace({"trace": "t.json", "from": 0.5}, 1e9, text).up(1e9)
    with pytest.raises(ValueError, match="sometimes"):
        capacity_trace("sometimes", 0.0)
