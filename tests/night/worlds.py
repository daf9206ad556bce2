"""Small simulated worlds for the tests: a Job, capacities, and the night played through the very `step` that runs tonight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from nightspot.backends.simulated import Capacity, Overheads, SimulatedBackend, SimulatedBackends, SimulatedClock
from nightspot.market.trace import Trace
from nightspot.model.attempt import RunOutcome
from nightspot.model.capacity import Bounds, Market, Pool
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

    def job(self) -> Job:
        return Job(
            name="night",
            training=Training(("true",)),
            work=Work(self.work_s / 60.0, "minute", 60.0),
            pools=self.pools,
            policy=PolicyChoice("greedy"),
            checkpoint=Checkpointing(interval_s=self.save_every_s),
            limits=Limits(attempts=10_000),
        )

    def play(self, policy: Policy) -> RunState:
        return self.night(policy)[0].state

    def night(self, policy: Policy) -> tuple[Night, SimulatedBackend]:
        true_lead_s = self.lead_s if self.true_lead_s is None else self.true_lead_s
        overheads = {p.id: Overheads(true_lead_s, self.stop_s, self.save_every_s) for p in self.pools}
        backend = SimulatedBackend(self.capacities, overheads, self.tick_s)
        clock = SimulatedClock(backend, 0.0, self.tick_s)
        bounds = {p.id: Bounds(self.lead_s, self.stop_s) for p in self.pools}
        opened = RunOpened(0.0, "night-1", "n", self.job(), 0.0, self.window_s, 0.0, bounds)
        settings = Settings(self.reaction_s, sweep_s=600.0, retry_s=60.0)
        night = Night.begin(MemoryJournal(lambda: 0.0), opened, settings)
        assert isinstance(play(night, SimulatedBackends(backend), policy, clock), RunOutcome)
        return night, backend


def guarded(policy: Policy) -> Guarded:
    return Guarded(policy)


def trace(*flips_h: float, first_up: bool = True) -> Trace:
    return Trace.from_flips([h * HOUR for h in flips_h], first_up=first_up)
