"""Market time on a real clock: as it is, or compressed. A restarted controller goes on with the anchors in the Journal."""

from __future__ import annotations

import math
import os
import select
import time
from contextlib import suppress
from typing import Callable

# How long the loop sleeps at most, in real seconds: capacity and attempts are looked at so often.
POLL_S = 5.0
POLL_SCALED_S = 0.25


class RealClock:
    """Market time: `anchor_market_utc` was it at the real time `anchor_real_utc`, and it passes `scale` times as fast.

    It never goes back, even where the machine's clock does. `interrupt` may be called from a signal handler or another thread.
    """

    def __init__(
        self,
        anchor_market_utc: float,
        anchor_real_utc: float,
        scale: float = 1.0,
        poll_s: float | None = None,
        real_utc: Callable[[], float] = time.time,
    ) -> None:
        if not scale > 0:
            raise ValueError(f"time must go forward, not at {scale} times its speed")
        self.anchor_market_utc, self.anchor_real_utc, self.scale = anchor_market_utc, anchor_real_utc, scale
        self.poll_s = poll_s if poll_s is not None else (POLL_SCALED_S if scale > 1 else POLL_S)
        self._real_utc = real_utc
        self._latest_utc = -math.inf
        self._ears, self._bell = os.pipe()
        os.set_blocking(self._ears, False)
        os.set_blocking(self._bell, False)

    def now_utc(self) -> float:
        """Market time now."""
        passed_s = (self._real_utc() - self.anchor_real_utc) * self.scale
        self._latest_utc = max(self._latest_utc, self.anchor_market_utc + passed_s)
        return self._latest_utc

    def sleep_until(self, at_utc: float, /) -> None:
        """Return at `at_utc`, after a poll interval, or when interrupted: whichever comes first."""
        left_s = (at_utc - self.now_utc()) / self.scale
        heard, _, _ = select.select([self._ears], [], [], min(max(left_s, 0.0), self.poll_s))
        if heard:
            self._drain()

    def interrupt(self) -> None:
        """End the present sleep, or the next one where none is slept."""
        with suppress(BlockingIOError):  # it rings already
            os.write(self._bell, b"!")

    def close(self) -> None:
        """Let go of what it holds."""
        os.close(self._ears)
        os.close(self._bell)

    def _drain(self) -> None:
        try:
            while os.read(self._ears, 4096):
                continue
        except BlockingIOError:
            return
