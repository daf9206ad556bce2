"""What a supervisor is told: everything, in one file, with nothing left to look up."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Mapping

from nightspot.process.markettime import MarketTime

ENDLESS = ("taken_utc", "not_after_utc", "silent_utc", "units")


@dataclass(frozen=True, slots=True)
class AttemptSpec:
    """One Attempt on this machine. Times and spans are market time.

    `ready_utc`: when the launch delay is over and the command starts. `taken_utc`: when the market takes the capacity back (inf: never).
    `waits_for_go`: a PROBE. `silent_utc`: a command that has reported nothing by then is held to have trained since it started.
    `shielded`: a sandbox stands between us and the command, and must not hear the notice. `artifact_before`: a stamp of what lay
    at `artifact` before this Run. `lineage`: what is known now of where the model will have come from.
    """

    token: str
    run_id: str
    number: int
    pool_id: str
    price_usd_per_hour: float
    command: tuple[str, ...]
    directory: str
    environment: Mapping[str, str]
    anchor_market_utc: float
    anchor_real_utc: float
    time_scale: float
    launched_utc: float
    ready_utc: float
    taken_utc: float
    notice_s: float
    grace_s: float
    not_after_utc: float
    checkpoint_dir: str
    units_start: float = 0.0
    units: float = math.inf
    pattern: str | None = None
    silent_utc: float = math.inf
    waits_for_go: bool = False
    shielded: bool = False
    artifact: str | None = None
    artifact_before: str | None = None
    publish: str | None = None
    lineage: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def clock(self) -> MarketTime:
        """The same market time as the controller's."""
        return MarketTime(self.anchor_market_utc, self.anchor_real_utc, self.time_scale)

    def as_json(self) -> dict[str, Any]:
        """For a file; JSON has no infinity."""
        document = asdict(self)
        for name in ENDLESS:
            document[name] = document[name] if document[name] < math.inf else None
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> AttemptSpec:
        """From a file. TypeError or KeyError where a newer nightspot wrote it, or nobody sensible."""
        given = dict(document)
        for name in ENDLESS:
            given[name] = math.inf if given[name] is None else float(given[name])
        given["command"], given["warnings"] = tuple(given["command"]), tuple(given["warnings"])
        return cls(**given)
