"""The simulated backend and its clock: the same port as every other, no processes, seeded Traces, time that jumps.

Public: planning/ and the tests are built on it. `step` cannot tell it from a real one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, Protocol, Sequence

from nightspot.model.attempt import Phase, Role
from nightspot.model.capacity import Abilities, Market, Offer, Pool, Sight
from nightspot.model.events import RefusalReason
from nightspot.model.job import Job
from nightspot.night.ports import (
    Bill,
    Ended,
    EndKind,
    Finding,
    Handle,
    LaunchSpec,
    News,
    PhaseSeen,
    Quote,
    Refused,
    Report,
    SavedCheckpoint,
)


class Capacity(Protocol):
    """When a Pool has capacity: a market.trace.Trace, or anything like it."""

    def up(self, at_utc: float, /) -> bool:
        """Whether there is capacity at that time."""
        ...

    def since(self, at_utc: float, /) -> float:
        """Since when it has been as it is at that time."""
        ...

    def next_flip(self, at_utc: float, /) -> float:
        """When that changes; inf for never."""
        ...


@dataclass(frozen=True, slots=True)
class Overheads:
    """What a simulated Pool really takes.

    `save_every_s` 0: work is durable as it is done, or `redo_s` of work later; what is asked for is durable at once. `refusal_s` 0: without
    capacity a launch is refused at once, else it ends by then.
    """

    lead_s: float = 0.0
    stop_s: float = 0.0
    save_every_s: float = 0.0
    refusal_s: float = 0.0
    redo_s: float = 0.0


@dataclass(slots=True)
class _Machine:
    """`ready_utc`: it could train. `trains_utc`: it does; a PROBE never before it was told `go`, at `gone_utc`. inf: not known yet."""

    spec: LaunchSpec
    start_utc: float
    ready_utc: float
    taken_utc: float
    stop_utc: float = math.inf
    refused_utc: float = math.inf
    gone_utc: float = math.inf
    trains_utc: float = math.inf
    units_start: float = 0.0
    durable_units: float = 0.0
    news: list[News] = field(default_factory=list)
    told: Phase | None = None
    ended: Ended | None = None

    def __post_init__(self) -> None:
        self.durable_units = self.units_start
        if self.spec.role is Role.TRAIN:
            self.gone_utc = -math.inf

    def boot(self, ready_utc: float, handover_s: float) -> None:
        """It will be ready then; it trains then, or when it has been told to."""
        self.ready_utc = ready_utc
        self.trains_utc = max(ready_utc, self.gone_utc + handover_s)
        self.told = None

    def begin(self, until_utc: float, incarnation: int = 1) -> None:
        """What it has come to by then, as news: ready, where it had to wait; training."""
        waits = self.told is None and self.ready_utc < self.trains_utc
        if waits and self.ready_utc <= until_utc:
            self.told = Phase.READY
            self.news.append(PhaseSeen(self.ready_utc, Phase.READY, incarnation, self.units_start))
        if self.told is not Phase.TRAINING and self.trains_utc <= until_utc:
            self.told = Phase.TRAINING
            self.news.append(PhaseSeen(self.trains_utc, Phase.TRAINING, incarnation, self.units_start))


def first_tick_utc(capacity: Capacity, since_utc: float, tick_s: float, *, up: bool) -> float:
    """The first of the ticks that begin at `since_utc`, from the next flip on, at which capacity is so; the flip itself without ticks."""
    flip_utc = capacity.next_flip(since_utc)
    while tick_s > 0 and flip_utc < math.inf:
        tick_utc = max(flip_utc, since_utc + math.ceil((flip_utc - since_utc) / tick_s - 1e-9) * tick_s)
        if capacity.up(tick_utc) is up:
            return tick_utc
        flip_utc = capacity.next_flip(tick_utc)
    return flip_utc


@dataclass(slots=True)
class SimulatedBackend:
    """Plays Pools from capacities. `tick_s` > 0 charges whole ticks, and assures capacity until the next tick.

    `beside`: a PROBE may be held, too, and trains `handover_s` after its `go`, if it is ready by then.
    """

    capacities: Mapping[str, Capacity]
    overheads: Mapping[str, Overheads]
    tick_s: float = 0.0
    beside: bool = False
    handover_s: float = 0.0
    _machines: dict[str, _Machine] = field(default_factory=dict)
    _never: dict[str, Refused] = field(default_factory=dict)

    def abilities(self, _pool: Pool, /) -> Abilities:
        """See Backend."""
        can = self.beside
        return Abilities(assured_s=self.tick_s, beside=can, handover=can, handover_s=self.handover_s)

    def offers(self, pools: Sequence[Pool], now_utc: float, /) -> Sequence[Offer]:
        """See Backend. Every Pool with a capacity is seen."""
        offers = []
        for pool in pools:
            capacity = self.capacities.get(pool.id)
            if capacity is not None:
                seen = Sight.UP if capacity.up(now_utc) else Sight.DOWN
                offers.append(Offer(pool.id, seen, capacity.since(now_utc)))
        return offers

    def launch(self, spec: LaunchSpec, now_utc: float, /) -> Handle | Refused:
        """See Backend. Without capacity it is refused at once."""
        if spec.token in self._never:
            return self._never[spec.token]
        if spec.token not in self._machines:
            capacity, overheads = self.capacities.get(spec.pool.id), self.overheads[spec.pool.id]
            up = capacity is None or capacity.up(now_utc)
            if not up and overheads.refusal_s <= 0.0:
                return self._refuse(spec.token, RefusalReason.NO_CAPACITY, f"{spec.pool.id} has no capacity")
            taken_utc = math.inf
            if capacity is not None and up:
                taken_utc = first_tick_utc(capacity, now_utc, self.tick_s, up=False)
            machine = _Machine(spec, now_utc, math.inf, taken_utc, units_start=spec.units_start)
            if up:
                machine.boot(now_utc + overheads.lead_s, self.handover_s)
            else:
                machine.refused_utc = now_utc + overheads.refusal_s
            if spec.role is Role.PROBE and up:
                machine.news.append(PhaseSeen(now_utc, Phase.BOOTING, 1, spec.units_start))
            self._machines[spec.token] = machine
        return Handle(spec.token, spec.pool.id, spec.token)

    def find(self, token: str, /) -> Handle | None:
        """See Backend. What is not found will never start."""
        machine = self._machines.get(token)
        if machine is not None:
            return Handle(token, machine.spec.pool.id, token)
        self._refuse(token, RefusalReason.ABSENT, "it had not begun when it was looked for")
        return None

    def _refuse(self, token: str, reason: RefusalReason, message: str) -> Refused:
        return self._never.setdefault(token, Refused(reason, message))

    def live(self, run_id: str, /) -> Sequence[Handle]:
        """See Backend."""
        return [
            Handle(token, m.spec.pool.id, token)
            for token, m in self._machines.items()
            if m.ended is None and m.spec.run_id == run_id
        ]

    def poll(self, handle: Handle, cursor: int, now_utc: float, /) -> Report:
        """See Backend."""
        machine = self._machines[handle.token]
        end_utc = self.end_utc(machine)
        at_utc = min(now_utc, end_utc)
        machine.begin(at_utc)
        units = self._units(machine, at_utc)
        self._save(machine, units, at_utc)
        if now_utc >= end_utc and machine.ended is None:
            machine.ended = self._ended(machine, end_utc)
        return Report(len(machine.news), units, machine.news[cursor:], machine.ended)

    def tell(self, handle: Handle, word: str, now_utc: float, /) -> None:
        """See Backend. A stop takes the Pool's `stop_s`; a Checkpoint asked for is durable at once."""
        machine = self._machines[handle.token]
        if word == "stop":
            machine.stop_utc = min(machine.stop_utc, now_utc + self.overheads[handle.pool_id].stop_s)
        elif word == "checkpoint":
            at_utc = min(now_utc, self.end_utc(machine))
            self._keep(machine, self._units(machine, at_utc), at_utc)
        elif word == "go" and machine.gone_utc == math.inf and now_utc < self.end_utc(machine):
            self._go(machine, now_utc)

    def _go(self, machine: _Machine, now_utc: float) -> None:
        """From what any Attempt of the Run has made durable."""
        run_id = machine.spec.run_id
        machine.units_start = max([m.durable_units for m in self._machines.values() if m.spec.run_id == run_id])
        machine.durable_units, machine.gone_utc = machine.units_start, now_utc
        machine.trains_utc = max(machine.ready_utc, now_utc + self.handover_s)

    def bill(self, handle: Handle, now_utc: float, /) -> Bill | None:
        """See Backend."""
        machine = self._machines[handle.token]
        held_s = max(0.0, min(now_utc, self.end_utc(machine)) - machine.start_utc)
        if machine.refused_utc < math.inf:
            held_s = 0.0
        if self.tick_s > 0:
            held_s = math.ceil(held_s / self.tick_s - 1e-9) * self.tick_s
        return Bill(held_s, held_s / 3600.0 * machine.spec.pool.price_usd_per_hour)

    def fetch_output(self, _handle: Handle, _to: Path, /) -> None:
        """See Backend. Nothing is printed."""

    def check(self, _job: Job, /) -> Sequence[Finding]:
        """See Backend. Nothing can be wrong with what is not there."""
        return ()

    def quote(self, _pool: Pool, _job: Job, /) -> Quote | None:
        """See Backend. Only the job file knows."""
        return None

    def next_change_utc(self, now_utc: float) -> float:
        """When something may happen that the loop would see: a flip, or the end of an Attempt."""
        times = [c.next_flip(now_utc) for c in self.capacities.values()]
        alive = [m for m in self._machines.values() if m.ended is None]
        times += [self.end_utc(m) for m in alive]
        times += [m.ready_utc for m in alive if m.spec.role is Role.PROBE]
        return min([t for t in times if t > now_utc], default=math.inf)

    def end_utc(self, machine: _Machine) -> float:
        """When it ends, as things stand: done, taken, stopped, or at its own limit."""
        left = machine.spec.job.work.units - machine.units_start
        done_utc = machine.trains_utc + left * machine.spec.job.work.unit_s / machine.spec.pool.speed
        return min(done_utc, machine.taken_utc, machine.stop_utc, machine.refused_utc, machine.spec.not_after_utc)

    def _units(self, machine: _Machine, at_utc: float) -> float:
        trained_s = max(0.0, at_utc - machine.trains_utc) * machine.spec.pool.speed
        work = machine.spec.job.work
        return min(work.units, machine.units_start + trained_s / work.unit_s)

    def _save(self, machine: _Machine, units: float, at_utc: float) -> None:
        """What is durable by now: all of it, what the last whole interval saved, or what was done `redo_s` of work ago."""
        overheads, work = self.overheads[machine.spec.pool.id], machine.spec.job.work
        every_s, durable, saved_utc = overheads.save_every_s, units, at_utc
        if units < work.units and machine.told is Phase.TRAINING:
            if every_s > 0:
                intervals = math.floor(max(0.0, at_utc - machine.trains_utc) / every_s)
                saved_utc = machine.trains_utc + intervals * every_s
            elif overheads.redo_s > 0:
                saved_utc = at_utc - overheads.redo_s / machine.spec.pool.speed
            durable = self._units(machine, saved_utc) if saved_utc < at_utc else units
        self._keep(machine, durable, saved_utc)

    def _keep(self, machine: _Machine, durable: float, saved_utc: float) -> None:
        if durable > machine.durable_units and machine.told is Phase.TRAINING:
            machine.durable_units = durable
            machine.news.append(SavedCheckpoint(saved_utc, durable))

    def _ended(self, machine: _Machine, end_utc: float) -> Ended:
        if self._units(machine, end_utc) >= machine.spec.job.work.units * (1 - 1e-12):
            artifact = "simulated" if machine.spec.job.training.artifact is not None else None
            return Ended(EndKind.SUCCEEDED, end_utc, 0, artifact)
        if end_utc >= machine.refused_utc:
            return Ended(EndKind.NO_CAPACITY, end_utc, detail=f"{machine.spec.pool.id} has no capacity")
        if end_utc >= machine.taken_utc:
            return Ended(EndKind.TAKEN, end_utc)
        return Ended(EndKind.STOPPED, end_utc)


