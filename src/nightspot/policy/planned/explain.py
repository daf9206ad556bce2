"""The numbers behind a decision: what each choice would cost to the end, and what is believed of each Spot Pool."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nightspot.market.flips import BUCKETS
from nightspot.model.capacity import Sight
from nightspot.model.decision import Observation
from nightspot.policy.planned.ahead import BOTH, ON_DEMAND, WAIT
from nightspot.policy.planned.asking import believed
from nightspot.policy.planned.choose import choose
from nightspot.policy.planned.scene import Scene, Spot, scene_of

NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Valued:
    """A choice, and what it is expected to cost from now to the end; None where the guard would not allow it."""

    choice: str
    usd: float | None
    taken: bool


@dataclass(frozen=True, slots=True)
class Belief:
    """What is known of a Spot Pool: `sight` ("up", "down", "unknown") for `age_s`, not seen for `unseen_s`; `up` is the probability now.

    `source`: what the rates rest on.
    """

    pool: str
    sight: str
    age_s: float
    unseen_s: float
    up: float
    source: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """`until_utc`: when the plan would think again if nothing flipped; None where that is never."""

    values: tuple[Valued, ...]
    beliefs: tuple[Belief, ...]
    until_utc: float | None


def explain(observation: Observation) -> Explanation:
    """Of the planned policy, whatever policy the Job has. Without an on-demand Pool, or in the last moments, there are no values."""
    scene = scene_of(observation)
    if scene is None:
        return Explanation((), (), None)
    beliefs = tuple([_belief(spot) for spot in scene.spots])
    if scene.grid.tick < 1:
        return Explanation((), beliefs, None)
    choice = choose(scene)
    values = [_valued(scene, what, cost, what == choice.what) for what, cost in choice.costs.items()]
    until_utc = observation.now_utc + choice.until_s
    return Explanation(tuple(values), beliefs, until_utc if until_utc < math.inf else None)


def _valued(scene: Scene, what: int, cost: float, taken: bool) -> Valued:  # noqa: FBT001
    return Valued(_name(scene, what), cost if cost < math.inf else None, taken)


def _name(scene: Scene, what: int) -> str:
    if what == WAIT:
        return NOTHING
    if what == ON_DEMAND:
        return scene.on_demand.id
    return scene.spots[what].pool.id if what >= 0 else f"{scene.on_demand.id} + {scene.spots[BOTH - what].pool.id}"


def _belief(spot: Spot) -> Belief:
    up = {Sight.UP: 1.0, Sight.DOWN: 0.0}.get(spot.sight)
    chance = sum(believed(spot)[BUCKETS:]) if up is None else up
    flips = spot.pool.flips
    source = flips.source if flips is not None else "nothing was watched: the usual rates of Spot capacity"
    return Belief(spot.pool.id, spot.sight.value, spot.age_s, spot.unseen_s, chance, source)
