"""The omniscient bound is what trying everything finds: by arithmetic of its own, and through the real loop."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.model.decision import Decision, Observation, Want
from nightspot.planning.omniscient import omniscient_usd
from nightspot.planning.play import ON_DEMAND, play_night, stage
from nightspot.planning.recorded import TickCapacity
from nightspot.planning.terms import HOUR_S, Terms


@dataclass(frozen=True)
class Case:
    """`up[pool][tick]`."""

    terms: Terms
    up: tuple[tuple[bool, ...], ...]

    def bound_usd(self) -> float:
        return float(omniscient_usd([np.asarray([ticks]) for ticks in self.up], self.terms)[0])


def by_trying_everything(case: Case) -> float:
    """Every choice at every tick, pending overhead in seconds, as benchmarks/naive.py does it. Shares nothing with the programme."""

    def cheapest(tick: int, held: int | None, pending_s: float, left_s: float) -> float:
        if left_s <= 1e-6:
            return 0.0
        if tick == case.terms.ticks:
            return math.inf
        tries = [cheapest(tick + 1, None, 0.0, left_s)]
        for pool in range(len(case.up) + 1):
            spot = pool < len(case.up)
            if spot and not case.up[pool][tick]:
                continue
            pending = pending_s if pool == held else case.terms.overhead_s
            lasts_s = min(case.terms.tick_s, case.terms.window_s - tick * case.terms.tick_s)
            done_s, after_s = max(0.0, lasts_s - pending), max(0.0, pending - case.terms.tick_s)
            usd = case.terms.spot_usd_per_tick if spot else case.terms.on_demand_usd_per_tick
            tries.append(usd + cheapest(tick + 1, pool, after_s, left_s - done_s))
        return min(tries)

    return cheapest(0, None, 0.0, case.terms.work_s)


@st.composite
def cases(draw: st.DrawFn, most_ticks: int = 8, pools: int = 1) -> Case:
    """Ticks of 100 s; start-up from none to several ticks, work and window of any length that on-demand can make."""
    overhead_s = draw(st.one_of(st.sampled_from([0, 100, 200]), st.integers(0, 330)))
    work_s = draw(st.one_of(st.sampled_from([100, 300]), st.integers(1, most_ticks * 100 - overhead_s)))
    window_s = draw(st.integers(min(work_s + overhead_s, most_ticks * 100), most_ticks * 100))
    window_s = max(window_s, work_s + overhead_s)
    spot = draw(st.sampled_from([0.0, 0.3, 0.9, 1.5]))
    terms = Terms(float(work_s), float(window_s), float(overhead_s), spot, 1.0, 100.0)
    ticks = st.lists(st.booleans(), min_size=terms.ticks, max_size=terms.ticks).map(tuple)
    return Case(terms, tuple(draw(ticks) for _ in range(pools)))


@settings(max_examples=250, deadline=None, print_blob=True)
@given(case=cases())
def test_with_one_pool_nothing_is_cheaper_and_it_can_be_had(case: Case) -> None:
    assert case.bound_usd() == pytest.approx(by_trying_everything(case), abs=1e-12)


@settings(max_examples=60, deadline=None, print_blob=True)
@given(case=cases(most_ticks=6, pools=2))
def test_with_two_pools_too(case: Case) -> None:
    assert case.bound_usd() == pytest.approx(by_trying_everything(case), abs=1e-12)


class Script:
    """Wants the n-th of its words at the n-th tick: a Pool, or "" for nothing."""

    def __init__(self, words: tuple[str, ...], tick_s: float) -> None:
        self._words, self._tick_s = words, tick_s

    def decide(self, observation: Observation, /) -> Decision:
        word = self._words[min(round(observation.now_utc / self._tick_s), len(self._words) - 1)]
        return Decision((Want(word),) if word else (), observation.now_utc + self._tick_s, "as written")


def by_playing_everything(case: Case) -> float:
    """Every script, unguarded, through the loop; of those that were in time the cheapest."""
    names = [f"spot{n}" for n in range(len(case.up))]
    scene = stage(names, [None] * len(names), case.terms, "greedy")
    cheapest = math.inf
    for words in itertools.product(["", *names, ON_DEMAND], repeat=case.terms.ticks):
        capacities = {
            n: TickCapacity(np.asarray(up), 0.0, case.terms.tick_s, 0.0) for n, up in zip(names, case.up, strict=True)
        }
        played = play_night(scene, capacities, 0.0, Script(words, case.terms.tick_s))
        cheapest = min(cheapest, math.inf if played.late else played.cost_usd)
    return cheapest


@pytest.mark.parametrize(
    ("overhead_s", "work_s", "window_s", "up"),
    [
        (0, 250, 500, "11011"),
        (100, 200, 500, "11101"),
        (100, 300, 500, "01111"),
        (150, 130, 500, "10111"),
        (130, 250, 480, "11110"),  # the deadline cuts the last tick short
        (70, 55, 420, "00110"),
        (60, 170, 500, "10101"),
    ],
)
def test_it_is_what_the_loop_itself_would_have_charged_at_best(
    overhead_s: float, work_s: float, window_s: float, up: str
) -> None:
    terms = Terms(work_s, window_s, overhead_s, 0.3, 1.0, 100.0)
    case = Case(terms, (tuple(tick == "1" for tick in up),))
    assert case.bound_usd() == pytest.approx(by_playing_everything(case), abs=1e-12)


def test_it_is_what_the_loop_would_have_charged_with_two_pools() -> None:
    case = Case(Terms(150.0, 400.0, 50.0, 0.3, 1.0, 100.0), ((True, True, False, False), (False, True, True, True)))
    assert case.bound_usd() == pytest.approx(by_playing_everything(case), abs=1e-12)


def test_without_spot_it_is_on_demand_and_with_spot_throughout_it_is_spot() -> None:
    terms = Terms()
    never, always = (np.full((1, terms.ticks), up) for up in (False, True))
    assert omniscient_usd([never], terms)[0] == pytest.approx(terms.on_demand_usd)
    assert omniscient_usd([always], terms)[0] == pytest.approx(4.05 * 0.3)


def test_many_nights_at_once_are_the_nights_one_by_one() -> None:
    terms = Terms(4 * HOUR_S, 8 * HOUR_S, 900.0, tick_s=195.0)
    rng = np.random.default_rng(5)
    up = np.cumsum(rng.random((40, terms.ticks)) < 0.1, axis=1) % 2 == 0
    together = omniscient_usd([up], terms)
    alone = [omniscient_usd([up[night : night + 1]], terms)[0] for night in range(40)]
    assert together.tolist() == alone
    assert len(set(alone)) > 10
