"""Small simulated worlds for the tests: a Job, capacities, and the night played through the very `step` that runs tonight."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Mapping, Sequence

from nightspot.backends.queueing import QueueingBackend
from nightspot.backends.simulated import Capacity, Overheads, SimulatedBackend, SimulatedBackends, SimulatedClock
from nightspot.market.trace import Trace
from nightspot.model.attempt import RunOutcome
from nightspot.model.capacity import Bounds, Market, Offer, Pool
from nightspot.model.events import RunOpened
from nightspot.model.job import Checkpointing, Job, Limits, PolicyChoice, Training, Work
from nightspot.model.state import RunState
from nightspot.night.journal import MemoryJournal
from nightspot.night.night import Night, Settings
from nightspot.night.step import play
from nightspot.policy.base import Policy
from nightspot.policy.guard import Guarded

HOUR = 3600.0


def spot(pool_id: str = "spot", price: float = 0.3, **kwargs: object) -> Pool:
    return Pool(pool_id, "simulated", Market.SPOT, price, **kwargs)  # type: ignore[arg-type]


def on_demand(pool_id: str = "on-demand", price: float = 1.0, **kwargs: object) -> Pool:
    return Pool(pool_id, "simulated", Market.ON_DEMAND, price, **kwargs)  # type: ignore[arg-type]


class Blind(SimulatedBackend):
    """Says nothing of on-demand capacity: that there is none is known when a launch is refused."""

    def offers(self, pools: Sequence[Pool], now_utc: float, /) -> Sequence[Offer]:
        return super().offers([p for p in pools if p.market is Market.SPOT], now_utc)


@dataclass(slots=True)
class LazyClock(SimulatedClock):
    """Comes back late from every sleep, by any time up to `lazy_s`: what `reaction_s` promises, and no better."""

    lazy_s: float = 0.0
    rng: random.Random = field(default_factory=random.Random)

    def sleep_until(self, at_utc: float, /) -> None:
        SimulatedClock.sleep_until(self, at_utc)
        self.utc += self.rng.uniform(0.0, self.lazy_s)


@dataclass(frozen=True)
class World:
    """A night of `work_s` in `window_s`, overheads the same for bounds and truth unless said otherwise."""

    capacities: Mapping[str, Capacity]
    pools: tuple[Pool, ...] = (spot(), on_demand())
    work_s: float = 4 * HOUR
    window_s: float = 8 * HOUR
    lead_s: float = 180.0
    stop_s: float = 0.0
    save_every_s: float = 0.0
    reaction_s: float = 0.0
    tick_s: float = 0.0
    true_lead_s: float | None = None
    tail_s: float = 0.0
    guard_pools: int = 1
    blind: bool = False
    refusal_s: float = 0.0
    lazy_seed: int | None = None
    queues: bool = False
    redo_s: float = 0.0
    beside: bool = False
    handover_s: float = 0.0
    second_request: bool = False
    handover: bool = False

    def job(self) -> Job:
        return Job(
            name="night",
            training=Training(("true",)),
            work=Work(self.work_s / 60.0, "minute", 60.0),
            pools=self.pools,
            policy=PolicyChoice("greedy"),
            checkpoint=Checkpointing(interval_s=self.save_every_s, redo_s=self.redo_s),
            limits=Limits(attempts=10_000),
            tail_s=self.tail_s,
            guard_pools=self.guard_pools,
            second_request=self.second_request,
            handover=self.handover,
        )

    def play(self, policy: Policy) -> RunState:
        return self.night(policy)[0].state

    def night(self, policy: Policy) -> tuple[Night, SimulatedBackend]:
        true_lead_s = self.lead_s if self.true_lead_s is None else self.true_lead_s
        takes = Overheads(true_lead_s, self.stop_s, self.save_every_s, self.refusal_s, self.redo_s)
        overheads = {p.id: takes for p in self.pools}
        kind = QueueingBackend if self.queues else Blind if self.blind else SimulatedBackend
        backend: SimulatedBackend = kind(self.capacities, overheads, self.tick_s, self.beside, self.handover_s)
        clock = SimulatedClock(backend, 0.0, self.tick_s)
        if self.lazy_seed is not None:
            clock = LazyClock(backend, 0.0, lazy_s=self.reaction_s, rng=random.Random(self.lazy_seed))
        look_s = self.reaction_s if self.lazy_seed is not None else 0.0  # a stop is confirmed when it is seen to be one
        bounds = {p.id: Bounds(self.lead_s, self.stop_s + look_s, self.refusal_s + look_s) for p in self.pools}
        opened = RunOpened(0.0, "night-1", "n", self.job(), 0.0, self.window_s, 0.0, bounds)
        settings = Settings(self.reaction_s, sweep_s=600.0, retry_s=60.0)
        night = Night.begin(MemoryJournal(lambda: 0.0), opened, settings)
        assert isinstance(play(night, SimulatedBackends(backend), policy, clock), RunOutcome)
        return night, backend


def guarded(policy: Policy) -> Guarded:
    return Guarded(policy)


def trace(*flips_h: float, first_up: bool = True) -> Trace:
    return Trace.from_flips([h * HOUR for h in flips_h], first_up=first_up)