@dataclass(slots=True)
class SimulatedBackends:
    """One simulated backend under every name a Pool may give."""

    backend: SimulatedBackend

    def __getitem__(self, _name: str, /) -> SimulatedBackend:
        return self.backend


@dataclass(slots=True)
class SimulatedClock:
    """Market time that jumps to the next wake or change. With `tick_s`, it stops only at whole ticks after `origin_utc`."""

    backend: SimulatedBackend
    utc: float
    tick_s: float = 0.0
    origin_utc: float = 0.0

    def now_utc(self) -> float:
        """See Clock."""
        return self.utc

    def sleep_until(self, at_utc: float, /) -> None:
        """See Clock. Never goes back, and always forward."""
        at_utc = min(at_utc, self.backend.next_change_utc(self.utc))
        if self.tick_s > 0:
            ticks = math.ceil((at_utc - self.origin_utc) / self.tick_s - 1e-9)
            at_utc = self.origin_utc + ticks * self.tick_s
            at_utc = max(at_utc, self.utc + self.tick_s)
        self.utc = max(at_utc, self.utc)


def spot_capacities(job: Job, capacities: Mapping[str, Capacity]) -> Mapping[str, Capacity]:
    """The capacities of that Job's Spot Pools; on-demand without one is always there."""
    return {p.id: capacities[p.id] for p in job.pools if p.market is Market.SPOT or p.id in capacities}
