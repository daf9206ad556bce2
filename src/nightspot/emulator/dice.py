"""Faults on purpose, thrown with one seed. Which request of several at once meets which throw is left to the scheduler."""

from __future__ import annotations

import random
import threading
from enum import Enum

from nightspot.emulator.settings import Faults

BREAKDOWN_MEAN_S = 900.0


class Fate(Enum):
    """What becomes of a request. INTERNAL_BEFORE and _AFTER: an internal error that was, or was not, the end of it."""

    FINE = "fine"
    THROTTLED = "throttled"
    INTERNAL_BEFORE = "internal, not carried out"
    INTERNAL_AFTER = "internal, carried out"
    LOST = "carried out, no answer"
    SLOW = "slow"


class Dice:
    """Any thread may throw."""

    def __init__(self, faults: Faults) -> None:
        self._faults, self._lock = faults, threading.Lock()
        self._random = random.Random(faults.seed)  # noqa: S311 - faults, not secrets

    def fate(self) -> Fate:
        """Of the next request."""
        f = self._faults
        with self._lock:
            throw, coin = self._random.random(), self._random.random()
        internal = Fate.INTERNAL_BEFORE if coin < 0.5 else Fate.INTERNAL_AFTER
        for rate, fate in (
            (f.throttle, Fate.THROTTLED),
            (f.internal, internal),
            (f.lost, Fate.LOST),
            (f.slow, Fate.SLOW),
        ):
            if throw < rate:
                return fate
            throw -= rate
        return Fate.FINE

    def breakdown_s(self) -> float | None:
        """After how many market seconds of training the next incarnation dies of an internal error; None: it does not."""
        with self._lock:
            throw, when_s = self._random.random(), self._random.expovariate(1.0 / BREAKDOWN_MEAN_S)
        return when_s if throw < self._faults.internal_error else None
