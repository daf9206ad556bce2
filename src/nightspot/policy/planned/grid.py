"""The grid of a plan: ticks anchored at the deadline, and units of work.

On ticks that are assured it is those, and exact. Elsewhere it has 480 ticks to the window, or fewer where starts are long or the loop is
slow. What is seen is taken as at the last instant of the grid: within a tick a plan does not change its mind but for an Event.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from nightspot.model.decision import Observation

TICKS_MOST = 480
# A start-up is followed tick by tick, so it has few of them.
LEAD_TICKS_MOST = 6.0
SLIGHT = 1e-6


class Grid(NamedTuple):
    """`tick` ticks of `tick_s` are left, and `spare` of one more; `most` are in the tables. In `next_s` one less is left.

    `since_s`: since the last instant of the grid. `unit_s`: work seconds of one unit. `reaction`: ticks until the loop can act again.
    """

    tick_s: float
    tick: int
    spare: float
    most: int
    next_s: float
    since_s: float
    unit_s: float
    reaction: float


@dataclass(frozen=True, slots=True)
class Steps:
    """What of it stays the same all night. `window`: whole ticks in it. `assured`: its ticks are those that are assured."""

    tick_s: float
    window: int
    unit_s: float
    reaction: float
    assured: bool


def steps_of(observation: Observation) -> Steps:
    """Its steps."""
    window_s = max(observation.deadline_utc - observation.tail_s - observation.start_utc, SLIGHT)
    fastest = max([pool.speed for pool in observation.pools])
    reaction_s = observation.reaction_s
    tick_s = max([a.assured_s for a in observation.abilities.values()], default=0.0)
    if tick_s > 0.0:
        window = math.floor(window_s / tick_s + SLIGHT)
        return Steps(tick_s, window, tick_s * fastest, max(1.0, round(reaction_s / tick_s, 3)), assured=True)
    lead_s = max([bounds.lead_s for bounds in observation.bounds.values()], default=0.0)
    tick_s = max(window_s / TICKS_MOST, lead_s / LEAD_TICKS_MOST, min(reaction_s, window_s))
    # What is let stand for a tick is seen to a reaction later.
    window = math.floor(window_s / tick_s + SLIGHT)
    return Steps(tick_s, window, tick_s * fastest, 1.0 + round(reaction_s / tick_s, 3), assured=False)


def grid_of(steps: Steps, observation: Observation) -> Grid:
    """The grid, and where on it now is."""
    tick_s, left_s = steps.tick_s, max(observation.left_s, 0.0)
    tick = math.floor(left_s / tick_s + SLIGHT)
    most = max(tick, steps.window)
    if steps.assured:
        spare = max(0.0, round(left_s / tick_s - tick, 6))
        return Grid(tick_s, tick, spare, most, tick_s, 0.0, steps.unit_s, steps.reaction)
    next_s = max(0.0, left_s - tick * tick_s) or tick_s
    return Grid(tick_s, tick, 0.0, most, next_s, tick_s - next_s, steps.unit_s, steps.reaction)
