"""Backends by name, loaded when first asked for: entry points of the group `nightspot.backends`."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol

from nightspot.errors import UnknownBackendError
from nightspot.night.ports import Backend

GROUP = "nightspot.backends"


@dataclass(frozen=True, slots=True)
class BackendContext:
    """What a backend has to know of tonight. A restarted controller makes the same one of the Journal's RunOpened.

    `home` is nightspot's own folder. `start_utc` (the window's) is where capacities begin. At the real time `anchor_real_utc` market
    time was `anchor_market_utc`, and it passes `time_scale` times as fast.
    """

    home: Path
    start_utc: float
    anchor_market_utc: float
    anchor_real_utc: float
    time_scale: float = 1.0

    def real_utc(self, market_utc: float) -> float:
        """When, by a real clock, that is."""
        return self.anchor_real_utc + (market_utc - self.anchor_market_utc) / self.time_scale


class MakesBackend(Protocol):
    """What an entry point names: usually the class itself."""

    def __call__(self, context: BackendContext, /) -> Backend:
        """One backend for tonight."""
        ...


@dataclass(slots=True)
class InstalledBackends:
    """All that are installed. Each is made once, when a Pool first names it."""

    context: BackendContext
    _made: dict[str, Backend] = field(default_factory=dict)

    def __getitem__(self, name: str, /) -> Backend:
        """UnknownBackendError where none has that name, or what has it cannot be loaded."""
        if name not in self._made:
            self._made[name] = _load(name)(self.context)
        return self._made[name]


def installed() -> list[str]:
    """The names that a Pool may give."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def _load(name: str) -> MakesBackend:
    points: list[EntryPoint] = [point for point in entry_points(group=GROUP) if point.name == name]
    if not points:
        raise UnknownBackendError(f"no backend is called {name!r}; installed: {', '.join(installed()) or 'none'}")
    try:
        made: MakesBackend = points[0].load()
    except (ImportError, AttributeError) as error:
        raise UnknownBackendError(f"the backend {name!r} is installed, but cannot be loaded: {error}") from error
    return made
