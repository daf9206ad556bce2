"""Waiting in market time, for what may come sooner: a limit, an end, somebody who says stop."""

from __future__ import annotations

import threading
from typing import Callable

from nightspot.emulator.clock import MarketClock
from nightspot.emulator.instance import Closing, Cut, Why

POLL_REAL_S, LONGEST_NAP_REAL_S, SHORTEST_NAP_REAL_S = 0.05, 1.0, 0.001
Limits = list[tuple[float, Why]]


class Patience:
    """One thread waits; any other may nudge it, so that it looks at once, or close it for good."""

    def __init__(self, clock: MarketClock) -> None:
        self._clock, self._nudged = clock, threading.Event()
        self.closing = False

    def nudge(self) -> None:
        """Look now."""
        self._nudged.set()

    def close(self) -> None:
        """Every wait ends with Closing, from now on."""
        self.closing = True
        self._nudged.set()

    def pause(
        self,
        until_utc: float,
        limits: Limits,
        done: Callable[[], bool] | None = None,
        refuse: Callable[[], None] | None = None,
    ) -> None:
        """Until then, or until `done`. Cut at the first limit that passes; whatever `refuse` raises; Closing at any time."""
        while True:
            now_utc = self._clock.now_utc()
            if self.closing:
                raise Closing
            if done is not None and done():
                return
            if refuse is not None:
                refuse()
            passed = [limit for limit in limits if limit[0] <= now_utc]
            if passed:
                raise Cut(min(passed, key=lambda limit: limit[0])[1])
            if now_utc >= until_utc:
                return
            next_utc = min([until_utc, *[at_utc for at_utc, _ in limits]])
            self._nap(next_utc - now_utc, POLL_REAL_S if done is not None else LONGEST_NAP_REAL_S)

    def _nap(self, market_s: float, longest_real_s: float) -> None:
        real_s = min(longest_real_s, max(SHORTEST_NAP_REAL_S, self._clock.real_s(market_s)))
        if self._nudged.wait(real_s):
            self._nudged.clear()  # what was nudged for is in the flags
