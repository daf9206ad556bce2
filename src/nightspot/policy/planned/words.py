"""Why a choice was made, in plain words. Costs are expected ones, from now to the end."""

from __future__ import annotations

import math

from nightspot.policy.planned.ahead import BOTH, ON_DEMAND, WAIT, held_of
from nightspot.policy.planned.choose import Choice
from nightspot.policy.planned.scene import Scene


def why(scene: Scene, choice: Choice) -> str:
    """One sentence; figures only where prices are known."""
    return _what(scene, choice) + _figures(scene, choice)


def _what(scene: Scene, choice: Choice) -> str:
    if choice.what == WAIT:
        if scene.market.blind and scene.held is not None:
            return "on-demand makes way for a request for Spot, which is believed to be back"
        return f"waiting for Spot{_at_most(choice)}"
    if choice.what <= BOTH:
        return f"{scene.spots[BOTH - choice.what].pool.id} starts up beside on-demand, which trains until it is ready"
    held = held_of(scene, choice.what) is not None
    if choice.what == ON_DEMAND:
        if held:
            return "on-demand goes on"
        spent = choice.costs[WAIT] == math.inf and not scene.up
        return (
            "on-demand: no time is left to wait for Spot" if spent else "on-demand: waiting on for Spot would not pay"
        )
    pool_id = scene.spots[choice.what].pool.id
    if held:
        return f"{pool_id} goes on"
    if any(spot.held for spot in scene.spots):
        return f"{pool_id} is worth the move"
    return f"{pool_id} is there, and pays the way there and back" if scene.held else f"{pool_id} is there"


def _at_most(choice: Choice) -> str:
    return f", {span(choice.until_s)} at most" if choice.until_s < math.inf else ""


def _figures(scene: Scene, choice: Choice) -> str:
    if any(spot.pool.price_usd_per_hour <= 0 for spot in scene.spots) or scene.on_demand.price_usd_per_hour <= 0:
        return ""
    mine = f": about USD {choice.costs[choice.what]:.2f} to the end"
    other = ON_DEMAND if choice.what >= 0 else _next_best(choice)
    if choice.costs.get(other, math.inf) == math.inf:
        return mine
    return f"{mine}, with {name(scene, other)} {choice.costs[other]:.2f}"


def _next_best(choice: Choice) -> int:
    return min(set(choice.costs) - {choice.what}, key=lambda what: choice.costs[what], default=choice.what)


def name(scene: Scene, what: int) -> str:
    """A choice's name."""
    if what == WAIT:
        return "waiting"
    if what <= BOTH:
        return f"{scene.spots[BOTH - what].pool.id} beside it"
    return scene.on_demand.id if what == ON_DEMAND else scene.spots[what].pool.id


def span(seconds: float) -> str:
    """Hours and minutes."""
    minutes = max(1, round(seconds / 60.0))
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02d} min" if hours else f"{rest} min"
