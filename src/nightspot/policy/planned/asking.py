"""Where only a request shows capacity: what it is worth to ask, in place of on-demand or beside it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nightspot.market.belief import STATES, belief
from nightspot.market.flips import BUCKETS
from nightspot.policy.planned.ahead import Ints, Path, both_costs, bucket_of, on_demand_costs, spot_costs, wait_costs
from nightspot.policy.planned.market import flips_of
from nightspot.policy.planned.scene import Scene, Spot

Bools = NDArray[np.bool_]
# From half an hour to an hour.
SOON = 2
# What is seen up again within that time is taken to have been so all along (see night/sight.py).
NO_GAP_S = 900.0


def believed(spot: Spot) -> tuple[float, ...]:
    """Probabilities of (down, up) x ages, now."""
    if spot.unseen_s <= 0.0 and spot.last_up is None:
        return belief(flips_of(spot.pool), None, 0.0, 0.0)
    last_up = spot.up if spot.unseen_s <= 0.0 else spot.last_up
    return belief(flips_of(spot.pool), last_up, spot.age_s, spot.unseen_s)


def ask_cost(scene: Scene, now: Path) -> float:
    """USD to the end of standing in a queue now, by what is believed of the Pool that is most worth it; inf where the guard says no."""
    return min([_ask_cost(scene, index, now) for index in range(len(scene.spots))])


def _ask_cost(scene: Scene, index: int, now: Path) -> float:
    plan = scene.spots[index].plan
    states = np.arange(STATES)
    many = _repeated(now, STATES)
    waits = wait_costs(plan, many, states)
    takes = spot_launch_costs(scene, index, _repeated(now, BUCKETS))
    each = np.concatenate([waits[:BUCKETS], np.minimum(takes, waits[BUCKETS:])])
    chances = np.array(believed(scene.spots[index]))
    return float(np.sum(chances * each)) if np.isfinite(each).all() else math.inf


def _repeated(path: Path, times: int) -> Path:
    """The first tick of that path, so many times."""
    first = slice(0, 1)
    return Path(
        path.choice,
        np.repeat(path.after_s[first], times),
        np.repeat(path.tick[first], times),
        np.repeat(path.work[first], times),
        np.repeat(path.level[first], times),
    )


def spot_launch_costs(scene: Scene, index: int, path: Path) -> NDArray[np.float64]:
    """(BUCKETS,): USD to the end of launching that Pool now, by how old its capacity turns out to be."""
    return spot_costs(scene, index, path, np.zeros(BUCKETS, np.intp), np.arange(BUCKETS))


def probe_pays(scene: Scene, path: Path) -> tuple[int | None, Bools | None]:
    """The Pool to have a request waiting for beside on-demand, and at which ticks that is worth it.

    It is where it would be taken when granted, or before long. What was granted too young was dropped, for it bills: it is asked for again
    when it would be old enough, or when it has been unseen for as long as it had lasted: up to then one takes it to have lasted on.
    """
    waiting = [index for index, spot in enumerate(scene.spots) if spot.can_wait_beside]
    if not waiting:
        return None, None
    index = min(waiting, key=lambda i: (not scene.spots[i].queued, scene.spots[i].problem.spot.price))
    spot = scene.spots[index]
    soon = _taken(scene, index, path, np.full(len(path.tick), SOON))
    unseen_s = spot.unseen_s + path.after_s
    lasts_s = max(spot.age_s, NO_GAP_S)
    if spot.queued or not spot.last_up or spot.unseen_s > lasts_s:
        return index, soon | _taken(scene, index, path, np.zeros(len(path.tick), np.intp))
    last = unseen_s + scene.grid.tick_s > lasts_s
    return index, _taken(scene, index, path, bucket_of(spot.age_s + unseen_s)) | (soon & last)


def _taken(scene: Scene, index: int, path: Path, age: Ints) -> Bools:
    """At which ticks that Pool would be taken from on-demand, were it up and of that age."""
    plan = scene.spots[index].plan
    new = np.zeros(len(path.tick), np.intp)
    takes = spot_costs(scene, index, path, new, age)
    if plan.problem.handover >= 0.0:
        takes = np.minimum(takes, both_costs(scene, index, path, new, age))
    return takes < on_demand_costs(plan, path, age + BUCKETS, path.level) - plan.equal
