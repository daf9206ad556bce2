"""Whole nights in small worlds: what each policy does, and that nobody is late by choice."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.market.trace import NEVER
from nightspot.model.attempt import AttemptOutcome, RunOutcome
from nightspot.model.decision import Decision, Observation, Want
from nightspot.model.job import Job, Limits
from nightspot.policy.base import Policy
from nightspot.policy.baselines import Greedy, OnDemand, Reserve, SpotOnly, TimedFallback, UniformProgress
from tests.night.worlds import HOUR, World, guarded, on_demand, spot, trace

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
    """Any capacity, overheads inside their bounds, a loop as slow as `reaction_s` allows; a night that can just be on time, or better."""
    flips = draw(st.lists(st.integers(1, 600), max_size=20, unique=True).map(sorted))
    first_up = draw(st.booleans())
    lead_s, stop_s = draw(st.integers(0, 1200)), draw(st.integers(0, 600))
    reaction_s, tail_s = draw(st.integers(0, 300)), draw(st.integers(0, 900))
    work_s, slack_s = draw(st.integers(600, 5 * 3600)), draw(st.integers(0, 4 * 3600))
    speed, last_speed = draw(st.sampled_from([0.5, 1.0, 3.0])), draw(st.sampled_from([0.5, 1.0, 3.0]))
    first_refuses, refusal_s = draw(st.booleans()), draw(st.integers(0, 600))
    blind = draw(st.booleans())
    capacities = {"spot": trace(*[f / 60 for f in flips], first_up=first_up)}
    pools = (
        spot(speed=draw(st.sampled_from([0.5, 1.0, 3.0]))),
        on_demand(speed=speed),
        on_demand("last", speed=last_speed),
    )
    return World(
        capacities | ({"on-demand": NEVER} if first_refuses else {}),
        pools=pools,
        work_s=float(work_s),
        window_s=float(
            work_s / min(speed, last_speed) + lead_s + stop_s + tail_s + refusal_s + 3 * max(reaction_s, 1) + slack_s
        ),
        lead_s=float(lead_s),
        true_lead_s=lead_s * draw(st.sampled_from([0.3, 1.0])),
        stop_s=float(stop_s),
        reaction_s=float(reaction_s),
        save_every_s=float(draw(st.sampled_from([0, 300, 1800, 7200]))),
        tail_s=float(tail_s),
        guard_pools=2 if blind and first_refuses else draw(st.sampled_from([1, 2])),
        blind=blind,
        refusal_s=float(refusal_s),
        lazy_seed=draw(st.integers(0, 2**32)),
    )


@settings(max_examples=400, deadline=None, print_blob=True)
@given(world=worlds(), seed=st.integers(0, 2**32))
def test_no_policy_however_hostile_makes_a_run_late_that_could_be_on_time(world: World, seed: int) -> None:
    state = world.play(guarded(Hostile(seed)))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False), f"seed {seed}: {world}"
    assert (state.attempts[-1].ended_utc or 0.0) + world.tail_s <= state.deadline_utc + 1e-3


class Always:
    """Wants one Pool, whatever happens."""

    def __init__(self, pool_id: str) -> None:
        self._pool_id = pool_id

    def decide(self, observation: Observation, /) -> Decision:
        return Decision((Want(self._pool_id),), observation.now_utc + 1e9, "that one")


@pytest.mark.parametrize("blind", [True, False])
@pytest.mark.parametrize("refusal_s", [0.0, 240.0])
def test_on_demand_that_is_out_is_not_waited_for_past_the_last_moment(blind: bool, refusal_s: float) -> None:
    pools = (spot(), on_demand(), on_demand("last"))
    world = World({"on-demand": NEVER}, pools, guard_pools=2, blind=blind, refusal_s=refusal_s)
    state = world.play(guarded(Always("on-demand")))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)
    assert state.attempts[-1].pool_id == "last"


def test_on_demand_that_trains_is_not_left_for_a_pool_that_may_refuse_without_time_to_come_back() -> None:
    pools = (spot(), on_demand(), on_demand("last"))
    world = World({"on-demand": NEVER}, pools, window_s=4 * HOUR + 900, guard_pools=2, blind=True, refusal_s=600.0)
    world = dataclasses.replace(world, save_every_s=3 * HOUR)

    class Restless:
        def decide(self, observation: Observation, /) -> Decision:
            wish = "on-demand" if observation.now_utc > 1200.0 else "last"
            return Decision((Want(wish),), observation.now_utc + 60.0, "elsewhere")

    state = world.play(guarded(Restless()))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)


@settings(max_examples=60, deadline=None, print_blob=True)
@given(world=worlds(), policy=st.sampled_from(POLICIES))
def test_every_shipped_policy_is_on_time_inside_the_guard(world: World, policy: Policy) -> None:
    state = world.play(guarded(policy))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)


def test_without_the_guard_spot_only_is_late() -> None:
    state = World({"spot": trace(first_up=False)}).play(SpotOnly())
    assert state.late or state.outcome is not RunOutcome.COMPLETED


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_the_last_launch_is_on_demand_and_kept_to_the_end(attempts: int) -> None:
    world = World({"spot": trace(*[n / 4 for n in range(1, 31)])})
    job = dataclasses.replace(world.job(), limits=Limits(attempts=attempts))

    class Few(World):
        def job(self) -> Job:
            return job

    state = Few(world.capacities).play(guarded(Greedy()))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)
    assert state.launches == attempts
    assert state.attempts[-1].pool_id == "on-demand"
