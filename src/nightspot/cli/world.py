"""The world a controller acts in: backends and a clock, both on the market time the Journal anchored. The tests' seam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nightspot.backends.registry import BackendContext, InstalledBackends
from nightspot.cli.home import Home
from nightspot.night.clock import RealClock
from nightspot.night.night import Settings
from nightspot.night.ports import Backends

REACTION_S = 15.0
# Real seconds that a wake's own calls may take, where time is compressed and they count.
CALLS_S = 0.5
SWEEP_S = 60.0
RETRY_S = 60.0


class Waking(Protocol):
    """A clock that can be woken: by a signal, or an answer that was waited for."""

    def now_utc(self) -> float:
        """Market time now."""
        ...

    def sleep_until(self, at_utc: float, /) -> None:
        """Return then, after a poll, or when interrupted."""
        ...

    def interrupt(self) -> None:
        """End the present sleep, or the next."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """Backends, a clock, and the pace of the loop in it."""

    backends: Backends
    clock: Waking
    settings: Settings


@dataclass(frozen=True, slots=True)
class Anchors:
    """Market time was `market_utc` at the real time `real_utc`, and passes `scale` times as fast. `start_utc`: the window opens."""

    market_utc: float
    real_utc: float
    scale: float
    start_utc: float


def open_world(home: Home, anchors: Anchors) -> World:
    """The real world."""
    clock = RealClock(anchors.market_utc, anchors.real_utc, anchors.scale)
    context = BackendContext(home.path, anchors.start_utc, anchors.market_utc, anchors.real_utc, anchors.scale)
    return World(InstalledBackends(context), clock, pace(anchors.scale, clock.poll_s))


def pace(scale: float, poll_s: float) -> Settings:
    """How late the loop may come. Compressed, even its own calls take their time; unscaled, three polls do."""
    reaction_s = REACTION_S if scale == 1 else (poll_s + CALLS_S) * scale
    return Settings(reaction_s, max(SWEEP_S, reaction_s), max(RETRY_S, reaction_s))
