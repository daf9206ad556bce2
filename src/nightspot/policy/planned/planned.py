"""The planned policy: a stochastic dynamic programme says what each choice costs to the end, and the cheapest is taken.

It keeps nothing: plans are worked out from numbers, and remembered by them. The guard stands around it as around every policy.
"""

from __future__ import annotations

from dataclasses import dataclass

from nightspot.market.flips import BUCKETS
from nightspot.model.attempt import Role
from nightspot.model.capacity import Sight
from nightspot.model.decision import FOREVER_UTC, Decision, Observation, Want
from nightspot.policy.base import cost_rate, hold, keep, only_asked, queue_until_utc, spot_choice
from nightspot.policy.baselines import Greedy
from nightspot.policy.planned.ahead import BOTH, WAIT
from nightspot.policy.planned.asking import believed
from nightspot.policy.planned.choose import Choice, choose
from nightspot.policy.planned.scene import Scene, scene_of
from nightspot.policy.planned.words import why


@dataclass(frozen=True, slots=True)
class Planned:
    """The cheapest way to be on time, by what is known of capacity."""

    def decide(self, observation: Observation, /) -> Decision:
        """The choice that costs least to the end, until another does."""
        scene = scene_of(observation)
        if scene is None:
            return Greedy().decide(observation)
        if scene.grid.tick < 1:
            return self._at_the_end(observation, scene)
        choice = choose(scene)
        until_utc = observation.now_utc + choice.until_s
        if choice.what == WAIT:
            return _wait(observation, scene, why(scene, choice), until_utc)
        return Decision(_wants(scene, choice), until_utc, why(scene, choice))

    def _at_the_end(self, observation: Observation, scene: Scene) -> Decision:
        """In the last tick there is nothing to plan."""
        if observation.held is not None:
            return keep(observation, "the last moments: what is held is kept")
        return hold(scene.on_demand, "the last moments", FOREVER_UTC)


def _wants(scene: Scene, choice: Choice) -> tuple[Want, ...]:
    if choice.what >= 0:
        return (Want(scene.spots[choice.what].pool.id),)
    beside = choice.probe
    if choice.what <= BOTH:
        beside = BOTH - choice.what
        spot = scene.spots[beside]
        if spot.held is not None and spot.held.level >= spot.problem.spot.levels:  # it is ready: on-demand hands over
            return (Want(spot.pool.id),)
    probes = [Want(scene.spots[beside].pool.id, Role.PROBE)] if beside is not None else []
    return (Want(scene.on_demand.id), *probes)


def _wait(observation: Observation, scene: Scene, why_so: str, until_utc: float) -> Decision:
    """Hold nothing; where only a request shows capacity, stand in a queue meanwhile: that holds nothing, and is the probe."""
    if scene.held is not None and scene.market.blind:
        best = min(scene.spots, key=lambda spot: (-sum(believed(spot)[BUCKETS:]), cost_rate(spot.pool)))
        return hold(best.pool, why_so, until_utc)
    if not any(spot.queued or spot.sight is Sight.UNKNOWN for spot in scene.spots):
        return hold(None, why_so, until_utc)
    spot = spot_choice(observation)
    if spot is None or not only_asked(observation, spot):
        return hold(None, why_so, until_utc)
    return hold(spot, why_so, queue_until_utc(observation, spot, until_utc))
