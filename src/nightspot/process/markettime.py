"""Market time of this machine: real time, moved and compressed. Every process of a Run works it out from the same three numbers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


def steady_s() -> float:
    """Real seconds that only go forward, at one pace, and while the machine sleeps too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class MarketTime:
    """At real time `anchor_real_utc` it is `anchor_market_utc`; from there on market time runs `time_scale` times as fast.

    The wall clock is read once, here: later jumps of it do not move a running process.
    """

    anchor_market_utc: float
    anchor_real_utc: float
    time_scale: float = 1.0
    _offset_s: float = field(default_factory=lambda: time.time() - steady_s())

    def __post_init__(self) -> None:
        if not self.time_scale > 0.0:
            raise ValueError(f"time_scale must be above 0, not {self.time_scale!r}")

    def now_utc(self) -> float:
        """Market time now."""
        real_utc = self._offset_s + steady_s()
        return self.anchor_market_utc + (real_utc - self.anchor_real_utc) * self.time_scale

    def real_s(self, market_s: float) -> float:
        """How long so many market seconds really take."""
        return market_s / self.time_scale

    def market_s(self, real_s: float) -> float:
        """How many market seconds pass in so many real ones."""
        return real_s * self.time_scale
