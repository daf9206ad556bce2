"""Everything that can be chosen about an emulator, parsed and checked. Spans are market seconds unless the name says real."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping

from nightspot.model.capacity import Market

ACCOUNT = "123456789012"


@dataclass(frozen=True, slots=True)
class Weather:
    """One SPEC of capacity: "always", "never", "trace" with the file's text, or "generator" with its seed."""

    kind: str
    seed: int = 0
    name: str = ""
    trace_text: str = ""


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong on purpose. Rates are shares of requests, `internal_error` a share of incarnations; all from one seed."""

    throttle: float = 0.0
    internal: float = 0.0
    lost: float = 0.0
    slow: float = 0.0
    internal_error: float = 0.0
    no_signal: bool = False
    no_sync: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Delays:
    """How long an instance takes for what, at least: what really takes longer takes longer."""

    start_s: float = 120.0
    download_s: float = 60.0
    upload_s: float = 30.0
    stop_s: float = 10.0
    interrupted_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Settings:
    """`markets`, `quotas`, `spot_factors` are by (instance type, market) or instance type; the rest of them have the defaults.

    `spot` is the weather of all Spot pools without one of their own. `anchor_market_utc` and `anchor_real_utc`: None keeps what the state
    folder has, or begins now. `sync_s` is the checkpoint agent's interval.
    `idle_exit_real_s` 0: never.
    """

    state: Path
    port: int = 0
    time_scale: float = 1.0
    anchor_market_utc: float | None = None
    anchor_real_utc: float | None = None
    spot: Weather = field(default_factory=lambda: Weather("always"))
    markets: Mapping[tuple[str, Market], Weather] = field(default_factory=dict)
    quotas: Mapping[tuple[str, Market], int] = field(default_factory=dict)
    default_quota: int = 100
    faults: Faults = field(default_factory=Faults)
    delays: Delays = field(default_factory=Delays)
    spot_factor: float = 0.3
    spot_factors: Mapping[str, float] = field(default_factory=dict)
    sync_s: float = 60.0
    idle_exit_real_s: float = 0.0

    def factor(self, instance_type: str) -> float:
        """What a Spot second of that type costs, as a share of an on-demand second."""
        return self.spot_factors.get(instance_type, self.spot_factor)

    def quota(self, instance_type: str, market: Market) -> int:
        """How many instances may be asked for at once."""
        return self.quotas.get((instance_type, market), self.default_quota)
