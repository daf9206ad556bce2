"""The cheapest choice, and until when it is that. Ties go to on-demand, then to Spot: of equal costs, the safer."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from nightspot.market.flips import BUCKETS
from nightspot.model.capacity import Sight
from nightspot.policy.planned.ahead import (
    BOTH,
    ON_DEMAND,
    WAIT,
    Floats,
    Ints,
    Path,
    both_costs,
    drop_costs,
    held_of,
    market_along,
    on_demand_costs,
    path_of,
    spot_costs,
    unseen_along,
    wait_costs,
)
from nightspot.policy.planned.asking import Bools, ask_cost, probe_pays
from nightspot.policy.planned.scene import Scene
from nightspot.policy.planned.seen import choose_seen


class Choice(NamedTuple):
    """`what` (see `ahead`); `until_s` from now on; `costs`: what each would cost now. `probe`: whose request may wait beside on-demand."""

    what: int
    until_s: float
    costs: dict[int, float]
    probe: int | None = None


def choose(scene: Scene) -> Choice:
    """The cheapest for the coming tick; until the first tick at which another would be, if nothing flips."""
    likely = _as_it_is(scene)
    if likely is not None:
        seen = choose_seen(scene)
        return _with_probe(scene, *seen) if seen is not None else _choose_along(scene, likely)
    now = path_of(scene, ON_DEMAND if scene.held is not None else WAIT, 1)
    choices = _in_order(scene)
    of = _best_up(scene, now)
    costs = _table(scene, choices, now, of, {c: _level_now(scene, c) for c in choices})
    if scene.unseen and scene.held is None:
        costs[choices.index(WAIT)] = ask_cost(scene, now)
    what = choices[_cheapest(costs, scene)[0]]
    values = {choice: float(row[0]) for choice, row in zip(choices, costs, strict=True)}
    if what <= BOTH or (what == WAIT and scene.unseen):
        return Choice(what, scene.grid.next_s, values)
    until_s = _until_s(scene, what, of if what < 0 else what)
    probe, probe_s = _probe(scene) if what == ON_DEMAND else (None, math.inf)
    return Choice(what, min(until_s, probe_s), values, probe)


def _as_it_is(scene: Scene) -> int | None:
    """With one Pool that is seen: what goes on if nothing changes, Spot where it is up and nothing is held. None in any other scene."""
    spot, market = scene.spots[0], scene.plan.problem
    if len(scene.spots) > 1 or market.blind or market.handover >= 0.0 or spot.sight is Sight.UNKNOWN:
        return None
    if scene.grid.tick < 1 or (scene.held is not None and spot.held is not None):
        return None
    if scene.held is not None:
        return ON_DEMAND
    return 0 if spot.up else WAIT


def _choose_along(scene: Scene, likely: int) -> Choice:
    """The same as below with one table for both questions: its first column is the present, whatever is held along it."""
    path, choices, of = path_of(scene, likely, scene.grid.tick), _in_order(scene), 0 if scene.spots[0].up else -1
    fresh = np.zeros(len(path.tick), np.intp)
    costs = _table(scene, choices, path, of, {c: path.level if c == likely else fresh for c in choices})
    best = _cheapest(costs, scene)
    what = choices[best[0]]
    until_s = _first(best != best[0], path) if what == likely else _until_s(scene, what, of)
    return _with_probe(
        scene, what, until_s, {choice: float(row[0]) for choice, row in zip(choices, costs, strict=True)}
    )


def _with_probe(scene: Scene, what: int, until_s: float, costs: dict[int, float]) -> Choice:
    if what != ON_DEMAND or not any(spot.can_wait_beside for spot in scene.spots):
        return Choice(what, until_s, costs)
    probe, probe_s = _probe(scene)
    return Choice(what, min(until_s, probe_s), costs, probe)


def _in_order(scene: Scene) -> list[int]:
    """On-demand, Spot (the held one first), Spot beside on-demand, nothing."""
    ups = [index for index, spot in enumerate(scene.spots) if spot.up]
    ups = sorted(ups, key=lambda index: (scene.spots[index].held is None, index))
    trains = scene.held is not None and scene.held.level >= scene.market.on_demand.levels
    both = [BOTH - index for index in ups if trains and scene.market.handover >= 0.0]
    return [ON_DEMAND, *ups, *both, WAIT]


def _level_now(scene: Scene, choice: int) -> Ints:
    held = held_of(scene, BOTH - choice if choice <= BOTH else choice)
    return np.array([held.level if held is not None else 0])


def _best_up(scene: Scene, now: Path) -> int:
    """The Spot Pool that the market is seen as: the held one, or the cheapest to launch; -1 where none is up."""
    ups = [index for index, spot in enumerate(scene.spots) if spot.up]
    if len(ups) <= 1:
        return ups[0] if ups else -1
    return min(ups, key=lambda index: float(spot_costs(scene, index, now, _level_now(scene, index))[0]))


def _table(scene: Scene, choices: list[int], path: Path, of: int, levels: dict[int, Ints]) -> Floats:
    """(choices, ticks): USD to the end."""
    return np.array([_row(scene, choice, path, of, levels[choice]) for choice in choices])


def _row(scene: Scene, choice: int, path: Path, of: int, level: Ints) -> Floats:
    if choice >= 0:
        return spot_costs(scene, choice, path, level)
    if choice <= BOTH:
        return both_costs(scene, BOTH - choice, path, level)
    plan, state = market_along(scene, of, path)
    if plan.problem.blind:
        return _blind(scene, choice, path, of, level)
    return wait_costs(plan, path, state) if choice == WAIT else on_demand_costs(plan, path, state, level)


def _blind(scene: Scene, choice: int, path: Path, of: int, level: Ints) -> Floats:
    """Where only a request shows capacity: while on-demand is held, holding nothing is leaving it for a queue."""
    plan, state = market_along(scene, of, path)
    spot = scene.spots[max(of, 0)]
    unseen = unseen_along(spot, path)
    held = path.choice == ON_DEMAND
    if choice == WAIT:
        return drop_costs(plan, path, unseen) if held else wait_costs(plan, path, state)
    at_once = unseen - unseen % BUCKETS if not held and not scene.unseen else unseen
    return on_demand_costs(plan, path, at_once, level)


def _cheapest(costs: Floats, scene: Scene) -> Ints:
    """By tick, the first of those that cost the least, or as good as that."""
    least = costs.min(axis=0)
    best: Ints = np.argmax(costs <= least + scene.plan.equal, axis=0)
    return best


def _until_s(scene: Scene, what: int, of: int) -> float:
    path = path_of(scene, what, scene.grid.tick)
    choices = [choice for choice in _in_order(scene) if choice > BOTH or what == ON_DEMAND]
    fresh = np.zeros(len(path.tick), np.intp)
    levels = {choice: path.level if choice == what else fresh for choice in choices}
    best = _cheapest(_table(scene, choices, path, of, levels), scene)
    return _first(best != choices.index(what), path)


def _first(other: Bools, path: Path) -> float:
    """Seconds until the first tick ahead of which that is true; inf where there is none."""
    other[0] = False
    first = int(np.argmax(other))
    return float(path.after_s[first]) if other[first] else math.inf


def _probe(scene: Scene) -> tuple[int | None, float]:
    """The Pool whose request should wait beside on-demand, and for how long that stays so."""
    if not any(spot.can_wait_beside for spot in scene.spots):
        return None, math.inf
    path = path_of(scene, ON_DEMAND, scene.grid.tick)
    index, pays = probe_pays(scene, path)
    if index is None or pays is None:
        return None, math.inf
    return (index if pays[0] else None), _first(pays != pays[0], path)
