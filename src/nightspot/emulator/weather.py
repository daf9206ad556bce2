"""When there is capacity: one Trace for each instance type and market, anchored at the market start of the state folder."""

from __future__ import annotations

import threading

from nightspot.emulator.settings import Settings, Weather
from nightspot.market import Trace, capacity_trace
from nightspot.model.capacity import Market

ALWAYS = Weather("always")


class Sky:
    """The same settings and the same start give the same capacity, in every region, on every machine."""

    def __init__(self, settings: Settings, start_utc: float) -> None:
        self._settings, self._start_utc = settings, start_utc
        self._traces: dict[tuple[str, Market], Trace] = {}
        self._lock = threading.Lock()

    def trace(self, instance_type: str, market: Market) -> Trace:
        """The capacity of that pool, in market time."""
        key = (instance_type, market)
        with self._lock:
            if key not in self._traces:
                self._traces[key] = self._made(instance_type, market)
            return self._traces[key]

    def _made(self, instance_type: str, market: Market) -> Trace:
        own = self._settings.markets.get((instance_type, market))
        if own is not None:
            return trace_of(own, self._start_utc)
        if market is Market.ON_DEMAND:
            return trace_of(ALWAYS, self._start_utc)
        return trace_of(self._settings.spot, self._start_utc)


def trace_of(weather: Weather, start_utc: float) -> Trace:
    """What a SPEC stands for, wherever it is given: its first instant at `start_utc`."""
    if weather.kind == "generator":
        return capacity_trace({"seed": weather.seed}, start_utc)
    if weather.kind == "trace":
        return capacity_trace({"trace": weather.name}, start_utc, weather.trace_text)
    return capacity_trace(weather.kind, start_utc)
