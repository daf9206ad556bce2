"""The dynamic programme: against one that is written down plainly, tick by tick and state by state."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import pytest

from nightspot.market.belief import ageing, flip_chance
from nightspot.market.flips import BUCKETS, prior
from nightspot.policy.planned.problem import Chances, Place, Problem
from nightspot.policy.planned.solve import solve

PRIOR = prior()
ODDS = Chances(PRIOR.recovery_per_hour, PRIOR.loss_per_hour)
# Another Pool that is up when one is lost, new itself, or as old.
OTHERS = tuple([tuple([0.4 * (found in (0, lost)) for found in range(BUCKETS)]) for lost in range(BUCKETS)])
STARTS = [0.0, 0.5, 1.0, 2.6]


def problem(lead: float = 1.0, *, ticks: int = 9, work: int = 6, redo: float = 0.0, **changes: float) -> Problem:
    places = Place(1.0, 1.0, lead), Place(0.3, 1.0, lead)
    found = Problem(600.0, ticks, 0.0, work, *places, ODDS, lead, 1.0, redo)
    return replace(found, **changes)  # type: ignore[arg-type]


class Plainly:
    """The same programme by its definition: no arrays, no levels shared, work and start-up as numbers."""

    def __init__(self, of: Problem) -> None:
        self.of = of
        self.value = lru_cache(maxsize=None)(self._value)
        self.age = ageing(of.tick_s)
        self.flip = {True: flip_chance(of.chances.loss_per_hour, of.tick_s)}
        self.flip[False] = flip_chance(of.chances.recovery_per_hour, of.tick_s)

    def next(self, up: bool, age: int) -> list[tuple[float, bool, int]]:
        flips = float(self.flip[up][age])
        stays = [((1.0 - flips) * float(p), up, b) for b, p in enumerate(self.age[age]) if p > 0]
        return [*stays, (flips, not up, 0)]

    def on_grid(self, tick: int, work: float, up: bool, age: int, held: str, pending: float) -> float:
        if work <= 0.0:
            return 0.0
        low = math.floor(work + 1e-9)
        part = work - low
        costs = [0.0 if w == 0 else self.value(tick, w, up, age, held, round(pending, 6)) for w in (low, low + 1)]
        return costs[0] if part < 1e-9 else costs[0] + part * (costs[1] - costs[0])

    def act(self, tick: int, work: float, up: bool, age: int, what: str, pending: float) -> float:
        place = self.of.spot if what == "spot" else self.of.on_demand
        done = (1.0 - min(1.0, pending)) * place.speed if what else 0.0
        later = max(0.0, pending - 1.0)
        cost = place.price if what else 0.0
        for chance, up_next, age_next in self.next(up, age):
            lost = what == "spot" and not up_next
            again = self.of.redo if lost and pending <= 0.0 else 0.0
            left = work - done
            left = min(left + again, self.of.work) if left > 1e-9 else 0.0  # what was not done cannot be lost
            cost += chance * self.on_grid(
                tick - 1, left, up_next, age_next, "" if lost else what, 0.0 if lost else later
            )
        return cost

    def allowed(self, tick: int, work: float, what: str, pending: float) -> bool:
        if what == "on-demand":
            return True
        of = self.of
        limit = (tick + of.spare - of.reaction - of.out) * of.on_demand.speed
        if not what:
            return work <= limit
        done = (1.0 - min(1.0, pending)) * of.spot.speed
        trained = self.of.redo if pending <= 0.0 else done  # and no more than that can be lost
        return work <= max(done, limit + done - min(of.redo, trained))

    def _value(self, tick: int, work: float, up: bool, age: int, held: str, pending: float) -> float:
        of = self.of
        if tick == 0:
            start = pending if held == "on-demand" else of.on_demand.lead
            return of.on_demand.price * (work / of.on_demand.speed + start)
        leads = {"spot": of.spot.lead, "on-demand": of.on_demand.lead, "": 0.0}
        found = []
        for what in ("spot", "on-demand", ""):
            waits = pending if what == held else leads[what]
            if (what != "spot" or up) and self.allowed(tick, work, what, waits):
                found.append(self.act(tick, work, up, age, what, waits))
        return min(found)


@pytest.mark.parametrize("lead", STARTS)
def test_it_is_the_programme_as_it_is_written_down(lead: float) -> None:
    of = problem(lead)
    plan, plainly = solve(of), Plainly(of)
    for up in (True, False):
        for age in (0, 3, 7):
            for work in (2, 4, 6):
                x = age + BUCKETS * up
                assert plan.wait[9, x, work] == pytest.approx(plainly.act(9, work, up, age, "", 0.0), rel=1e-5)
                od = plainly.act(9, work, up, age, "on-demand", lead)
                assert plan.on_demand[9, 0, x, work] == pytest.approx(od, rel=1e-5)
                if up:
                    spot = plainly.act(9, work, up, age, "spot", lead)
                    assert plan.spot[9, 0, age, work] == pytest.approx(spot, rel=1e-5)


def test_slower_spot_and_dearer_work_are_in_it() -> None:
    of = replace(problem(0.5), spot=Place(0.3, 0.5, 0.5))
    plan, plainly = solve(of), Plainly(of)
    assert plan.spot[9, 0, 2, 4] == pytest.approx(plainly.act(9, 4, True, 2, "spot", 0.5), rel=1e-5)
    assert plan.wait[9, 1, 3] == pytest.approx(plainly.act(9, 3, False, 1, "", 0.0), rel=1e-5)


def test_work_that_an_interruption_loses_makes_spot_dearer_and_waiting_shorter() -> None:
    cheap, dear = solve(problem(ticks=30)), solve(problem(ticks=30, redo=2.0))
    assert (dear.spot[30, -1, :, 5] > cheap.spot[30, -1, :, 5]).all()
    assert problem(redo=2.0).sure()[-1] == -1.0
    of = problem(ticks=6, work=14, redo=1.5)
    expected = Plainly(of).act(6, 2, True, 2, "spot", 0.0)
    assert solve(of).spot[6, -1, 2, 2] == pytest.approx(expected, rel=1e-5)


def test_a_second_pool_that_may_be_up_makes_an_interruption_cheaper() -> None:
    alone, beside = solve(problem(ticks=30)), solve(replace(problem(ticks=30), chances=replace(ODDS, another=OTHERS)))
    assert (beside.spot[30, -1, :, 5] < alone.spot[30, -1, :, 5]).all()


def test_nothing_left_costs_nothing_and_more_left_never_less() -> None:
    plan = solve(problem(2.6, ticks=40, work=20))
    for table in (plan.wait[1:], plan.spot[1:], plan.on_demand[1:]):
        assert (table[..., 0] == 0.0).all()
        assert (table[..., 1:] >= table[..., :-1] - 1e-4).all()
