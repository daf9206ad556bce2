"""How often a training process is asked to save, and how soon it is told to expect an interruption: its environment says it."""

from __future__ import annotations

import math

from nightspot.market.hazard import HOUR_S
from nightspot.model.capacity import Market, Pool
from nightspot.night.ports import LaunchSpec

# Nobody takes on-demand capacity away, but machines break. Assumed, not measured; what "auto" may lose at most decides long before.
ON_DEMAND_EVERY_S = 30 * 24 * HOUR_S


def saving_environment(spec: LaunchSpec, time_scale: float, seen_every_s: float | None = None) -> dict[str, str]:
    """NIGHTSPOT_CHECKPOINT_* and, for "auto", what it reckons with: all in the process's own seconds, not in market time.

    seen_every_s: market seconds between interruptions, where a recorded trace shows them and past nights do not.
    """
    asked = spec.job.checkpoint
    ours = {"NIGHTSPOT_CHECKPOINT_INTERVAL_S": repr(asked.interval_s / time_scale)}
    if asked.interval:
        ours["NIGHTSPOT_CHECKPOINT_INTERVAL"] = asked.interval
    if asked.store:
        ours["NIGHTSPOT_CHECKPOINT_STORE"] = asked.store
    if asked.interval == "auto":
        every_s = interruption_every_s(spec.pool, seen_every_s)
        if every_s is not None:
            ours["NIGHTSPOT_INTERRUPTION_EVERY_S"] = repr(every_s / time_scale)
    if time_scale != 1.0:
        ours["NIGHTSPOT_TIME_SCALE"] = repr(time_scale)
    return ours


def interruption_every_s(pool: Pool, seen_every_s: float | None) -> float | None:
    """The mean time between interruptions of a Pool, in market seconds, inf for never; None where nobody knows."""
    if pool.market is Market.ON_DEMAND:
        return ON_DEMAND_EVERY_S
    known_s = pool.interruption_every_s if pool.interruption_every_s is not None else seen_every_s
    return known_s if known_s is None or math.isfinite(known_s) else ON_DEMAND_EVERY_S
