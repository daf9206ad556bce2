"""What a save costs: the training time it takes, and how long until it is durable. Measured on the training's own steps."""

from __future__ import annotations

import math
from collections import deque
from statistics import median, median_low

ASSUMED_COST_S = 0.5
STEPS, COSTS, SAVES = 64, 5, 20
FEWEST_STEPS = 3  # fewer say nothing about how fast training is without a save


class SaveCost:
    """Hears of steps and saves, in seconds of one monotonic clock.

    A save costs the stalls, and as much as steps were slower while it was in flight, or its tables were copied ahead. Of steps the
    medians are compared: an evaluation between two of them is no slowdown. The first step is left out: compilers and caches warm up
    in it.

    cost_s: training time that a save takes, the median of the last five, of two the lower one: the very first prepares memory, too.
    slower_s: what of it are slower steps.
    save_s: from its beginning until it is durable, the 95th percentile of the last twenty; 0 before the first.
    """

    def __init__(self) -> None:
        self._mark_s: float | None = None  # since when training has gone on
        self._alone: deque[float] = deque(maxlen=STEPS)  # how long steps took with no save in flight
        self._beside: list[float] = []  # ... and beside the present one
        self._flying_since_s: float | None = None
        self._ahead = False  # tables are being copied ahead, or were and wait for the rest
        self._stall_s = 0.0
        self._costs: deque[tuple[float, float]] = deque(maxlen=COSTS)  # each, and what of it are slower steps
        self._saves: deque[float] = deque(maxlen=SAVES)
        self.cost_s, self.slower_s, self.save_s = ASSUMED_COST_S, 0.0, 0.0

    def stepped(self, now_s: float) -> None:
        """One more step has ended."""
        if self._mark_s is not None:
            (self._alone if self._flying_since_s is None else self._beside).append(now_s - self._mark_s)
        self._mark_s = now_s

    def ahead(self, now_s: float, stall_s: float) -> None:
        """The tables of a save to come are being copied beside the steps from now on; to begin that held training up for `stall_s`."""
        self._begin(now_s, stall_s)
        self._ahead = True

    def snapshot(self, now_s: float, stall_s: float) -> None:
        """A save has taken what it needs, and training goes on: it was held up for `stall_s`."""
        if self._ahead:  # the very same save
            self._mark_s, self._stall_s = now_s, self._stall_s + stall_s
        else:
            self._begin(now_s, stall_s)
        self._ahead = False

    def _begin(self, now_s: float, stall_s: float) -> None:
        self._mark_s = self._flying_since_s = now_s
        self._stall_s, self._beside = stall_s, []

    def saved(self, save_s: float) -> None:
        """It is durable, `save_s` after it began."""
        slower_s = min(self._slower_s(), save_s) if self._flying_since_s is not None else 0.0
        self._costs.append((self._stall_s + slower_s, slower_s))
        self._saves.append(save_s)
        (self.cost_s, self.slower_s), self.save_s = median_low(self._costs), quantile(self._saves, 0.95)
        self._flying_since_s = None

    def failed(self) -> None:
        """It came to nothing, and says nothing."""
        self._flying_since_s, self._ahead = None, False

    @property
    def known(self) -> bool:
        """At least one save was measured."""
        return bool(self._costs)

    @property
    def saves_s(self) -> tuple[float, ...]:
        """How long the last twenty took, from their beginning until durable."""
        return tuple(self._saves)

    def _slower_s(self) -> float:
        if len(self._alone) < FEWEST_STEPS or not self._beside:
            return 0.0
        return max(0.0, median(self._beside) - median(self._alone)) * len(self._beside)


def quantile(values: deque[float] | tuple[float, ...], share: float) -> float:
    """The smallest value that so large a share of them does not exceed. `values` must not be empty."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
