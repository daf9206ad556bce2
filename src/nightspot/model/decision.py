"""What a Policy sees, and what it may say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from nightspot.model.attempt import Phase, Role
from nightspot.model.capacity import Abilities, Bounds, Market, Offer, Pool, Sight

FOREVER_UTC = float("inf")


@dataclass(frozen=True, slots=True)
class Want:
    """One Pool to hold, and what for."""

    pool_id: str
    role: Role = Role.TRAIN


@dataclass(frozen=True, slots=True)
class Decision:
    """The whole desired holding, until `until_utc` or the next Event. No wants: hold nothing. At most one trains.

    `by` names who had the last word: the policy, or the guard.
    """

    wants: tuple[Want, ...]
    until_utc: float
    why: str
    by: str = "policy"

    @property
    def train_pool_id(self) -> str | None:
        """The Pool that shall train; None where nothing shall."""
        for want in self.wants:
            if want.role is Role.TRAIN:
                return want.pool_id
        return None


@dataclass(frozen=True, slots=True)
class Holding:
    """A live Attempt as a policy sees it. `pending_s`: market seconds of start-up still to come, by its Pool's bounds.

    `since_utc`: when it was asked for; `phase_utc`: when its present phase began.
    """

    number: int
    pool_id: str
    market: Market
    role: Role
    phase: Phase
    since_utc: float
    pending_s: float
    stopping: bool
    phase_utc: float = 0.0

    @property
    def queued(self) -> bool:
        """Whether it waits in a queue: asked for, and nobody knows whether it is ever granted."""
        return self.phase is Phase.QUEUED and not self.stopping

    @property
    def known(self) -> bool:
        """Whether it is in sight."""
        return self.phase is not Phase.UNKNOWN


@dataclass(frozen=True, slots=True)
class WorkLeft:
    """Seconds of work at speed 1. `left_s` counts from the last durable Checkpoint; `undurable_s` of it is done, but not safe.

    `redo_s`: what an interruption is expected to cost, at any moment of training. `continuous` says that work is durable as it is
    done, or exactly `redo_s` later (simulations only).
    """

    left_s: float
    total_s: float
    undurable_s: float = 0.0
    continuous: bool = False
    redo_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Observation:
    """All that a Policy may see.

    `reaction_s` is the longest time until the loop can act again. `tail_s` must fit after training. `start_utc` opened the window;
    `waited_s` is how long nothing has been held since then.
    """

    now_utc: float
    start_utc: float
    deadline_utc: float
    reaction_s: float
    tail_s: float
    work: WorkLeft
    holdings: tuple[Holding, ...]
    offers: Mapping[str, Offer]
    pools: tuple[Pool, ...]
    bounds: Mapping[str, Bounds]
    abilities: Mapping[str, Abilities]
    waited_s: float = 0.0
    spent_usd: float = 0.0
    attempts_left: int = 1_000_000
    guard_pools: int = 1

    @property
    def left_s(self) -> float:
        """Time left until training must be over: deadline - tail - now."""
        return self.deadline_utc - self.tail_s - self.now_utc

    @property
    def held(self) -> Holding | None:
        """What trains, or is about to; None where nothing is held."""
        for holding in self.holdings:
            if holding.role is Role.TRAIN:
                return holding
        return None

    @property
    def probe(self) -> Holding | None:
        """What was asked for beside it, and waits for `go`."""
        for holding in self.holdings:
            if holding.role is Role.PROBE:
                return holding
        return None

    def holding(self, pool_id: str) -> Holding | None:
        """What is held of that Pool, and not being let go, whatever for."""
        for holding in self.holdings:
            if holding.pool_id == pool_id and not holding.stopping:
                return holding
        return None

    def pool(self, pool_id: str) -> Pool | None:
        """The Pool of that id, if the Job has it."""
        for pool in self.pools:
            if pool.id == pool_id:
                return pool
        return None

    def seen(self, pool_id: str) -> Sight:
        """What was last seen of that Pool's capacity."""
        offer = self.offers.get(pool_id)
        return offer.seen if offer is not None else Sight.UNKNOWN

    def lead_s(self, pool_id: str) -> float:
        """Start-up bound of that Pool; 0 where it was never measured (the guard does not count such a Pool)."""
        bounds = self.bounds.get(pool_id)
        return bounds.lead_s if bounds is not None else 0.0
