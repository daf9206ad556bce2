"""Capacity made up from a seed: spans whose hazard falls with their age (see `hazard`).

The same seed gives the same weather on every machine and for every start, and a longer horizon only adds to it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from nightspot.market.hazard import Hazard
from nightspot.market.trace import Trace, on_grid

DAY_S, WARM_UP_S = 86400.0, 4 * 3600.0
SHORTEST_S, LONGEST_S = 1.0, 1e9


@dataclass(frozen=True, slots=True)
class Generator:
    """Spans of capacity end by the hazard `loss`, spans without by `recovery`.

    `warm_up_s` of weather lies before the start, so that its state has an age (0: the state is new). `first_up` is the state at
    the start: the weather is moved on to the next such span where it has the other; None takes what comes.
    """

    seed: int
    loss: Hazard = field(default_factory=Hazard)
    recovery: Hazard = field(default_factory=Hazard)
    warm_up_s: float = WARM_UP_S
    first_up: bool | None = None

    def trace(self, start_utc: float, horizon_s: float = 30 * DAY_S) -> Trace:
        """Capacity from `start_utc` on: every flip within the horizon, and the first one after it."""
        chance = random.Random(self.seed)  # noqa: S311 - weather, not a secret
        first_up = up = chance.random() < 0.5
        flips_s: list[float] = []
        at_s, into_s = 0.0, self.warm_up_s
        while at_s <= into_s + horizon_s:
            begin_s, at_s = at_s, at_s + self._span_s(up, chance)
            if begin_s <= into_s < at_s and self.first_up not in (None, up):
                into_s = at_s
            flips_s.append(at_s)
            up = not up
        return Trace.from_flips(flips_s, first_up=first_up).starting_at(start_utc, offset_s=into_s)

    def _span_s(self, up: bool, chance: random.Random) -> float:  # noqa: FBT001
        hazard = self.loss if up else self.recovery
        return on_grid(min(max(SHORTEST_S, hazard.age_s(1.0 - chance.random())), LONGEST_S))
