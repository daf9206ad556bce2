"""Market time of a state folder: fixed when it is first used, and going on from there, whoever looks."""

from __future__ import annotations

import time
from typing import Mapping

from nightspot.emulator.clock import MarketClock
from nightspot.emulator.errors import EmulatorOptionError
from nightspot.emulator.settings import Settings

MARKET, REAL, SCALE, START, ALIVE = "anchor_market_utc", "anchor_real_utc", "time_scale", "start_utc", "alive_utc"


def anchored(settings: Settings, facts: Mapping[str, float]) -> dict[str, float]:
    """The facts to keep: anchors as given, else as kept, else now. With another time scale, market time goes on from where it is."""
    given = (settings.anchor_market_utc, settings.anchor_real_utc)
    if (given[0] is None) != (given[1] is None):
        raise EmulatorOptionError("--anchor-market-utc and --anchor-real-utc belong together: give both, or none")
    now_utc = time.time()
    if given[0] is not None and given[1] is not None:
        market_utc, real_utc = given[0], given[1]
    elif MARKET not in facts:
        market_utc = real_utc = now_utc
    elif facts[SCALE] == settings.time_scale:
        market_utc, real_utc = facts[MARKET], facts[REAL]
    else:
        market_utc, real_utc = clock_of(facts).now_utc(), now_utc
    new = {MARKET: market_utc, REAL: real_utc, SCALE: settings.time_scale}
    return {START: market_utc, **facts, **new}


def clock_of(facts: Mapping[str, float]) -> MarketClock:
    """The clock that these facts describe."""
    return MarketClock(facts[MARKET], facts[REAL], facts[SCALE])
