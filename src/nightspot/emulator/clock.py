"""The emulator's clock: all that its API says and counts is market time, and this is where it comes from."""

from __future__ import annotations

import threading

from nightspot.process.markettime import MarketTime


class MarketClock:
    """Market time that runs `time_scale` times as fast as real time from the anchors on. Any thread may use it."""

    def __init__(self, anchor_market_utc: float, anchor_real_utc: float, time_scale: float = 1.0) -> None:
        self._time = MarketTime(anchor_market_utc, anchor_real_utc, time_scale)

    @property
    def time_scale(self) -> float:
        """Market seconds in one real second."""
        return self._time.time_scale

    def now_utc(self) -> float:
        """Market time now, seconds since the epoch."""
        return self._time.now_utc()

    def real_s(self, market_s: float) -> float:
        """How long so many market seconds really take."""
        return self._time.real_s(market_s)

    def market_s(self, real_s: float) -> float:
        """How many market seconds pass in so many real ones."""
        return self._time.market_s(real_s)

    def wait(self, market_s: float, event: threading.Event) -> bool:
        """Wait so many market seconds, or until the event is set: then True, and at once."""
        return event.wait(max(0.0, self.real_s(market_s)))
