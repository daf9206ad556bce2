"""What each choice costs, now and at each tick ahead if nothing flips: the same numbers, asked once or a hundred times."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightspot.market.flips import AGES_H, BUCKETS
from nightspot.market.hazard import HOUR_S
from nightspot.model.capacity import Sight
from nightspot.policy.planned.grid import SLIGHT
from nightspot.policy.planned.problem import Place, Problem
from nightspot.policy.planned.scene import Held, Scene, Spot
from nightspot.policy.planned.solve import NEVER, Plan

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
EDGES_S = np.array(AGES_H) * HOUR_S
# A choice: a Spot Pool by its place in the scene, or one of these; or BOTH less its place, on-demand with that Pool beside it.
WAIT, ON_DEMAND, BOTH = -1, -2, -3


@dataclass(frozen=True, slots=True)
class Path:
    """The ticks to come along one choice, the present first: seconds from now, ticks and work left, the level of what is held."""

    choice: int
    after_s: Floats
    tick: Ints
    work: Floats
    level: Ints


def path_of(scene: Scene, choice: int, ticks: int) -> Path:
    """So many ticks (the present one of them), holding that and nothing else."""
    grid = scene.grid
    after_s: Floats = np.arange(ticks, dtype=np.float64) * grid.tick_s
    after_s[1:] += grid.next_s - grid.tick_s
    tick = grid.tick - np.arange(ticks)
    if choice == WAIT:
        return Path(choice, after_s, tick, np.full(ticks, scene.work), np.zeros(ticks, np.intp))
    place, held = _place(scene, choice), held_of(scene, choice)
    pending_s = held.pending_s if held is not None else place.lead * grid.tick_s
    worked = np.maximum(0.0, after_s - pending_s) * (place.speed / grid.tick_s)
    left_s = np.maximum(0.0, pending_s - after_s)
    level = np.floor(place.lead - left_s / grid.tick_s + SLIGHT).astype(np.intp)
    level = np.where(left_s <= SLIGHT, place.levels, np.clip(level, 0, place.levels))
    return Path(choice, after_s, tick, np.maximum(scene.work - worked, 0.0), level)


def held_of(scene: Scene, choice: int) -> Held | None:
    """What is held of that choice's Pool."""
    if choice == WAIT:
        return None
    return scene.held if choice <= ON_DEMAND else scene.spots[choice].held


def _place(scene: Scene, choice: int) -> Place:
    return scene.market.on_demand if choice <= ON_DEMAND else scene.spots[choice].problem.spot


def spot_costs(scene: Scene, index: int, path: Path, level: Ints, age: Ints | None = None) -> Floats:
    """USD from each tick on, of holding that Spot Pool in it; inf where the guard would not have it. `age`: buckets, if not its own."""
    spot = scene.spots[index]
    plan = spot.plan
    ages = bucket_of(spot.age_s + path.after_s) if age is None else age
    costs = _read(plan.spot, (path.tick, level, ages), path.work)
    problem = spot.problem
    done, sure = np.array(problem.spot.done())[level], np.array(problem.sure())[level]
    limit = np.maximum(done, _wait_limits(problem, path) + sure)
    return np.where(path.work <= limit + SLIGHT, costs, math.inf)


def wait_costs(plan: Plan, path: Path, state: Ints) -> Floats:
    """The same of holding nothing."""
    costs = _read(plan.wait, (path.tick, state), path.work)
    return np.where(path.work <= _wait_limits(plan.problem, path) + SLIGHT, costs, math.inf)


def on_demand_costs(plan: Plan, path: Path, state: Ints, level: Ints) -> Floats:
    """The same of on-demand, which the guard always has."""
    if plan.problem.blind:  # the table has it when it is launched, and when it trains
        level = np.where(level > 0, 1, 0)
    return _read(plan.on_demand, (path.tick, level, state), path.work)


def drop_costs(plan: Plan, path: Path, unseen: Ints) -> Floats:
    """The same of leaving on-demand for a queue, where only that shows capacity; not while on-demand starts up."""
    costs = _read(plan.drop, (path.tick, unseen), path.work)
    lets = (path.work <= _wait_limits(plan.problem, path) + SLIGHT) & (path.level >= plan.problem.on_demand.levels)
    return np.where(lets, costs, math.inf)


def both_costs(scene: Scene, index: int, path: Path, level: Ints, age: Ints | None = None) -> Floats:
    """The same of that Spot Pool beside on-demand, or of moving to it where it is ready."""
    spot = scene.spots[index]
    ages = bucket_of(spot.age_s + path.after_s) if age is None else age
    costs = _read(spot.plan.beside, (path.tick, level, ages), path.work)
    return np.where(costs < float(NEVER) / 2, costs, math.inf)


def market_along(scene: Scene, of: int, path: Path) -> tuple[Plan, Ints]:
    """The plan to ask about what is no Spot, and the market's states along the path; `of`: the Spot Pool that there is, or none."""
    if of >= 0:
        spot = scene.spots[of]
        return spot.plan, BUCKETS + bucket_of(spot.age_s + path.after_s)
    return scene.plan, bucket_of(scene.down_s + path.after_s)


def unseen_along(spot: Spot, path: Path) -> Ints:
    """States of `unseen` along a path, nothing being seen of that Pool on it. What was up when it was left counts as lost then."""
    down_s = 0.0 if spot.sight is Sight.UP or spot.last_up else spot.age_s
    lost = bucket_of(np.full(len(path.tick), down_s)) * BUCKETS
    states: Ints = lost + bucket_of(spot.unseen_s + path.after_s)
    return states


def _wait_limits(problem: Problem, path: Path) -> Floats:
    beyond = problem.spare - problem.reaction - problem.out
    limits: Floats = (path.tick.astype(np.float64) + beyond) * problem.on_demand.speed
    return limits


def bucket_of(age_s: Floats) -> Ints:
    """Buckets of ages."""
    return np.searchsorted(EDGES_S, age_s + SLIGHT, side="left").astype(np.intp)


def _read(table: NDArray[np.float32], where: tuple[Ints, ...], work: Floats) -> Floats:
    """On a straight line between two units of work."""
    index = np.minimum(work.astype(np.intp), table.shape[-1] - 2)
    low, high = table[where + (index,)], table[where + (index + 1,)]  # noqa: RUF005 - Python 3.10
    costs: Floats = low + (work - index) * (high.astype(np.float64) - low)
    return costs
