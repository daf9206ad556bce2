"""Where a Job may be trained: Pools, what they are seen to offer, and how long they take for what.

All times are market time, seconds since the epoch; all spans are market seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Mapping


class Market(str, Enum):
    """How capacity is bought."""

    SPOT = "spot"
    ON_DEMAND = "on-demand"


class Sight(str, Enum):
    """What is known of a Pool's capacity. UNKNOWN is not DOWN."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a Pool takes, conservatively.

    `lead_s`: from the request to the first unit of work. `stop_s`: from being told to stop until it is confirmed ended, the loop's own
    look included. `refusal_s`: until a request without capacity is known to be one. `save_s`: one checkpoint.
    """

    lead_s: float
    stop_s: float = 0.0
    refusal_s: float = 0.0
    save_s: float = 0.0

    def at_least(self, other: Bounds) -> Bounds:
        """The longer of the two, span by span."""
        return Bounds(
            max(self.lead_s, other.lead_s),
            max(self.stop_s, other.stop_s),
            max(self.refusal_s, other.refusal_s),
            max(self.save_s, other.save_s),
        )


@dataclass(frozen=True, slots=True)
class Flips:
    """How likely capacity is to change: rates per hour, by the age of its present state (the ages are `market.flips.AGES_H`).

    `recovery_per_hour` ends a span without capacity, `loss_per_hour` one with. `source` says in words what they rest on.
    """

    recovery_per_hour: tuple[float, ...]
    loss_per_hour: tuple[float, ...]
    source: str = ""

    def __post_init__(self) -> None:
        rates = (*self.recovery_per_hour, *self.loss_per_hour)
        if len(self.recovery_per_hour) != len(self.loss_per_hour) or not all(0.0 < rate < 1e6 for rate in rates):
            raise ValueError(f"flips need a positive, finite rate for each age, both ways, not {self!r}")


@dataclass(frozen=True, slots=True)
class Pool:
    """Backend x place x instance type x Market: one thing that can be asked for.

    `price_usd_per_hour` is for the whole Attempt, all its instances. `speed` is work seconds done in one second.
    `interruption_every_s` is the mean time of training between two interruptions, None where too few were seen.
    `bounds` is None where neither the job file nor a measurement gives any: the guard does not count such a Pool.
    `options` are the backend's own settings, already checked. `flips` is what is known of its capacity, None where nothing is.
    """

    id: str
    backend: str
    market: Market
    price_usd_per_hour: float
    instance_type: str = ""
    place: str = ""
    speed: float = 1.0
    world_size: int = 1
    bounds: Bounds | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    interruption_every_s: float | None = None
    flips: Flips | None = None

    @property
    def unpriced(self) -> bool:
        """Whether nobody knows what it costs: its price is then 0."""
        return self.price_usd_per_hour == 0 and not self.options.get("price_known", True)


@dataclass(frozen=True, slots=True)
class Offer:
    """What is seen of one Pool, and since when it has been so.

    Of one that is UNKNOWN: `last` is what it was when it was last seen, at `last_utc`; it had been so since `last_since_utc`.
    """

    pool_id: str
    seen: Sight
    since_utc: float
    last: Sight = Sight.UNKNOWN
    last_utc: float = float("-inf")
    last_since_utc: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a backend can do with a Pool. The loop and the policies read this, never a backend's name.

    `beside`: a PROBE may be asked for beside what trains; `handover`: and kept once it is granted, until it is told `go`. A backend says
    what it can do; in an Observation the job file's consent is in it as well. `handover_s`: from `go` to the first unit of work.
    `calls_s`: how long the calls of one wake may take, where they go far; it is planned with as reaction.
    `assured_s`: capacity seen UP at a wake is not taken for that long. Nobody sells that; a backtest on ticks has it.
    """

    queues: bool = False
    restarts_inside: bool = False
    control: bool = True
    beside: bool = False
    handover: bool = False
    handover_s: float = 0.0
    visibility_lag_s: float = 0.0
    calls_s: float = 0.0
    assured_s: float = 0.0
