"""Whole nights in small worlds: what each policy does, and that nobody is late by choice."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.model.attempt import AttemptOutcome, RunOutcome
from nightspot.model.decision import Decision, Observation, Want
from nightspot.policy.base import Policy
from nightspot.policy.baselines import Greedy, OnDemand, Reserve, SpotOnly, TimedFallback, UniformProgress
from tests.night.worlds import HOUR, World, guarded, trace

POLICIES = [OnDemand(), SpotOnly(), Greedy(), TimedFallback(3600.0), Reserve(), UniformProgress()]


def test_spot_that_stays_costs_the_spot_price_of_work_and_one_lead() -> None:
    state = World({"spot": trace()}).play(guarded(Greedy()))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)
    assert state.spent_usd == pytest.approx((4 * HOUR + 180) / HOUR * 0.3)


def test_without_spot_on_demand_starts_at_the_last_moment_and_is_just_in_time() -> None:
    state = World({"spot": trace(first_up=False)}).play(guarded(Greedy()))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)
    assert state.attempts[0].requested_utc == pytest.approx(4 * HOUR - 180, abs=0.1)
    assert state.closed_utc == pytest.approx(8 * HOUR, abs=0.1)


def test_an_interrupted_night_keeps_what_was_durable() -> None:
    state = World({"spot": trace(1.0, 1.5)}).play(guarded(Greedy()))
    assert [a.outcome for a in state.attempts] == [AttemptOutcome.INTERRUPTED, AttemptOutcome.COMPLETED]
    assert state.attempts[1].units_start == pytest.approx((1 * HOUR - 180) / 60)


def test_work_since_the_last_checkpoint_is_done_again() -> None:
    state = World({"spot": trace(1.0, 1.5)}, save_every_s=1800.0).play(guarded(Greedy()))
    assert state.attempts[1].units_start == pytest.approx(30.0)


def test_timed_fallback_counts_its_waiting_over_the_whole_window() -> None:
    state = World({"spot": trace(0.5, 1.0, 1.4, first_up=False)}).play(guarded(TimedFallback(0.8 * HOUR)))
    assert state.attempts[-1].pool_id == "on-demand"
    waited = state.attempts[0].requested_utc + state.attempts[-1].requested_utc - (state.attempts[0].ended_utc or 0.0)
    assert waited == pytest.approx(0.8 * HOUR, abs=1.0)


class Hostile:
    """Wants anything at any time, for any time; sometimes raises."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def decide(self, observation: Observation, /) -> Decision:
        kind = self._random.random()
        if kind < 0.05:
            raise RuntimeError("hostile")
        pool_ids = [p.id for p in observation.pools] + ["nowhere"] * (kind < 0.1)
        wants = tuple(Want(p) for p in pool_ids if self._random.random() < 0.5)[:1]
        until_s = self._random.choice([1.0, 60.0, 977.0, 1e9])
        return Decision(wants, observation.now_utc + until_s, "because")


@st.composite
def worlds(draw: st.DrawFn) -> World:
    flips = draw(st.lists(st.integers(1, 600), max_size=20, unique=True).map(sorted))
    first_up = draw(st.booleans())
    lead_s, stop_s = draw(st.integers(0, 1200)), draw(st.integers(0, 600))
    reaction_s = draw(st.integers(0, 300))
    work_s = draw(st.integers(600, 5 * 3600))
    slack_s = draw(st.integers(0, 4 * 3600))
    return World(
        {"spot": trace(*[f / 60 for f in flips], first_up=first_up)},
        work_s=float(work_s),
        window_s=float(work_s + lead_s + stop_s + max(reaction_s, 1) + slack_s),
        lead_s=float(lead_s),
        true_lead_s=lead_s * draw(st.sampled_from([0.3, 1.0])),
        stop_s=float(stop_s),
        reaction_s=float(reaction_s),
        save_every_s=float(draw(st.sampled_from([0, 300, 1800, 7200]))),
    )


@settings(max_examples=300, deadline=None, print_blob=True)
@given(world=worlds(), seed=st.integers(0, 2**32))
def test_no_policy_however_hostile_makes_a_run_late_that_could_be_on_time(world: World, seed: int) -> None:
    state = world.play(guarded(Hostile(seed)))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False), f"seed {seed}: {world}"


@settings(max_examples=60, deadline=None, print_blob=True)
@given(world=worlds(), policy=st.sampled_from(POLICIES))
def test_every_shipped_policy_is_on_time_inside_the_guard(world: World, policy: Policy) -> None:
    state = world.play(guarded(policy))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)


def test_without_the_guard_spot_only_is_late() -> None:
    state = World({"spot": trace(first_up=False)}).play(SpotOnly())
    assert state.late or state.outcome is not RunOutcome.COMPLETED
