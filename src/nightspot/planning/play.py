"""One night of a backtest: recorded capacity, played through the very `step` that runs tonight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

from nightspot.backends.queueing import QueueingBackend
from nightspot.backends.simulated import Capacity, Overheads, SimulatedBackend, SimulatedBackends, SimulatedClock
from nightspot.model.attempt import RunOutcome
from nightspot.model.capacity import Bounds, Flips, Market, Pool
from nightspot.model.events import RunOpened
from nightspot.model.job import Checkpointing, Job, Limits, PolicyChoice, Training, Work
from nightspot.night.journal import MemoryJournal
from nightspot.night.night import Night, Settings
from nightspot.night.step import play
from nightspot.planning.terms import Terms
from nightspot.policy.base import Policy

ON_DEMAND = "on-demand"
BACKEND = "simulated"
# More launches than any night has ticks: a backtest is not cut short by a limit.
LAUNCHES = 1_000_000


@dataclass(frozen=True, slots=True)
class Stage:
    """What the nights of one Recorded market share: the Job, its bounds, and how the loop paces itself."""

    job: Job
    terms: Terms
    overheads: Mapping[str, Overheads]
    bounds: Mapping[str, Bounds]
    settings: Settings


def stage(names: Sequence[str], flips: Sequence[Flips | None], terms: Terms, policy: str) -> Stage:
    """A Job whose Spot Pools have those names, beside one on-demand Pool that is always there."""
    spot = [
        Pool(name, BACKEND, Market.SPOT, terms.spot_usd_per_hour, flips=known)
        for name, known in zip(names, flips, strict=True)
    ]
    pools = (*spot, Pool(ON_DEMAND, BACKEND, Market.ON_DEMAND, terms.on_demand_usd_per_hour))
    job = Job(
        name="backtest",
        training=Training(("true",)),
        work=Work(terms.work_s, "second", 1.0),
        pools=pools,
        policy=PolicyChoice(policy),
        checkpoint=Checkpointing(interval_s=0.0, redo_s=terms.redo_s),
        limits=Limits(attempts=LAUNCHES),
        second_request=terms.second_request,
        handover=terms.handover_s is not None,
    )
    return Stage(
        job,
        terms,
        {pool.id: Overheads(terms.overhead_s, redo_s=terms.redo_s) for pool in pools},
        {pool.id: Bounds(terms.overhead_s) for pool in pools},
        Settings(reaction_s=terms.tick_s, sweep_s=terms.window_s, retry_s=0.0),
    )


@dataclass(frozen=True, slots=True)
class Played:
    """What a night cost, and whether it was late, or had no model at all."""

    cost_usd: float
    late: bool


def play_night(stage: Stage, capacities: Mapping[str, Capacity], start_utc: float, policy: Policy) -> Played:
    """Play one night with that policy, which brings its guard, if it has one."""
    terms = stage.terms
    kind = QueueingBackend if terms.request_only else SimulatedBackend
    beside = terms.second_request or terms.handover_s is not None
    backend = kind(capacities, stage.overheads, terms.tick_s, beside, terms.handover_s or 0.0)
    clock = SimulatedClock(backend, start_utc, terms.tick_s, start_utc)
    deadline_utc = start_utc + terms.window_s
    opened = RunOpened(start_utc, "night", "n", stage.job, start_utc, deadline_utc, start_utc, stage.bounds)
    night = Night.begin(MemoryJournal(lambda: 0.0), opened, stage.settings)
    outcome = play(night, SimulatedBackends(backend), policy, clock)
    return Played(night.state.spent_usd, night.state.late or outcome is not RunOutcome.COMPLETED)
