"""The choice with one Spot Pool that is seen, as `choose` finds it, by the actions that are worked out once for its plan.

Arrays of a few numbers cost numpy more time than the arithmetic, so single costs are plain numbers here. Every one of them, and every
instant, comes of the same operations in the same order as in `ahead`: the two agree to the last bit.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import lru_cache
from typing import Callable, Optional

from nightspot.market.flips import AGES_H, BUCKETS
from nightspot.market.hazard import HOUR_S
from nightspot.policy.planned.actions import TAKE_NOTHING, TAKE_ON_DEMAND, TAKE_SPOT, TICKS_MOST, UNSURE, actions_of
from nightspot.policy.planned.ahead import ON_DEMAND, WAIT
from nightspot.policy.planned.grid import SLIGHT, Grid
from nightspot.policy.planned.problem import Place
from nightspot.policy.planned.scene import Held, Scene
from nightspot.policy.planned.solve import Plan

EDGES_S = (*[age_h * HOUR_S for age_h in AGES_H], math.inf)
CHOICES = {TAKE_ON_DEMAND: ON_DEMAND, TAKE_SPOT: 0, TAKE_NOTHING: WAIT}
Ahead = tuple[Callable[..., int], Callable[..., int], Callable[..., int]]
# Actions take as long to work out as so many questions without them: a real night may ask less often than that.
OFTEN = 64


def choose_seen(scene: Scene) -> Optional[tuple[int, float, dict[int, float]]]:
    """What to take, until when (seconds from now), and what each choice would cost now; None where `choose` should look itself."""
    reader = reader_of(scene.plan)
    return reader.choose(scene) if reader.pays() else None


@lru_cache(maxsize=8)
def reader_of(plan: Plan) -> Reader:
    """Remembered for the plan, with its actions: some 15 MB where it has 480 ticks."""
    return Reader(plan)


class Reader:
    """Reads a plan one number at a time, and its actions ahead."""

    def __init__(self, plan: Plan) -> None:
        problem = plan.problem
        self.plan, self.equal, self.asked = plan, plan.equal, 0
        self.on_demand, self.spot = problem.on_demand, problem.spot
        self.last = problem.work - 1
        self.beyond = problem.spare - problem.reaction - problem.out
        self.done, self.sure = problem.spot.done(), problem.sure()
        self.by_units = problem.on_demand.speed == problem.spot.speed == 1.0 and problem.ticks <= TICKS_MOST
        self.places = (problem.on_demand, problem.spot, None)
        self.levels = (problem.on_demand.levels, problem.spot.levels, 0)
        self._actions: dict[tuple[int, bool], Ahead] = {}
        self._on_demand, self._spot, self._wait = plan.on_demand.item, plan.spot.item, plan.wait.item

    def pays(self) -> bool:
        """Whether it is asked so often that the actions are worth working out; each tick must do a whole unit of work, or none."""
        self.asked += 1
        return self.by_units and self.asked > OFTEN

    def choose(self, scene: Scene) -> tuple[int, float, dict[int, float]]:
        """See `choose_seen`."""
        grid, spot, up = scene.grid, scene.spots[0], scene.spots[0].up
        holds = (scene.held, spot.held, None)
        likely = TAKE_ON_DEMAND if scene.held is not None else TAKE_SPOT if up else TAKE_NOTHING
        place = self.places[likely]
        level = _level(place, _pending_s(place, holds[likely], grid), grid) if place is not None else 0
        levels = (level, 0) if likely == TAKE_ON_DEMAND else (0, level)
        costs = self.costs(grid.tick, scene.work, bisect_left(EDGES_S, spot.age_s + SLIGHT), *levels, up=up)
        take = self.best(costs)
        until_s = self.until_s(scene, take, holds[take])
        values = {ON_DEMAND: costs[0], 0: costs[1], WAIT: costs[2]} if up else {ON_DEMAND: costs[0], WAIT: costs[2]}
        return CHOICES[take], until_s, values

    def best(self, costs: tuple[float, float, float]) -> int:
        """The first of those that cost the least, or as good as that."""
        limit = min(costs) + self.equal
        if costs[0] <= limit:
            return TAKE_ON_DEMAND
        return TAKE_SPOT if costs[1] <= limit else TAKE_NOTHING

    def costs(
        self, tick: int, work: float, age: int, on_demand_level: int, spot_level: int, *, up: bool
    ) -> tuple[float, float, float]:
        """USD to the end: on-demand held at that level, Spot at that one, nothing; inf for what is not there, or not allowed."""
        index = min(int(work), self.last)
        part = work - index
        state = BUCKETS + age if up else age
        low = self._on_demand(tick, on_demand_level, state, index)
        on_demand = low + part * (self._on_demand(tick, on_demand_level, state, index + 1) - low)
        spot = wait = math.inf
        limit = (tick + self.beyond) * self.on_demand.speed
        if work <= limit + SLIGHT:
            low = self._wait(tick, state, index)
            wait = low + part * (self._wait(tick, state, index + 1) - low)
        if up and work <= max(self.done[spot_level], limit + self.sure[spot_level]) + SLIGHT:
            low = self._spot(tick, spot_level, age, index)
            spot = low + part * (self._spot(tick, spot_level, age, index + 1) - low)
        return on_demand, spot, wait

    def until_s(self, scene: Scene, take: int, held: Optional[Held]) -> float:
        """Seconds until the first tick ahead at which another choice is best, nothing flipping; inf where there is none."""
        grid, place = scene.grid, self.places[take]
        if place is None:
            return self._steady_s(scene, take, math.inf, 1)
        pending_s, shift_s, tick = _pending_s(place, held, grid), grid.next_s - grid.tick_s, 1
        while tick < grid.tick:
            after_s = tick * grid.tick_s + shift_s
            level = _level(place, pending_s - after_s, grid)
            if level == place.levels:
                return self._steady_s(scene, take, pending_s, tick)
            work = scene.work - max(0.0, after_s - pending_s) * (1.0 / grid.tick_s)
            if self._exact(scene, take, tick, after_s, max(work, 0.0), level) != take:
                return after_s
            tick += 1
        return math.inf

    def _exact(self, scene: Scene, take: int, tick: int, after_s: float, work: float, level: int) -> int:
        """The best, by the costs themselves."""
        age = bisect_left(EDGES_S, scene.spots[0].age_s + after_s + SLIGHT)
        levels = (level, 0) if take == TAKE_ON_DEMAND else (0, level)
        return self.best(self.costs(scene.grid.tick - tick, work, age, *levels, up=scene.spots[0].up))

    def _steady_s(self, scene: Scene, take: int, pending_s: float, tick: int) -> float:
        """`until_s` from that tick on, at which nothing starts up any more; work begins after `pending_s`."""
        grid, age_s, units, level = scene.grid, scene.spots[0].age_s, scene.work, self.levels[take]
        now, tick_s, shift_s, rate = grid.tick, grid.tick_s, grid.next_s - grid.tick_s, 1.0 / grid.tick_s
        best_at, run_at, sure_at = self._ahead(take, up=scene.spots[0].up)
        while tick < now:
            after_s, work = tick * tick_s + shift_s, units
            if after_s > pending_s:
                work -= (after_s - pending_s) * rate
                if work <= 0.0:  # nothing costs anything, and ties go to on-demand
                    return math.inf if take == TAKE_ON_DEMAND else after_s
            age = bisect_left(EDGES_S, age_s + after_s + SLIGHT)
            where = now - tick, age, min(int(work), self.last)
            best, steps = best_at(*where), sure_at(*where)
            if best == UNSURE:
                best, steps = self._exact(scene, take, tick, after_s, work, level), 1
            elif steps < (run := run_at(*where)):
                steps = max(steps, min(run, _older(EDGES_S[age], age_s, grid, tick + 1) - tick))
            if best != take:
                return after_s
            tick += steps
        return math.inf

    def _ahead(self, take: int, *, up: bool) -> Ahead:
        """How to read the actions of holding that."""
        found = self._actions.get((take, up))
        if found is None:
            actions = actions_of(self.plan, take, up=up)
            found = self._actions[take, up] = actions.best.item, actions.run.item, actions.sure.item
        return found


def _pending_s(place: Place, held: Optional[Held], grid: Grid) -> float:
    return held.pending_s if held is not None else place.lead * grid.tick_s


def _level(place: Place, left_s: float, grid: Grid) -> int:
    """The level at which it is held, with so much of its start-up to come."""
    if left_s <= SLIGHT:
        return place.levels
    return min(max(math.floor(place.lead - left_s / grid.tick_s + SLIGHT), 0), place.levels)


def _older(edge_s: float, age_s: float, grid: Grid, tick: int) -> int:
    """The first tick from that one on, at which an age past that edge is reached."""
    if edge_s == math.inf:
        return grid.tick
    shift_s = grid.next_s - grid.tick_s
    found = max(tick, int((edge_s - SLIGHT - age_s - shift_s) / grid.tick_s) - 1)
    while age_s + (found * grid.tick_s + shift_s) + SLIGHT <= edge_s:
        found += 1
    return found
