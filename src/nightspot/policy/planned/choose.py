"""The cheapest choice, and until when it is that. Ties go to on-demand, then to Spot: of equal costs, the safer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nightspot.policy.planned.ahead import (
    ON_DEMAND,
    WAIT,
    Floats,
    Ints,
    Path,
    held_of,
    market_along,
    on_demand_costs,
    path_of,
    spot_costs,
    wait_costs,
)
from nightspot.policy.planned.scene import Scene
from nightspot.policy.planned.solve import solve


@dataclass(frozen=True, slots=True)
class Choice:
    """`what` is WAIT, ON_DEMAND or a Spot Pool's place in the scene; `costs` what each would cost now; `until_s` from now on."""

    what: int
    until_s: float
    costs: dict[int, float]


def choose(scene: Scene) -> Choice:
    """The cheapest for the coming tick; until the first tick at which another would be, if nothing flips."""
    now = _now(scene)
    choices = _in_order(scene)
    costs = _table(scene, choices, now, _best_up(scene, now), {c: _level_now(scene, c) for c in choices})
    what = choices[_cheapest(costs, scene)[0]]
    values = {choice: float(row[0]) for choice, row in zip(choices, costs, strict=True)}
    return Choice(what, _until_s(scene, what), values)


def _now(scene: Scene) -> Path:
    return path_of(scene, WAIT, 1)


def _in_order(scene: Scene) -> list[int]:
    """On-demand, Spot (the held one first), nothing."""
    ups = [index for index, spot in enumerate(scene.spots) if spot.up]
    return [ON_DEMAND, *sorted(ups, key=lambda index: (scene.spots[index].held is None, index)), WAIT]


def _level_now(scene: Scene, choice: int) -> Ints:
    held = held_of(scene, choice)
    return np.array([held.level if held is not None else 0])


def _best_up(scene: Scene, now: Path) -> int:
    """The Spot Pool that the market is seen as: the held one, or the cheapest to launch; -1 where none is up."""
    ups = [index for index, spot in enumerate(scene.spots) if spot.up]
    if len(ups) <= 1:
        return ups[0] if ups else -1
    return min(ups, key=lambda index: float(spot_costs(scene, index, now, _level_now(scene, index))[0]))


def _table(scene: Scene, choices: list[int], path: Path, of: int, levels: dict[int, Ints]) -> Floats:
    """(choices, ticks): USD to the end."""
    plan, state = market_along(scene, of, path)
    rows = []
    for choice in choices:
        if choice == WAIT:
            rows.append(wait_costs(plan, path, state))
        elif choice == ON_DEMAND:
            rows.append(on_demand_costs(plan, path, state, levels[choice]))
        else:
            rows.append(spot_costs(scene, choice, path, levels[choice]))
    return np.array(rows)


def _cheapest(costs: Floats, scene: Scene) -> Ints:
    """By tick, the first of those that cost the least, or as good as that."""
    least = costs.min(axis=0)
    best: Ints = np.argmax(costs <= least + solve(scene.market).equal, axis=0)
    return best


def _until_s(scene: Scene, what: int) -> float:
    path = path_of(scene, what, scene.grid.tick)
    choices = _in_order(scene)
    fresh = np.zeros(len(path.tick), np.intp)
    levels = {choice: path.level if choice == what else fresh for choice in choices}
    of = what if what >= 0 else _best_up(scene, _now(scene))
    best = _cheapest(_table(scene, choices, path, of, levels), scene)
    other = best != choices.index(what)
    other[0] = False
    first = int(np.argmax(other))
    return float(path.after_s[first]) if other[first] else math.inf
