"""The planned policy through the real loop: never late inside the guard, whatever it believes; the same asked once or each tick."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.market.flips import prior
from nightspot.market.trace import Trace
from nightspot.model.attempt import RunOutcome
from nightspot.model.capacity import Flips, Pool
from nightspot.model.decision import Decision, Observation
from nightspot.model.job import PolicyChoice
from nightspot.policy.base import Policy
from nightspot.policy.baselines import Greedy
from nightspot.policy.make import make_policy
from nightspot.policy.planned.planned import Planned
from tests.night.worlds import HOUR, World, guarded, on_demand, spot, trace

TICK_S = 195.0


def wrong(times: float, other: float) -> Flips:
    """The usual rates, off by that factor either way."""
    usual = prior()
    return Flips(
        tuple(rate * times for rate in usual.recovery_per_hour),
        tuple(rate * other for rate in usual.loss_per_hour),
        "wrong",
    )


def flicker(seed: int, ticks: int, chance: float) -> Trace:
    """Capacity that flips at each tick with that chance; at 1, at every one."""
    rng = random.Random(seed)
    data, up = [], rng.random() < 0.5
    for _ in range(ticks):
        up = up != (rng.random() < chance)
        data.append(up)
    return Trace.from_ticks(data, TICK_S, repeats=False)


class Telltale:
    """Fails the test where the bare policy would: inside the guard an exception is caught, and nobody would know."""

    def decide(self, observation: Observation, /) -> Decision:
        try:
            decision = Planned().decide(observation)
        except Exception as error:
            raise KeyboardInterrupt(f"{error!r} for {observation!r}") from error
        assert decision.until_utc > observation.now_utc
        assert decision.why
        return decision


@st.composite
def on_ticks(draw: st.DrawFn) -> World:
    """Ticks, one to three Spot Pools whose models and prices are wrong, and capacity that may flicker at each tick."""
    factor = st.sampled_from([0.1, 1.0, 10.0])
    number = draw(st.integers(1, 3))
    pools = [
        spot(
            f"spot-{n}",
            draw(st.sampled_from([0.01, 0.3, 5.0])),
            flips=wrong(draw(factor), draw(factor)),
            place=f"r-1{n}",
        )
        for n in range(number)
    ]
    window_ticks = draw(st.integers(30, 120))
    chance = draw(st.sampled_from([0.02, 0.3, 1.0]))
    capacities = {pool.id: flicker(draw(st.integers(0, 2**32)), window_ticks + 2, chance) for pool in pools}
    lead_s = draw(st.sampled_from([0.0, 180.0, 900.0]))
    window_s = window_ticks * TICK_S + draw(st.sampled_from([0.0, 77.0]))
    work_s = draw(st.floats(0.1, 1.0)) * (window_s - lead_s)
    return World(capacities, (*pools, on_demand()), work_s, window_s, lead_s, tick_s=TICK_S, reaction_s=TICK_S)


@settings(max_examples=60, deadline=None, print_blob=True)
@given(on_ticks())
def test_never_late_on_ticks_with_wrong_models_and_flickering_capacity(world: World) -> None:
    state = world.play(guarded(Telltale()))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)


@st.composite
def off_ticks(draw: st.DrawFn) -> World:
    """No ticks: any flips, speeds, overheads, checkpoints; a loop that comes late from its sleep; models that are wrong; or a queue."""
    factor = st.sampled_from([0.1, 1.0, 10.0])
    flips = wrong(draw(factor), draw(factor))
    pools = (
        spot("spot", draw(st.sampled_from([0.0, 0.3, 5.0])), speed=draw(st.sampled_from([0.5, 1.0, 3.0])), flips=flips),
        spot("other", 0.4, speed=1.0),
        on_demand(speed=draw(st.sampled_from([0.5, 1.0]))),
    )
    changes = [draw(st.lists(st.integers(1, 600), max_size=20, unique=True).map(sorted)) for _ in range(2)]
    lead_s, stop_s, reaction_s = draw(st.integers(0, 1200)), draw(st.integers(0, 300)), draw(st.integers(0, 120))
    work_s = float(draw(st.integers(600, 4 * 3600)))
    least_s = work_s / min(1.0, pools[2].speed) + lead_s + stop_s + 3 * max(reaction_s, 1) + reaction_s
    return World(
        {
            p.id: trace(*[m / 60 for m in flips_m], first_up=draw(st.booleans()))
            for p, flips_m in zip(pools[:2], changes, strict=True)
        },
        pools,
        work_s,
        least_s + draw(st.integers(0, 6 * 3600)),
        float(lead_s),
        float(stop_s),
        float(draw(st.sampled_from([0, 300, 1800]))),
        float(reaction_s),
        lazy_seed=draw(st.integers(0, 2**32)),
        queues=draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None, print_blob=True)
@given(off_ticks())
def test_never_late_between_ticks_with_wrong_models_and_a_late_loop(world: World) -> None:
    state = world.play(guarded(Telltale()))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)


class EachTick:
    """Asks again at every tick."""

    def decide(self, observation: Observation, /) -> Decision:
        return dataclasses.replace(Planned().decide(observation), until_utc=observation.now_utc + 1.0)


@pytest.mark.parametrize("lead_s", [180.0, 900.0])
def test_a_decision_holds_for_as_long_as_it_would_be_made_again(lead_s: float) -> None:
    for seed in range(25):
        world = World(
            {"spot": flicker(seed, 150, 0.04), "other": flicker(seed + 1000, 150, 0.04)},
            (spot(place="r-1a"), spot("other", 0.31, place="r-1b"), on_demand()),
            window_s=148 * TICK_S,
            lead_s=lead_s,
            tick_s=TICK_S,
            reaction_s=TICK_S,
        )
        once, often = world.play(guarded(Planned())), world.play(guarded(EachTick()))
        assert once.spent_usd == pytest.approx(often.spent_usd, abs=1e-9), f"seed {seed}"


def mean_cost_usd(policy: Policy, lead_s: float) -> float:
    total = 0.0
    for seed in range(60):
        data = {"spot": flicker(seed, 100, 0.06)}
        world = World(data, window_s=96 * TICK_S, lead_s=lead_s, tick_s=TICK_S, reaction_s=TICK_S)
        total += world.play(guarded(policy)).spent_usd
    return total / 60


def test_it_costs_less_than_greedy() -> None:
    assert mean_cost_usd(Planned(), 180.0) < 0.99 * mean_cost_usd(Greedy(), 180.0)


def test_without_spot_it_does_not_wait_for_the_last_moment() -> None:
    state = World({"spot": trace(first_up=False)}, window_s=6 * HOUR).play(guarded(Planned()))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)
    assert state.attempts[0].requested_utc < 2 * HOUR - 180.0
    assert "on-demand" in state.decision.why


def test_it_says_why_with_what_it_would_cost() -> None:
    state = World({"spot": trace()}).play(guarded(Planned()))
    assert state.decision.why.startswith("spot is there: about USD 1.98 to the end, with on-demand 2.")


def test_of_two_pools_that_are_up_it_takes_the_one_that_has_been_so_for_longer() -> None:
    young = Trace.from_flips([-300.0], first_up=False, start_utc=-8 * HOUR)
    old = Trace.from_flips([], first_up=True, start_utc=-8 * HOUR)
    pools = (spot("young", place="r-1a"), spot("old", place="r-1b"), on_demand())
    state = World({"young": young, "old": old}, pools).play(guarded(Planned()))
    assert state.attempts[0].pool_id == "old"


def test_a_little_cheaper_is_not_worth_a_move_and_much_cheaper_is() -> None:
    def pools_used(price: float) -> list[str]:
        pools: tuple[Pool, ...] = (spot("dear", 0.4, place="r-1a"), spot("cheap", price, place="r-1b"), on_demand())
        world = World({"dear": trace(), "cheap": trace(0.5, first_up=False)}, pools)
        return [a.pool_id for a in world.play(guarded(Planned())).attempts]

    assert pools_used(0.396) == ["dear"]
    assert pools_used(0.04) == ["dear", "cheap"]


def test_a_queue_is_stood_in_while_it_waits() -> None:
    state = World({"spot": trace(2.0, first_up=False)}, queues=True).play(guarded(Planned()))
    assert (state.outcome, state.late) == (RunOutcome.COMPLETED, False)
    assert state.attempts[0].pool_id == "spot"


def test_it_is_made_by_its_name() -> None:
    assert isinstance(make_policy(PolicyChoice("planned")), Planned)
    with pytest.raises(ValueError, match="does not take"):
        make_policy(PolicyChoice("planned", {"k0": 1.0}))
