"""A simulated backend whose requests queue, and that restarts what was taken: SageMaker, Batch and Slurm, without any of them.

Nothing is seen of capacity but by a request. A stop of one that was never granted ends it as NO_CAPACITY. On ticks it is granted at the
first one at which there is capacity, billed from then in whole ticks, and back in the queue at the first one at which there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Sequence

from nightspot.backends.simulated import SimulatedBackend, _Machine, first_tick_utc
from nightspot.market.trace import ALWAYS
from nightspot.model.attempt import Phase
from nightspot.model.capacity import Abilities, Offer, Pool
from nightspot.night.ports import Bill, Ended, EndKind, Handle, LaunchSpec, PhaseSeen, Refused, Report


@dataclass(slots=True)
class _Stint:
    """From the queue to the end, or back into it. `granted_utc` is inf while it waits."""

    queued_utc: float
    granted_utc: float = math.inf


@dataclass(slots=True)
class QueueingBackend(SimulatedBackend):
    """See SimulatedBackend."""

    _stints: dict[str, list[_Stint]] = field(default_factory=dict)

    def abilities(self, pool: Pool, /) -> Abilities:
        """See Backend."""
        return replace(SimulatedBackend.abilities(self, pool), queues=True, restarts_inside=True)

    def offers(self, _pools: Sequence[Pool], _now_utc: float, /) -> Sequence[Offer]:
        """See Backend. Only a request shows what there is."""
        return ()

    def launch(self, spec: LaunchSpec, now_utc: float, /) -> Handle | Refused:
        """See Backend. It is never refused, but where the token was given up."""
        if spec.token in self._never:
            return self._never[spec.token]
        if spec.token not in self._machines:
            machine = _Machine(spec, now_utc, math.inf, math.inf, units_start=spec.units_start)
            machine.news.append(PhaseSeen(now_utc, Phase.QUEUED))
            self._machines[spec.token] = machine
            self._stints[spec.token] = [_Stint(now_utc)]
            self._advance(machine, now_utc)
        return Handle(spec.token, spec.pool.id, spec.token)

    def poll(self, handle: Handle, cursor: int, now_utc: float, /) -> Report:
        """See Backend."""
        machine = self._machines[handle.token]
        self._advance(machine, now_utc)
        end_utc = self.end_utc(machine)
        at_utc = min(now_utc, end_utc)
        units = self._units(machine, at_utc)
        self._save(machine, units, at_utc)
        if now_utc >= end_utc and machine.ended is None:
            machine.ended = self._ended(machine, end_utc)
        return Report(len(machine.news), units, machine.news[cursor:], machine.ended)

    def bill(self, handle: Handle, now_utc: float, /) -> Bill | None:
        """See Backend. The queue costs nothing."""
        machine = self._machines[handle.token]
        self._advance(machine, now_utc)
        end_utc = min(now_utc, self.end_utc(machine))
        stints = self._stints[handle.token]
        ends = [stint.queued_utc for stint in stints[1:]] + [end_utc]
        held = [max(0.0, end - s.granted_utc) for s, end in zip(stints, ends, strict=True) if s.granted_utc < end]
        if self.tick_s > 0:
            held = [math.ceil(one_s / self.tick_s - 1e-9) * self.tick_s for one_s in held]
        held_s = sum(held)
        return Bill(held_s, held_s / 3600.0 * machine.spec.pool.price_usd_per_hour)

    def end_utc(self, machine: _Machine) -> float:
        """When it ends, as things stand: done, stopped, or at its own limit. Being taken is no end."""
        left = machine.spec.job.work.units - machine.units_start
        done_utc = machine.trains_utc + left * machine.spec.job.work.unit_s / machine.spec.pool.speed
        if done_utc >= machine.taken_utc:
            done_utc = math.inf
        return min(done_utc, machine.stop_utc, machine.spec.not_after_utc)

    def next_change_utc(self, now_utc: float) -> float:
        """See SimulatedBackend. Being granted and being taken are among the flips."""
        alive = [m for m in self._machines.values() if m.ended is None]
        times = [c.next_flip(now_utc) for c in self.capacities.values()]
        times += [t for m in alive for t in (self.end_utc(m), m.ready_utc)]
        return min([t for t in times if t > now_utc], default=math.inf)

    def _advance(self, machine: _Machine, now_utc: float) -> None:
        """Granted, taken, granted again: all that has happened by now."""
        stints = self._stints[machine.spec.token]
        while machine.ended is None:
            until_utc = min(now_utc, self.end_utc(machine))
            stint = stints[-1]
            if stint.granted_utc == math.inf and not self._grant(machine, stint, until_utc):
                return
            machine.begin(min(until_utc, machine.taken_utc), len(stints))
            if machine.taken_utc > min(now_utc, self.end_utc(machine)):
                return
            self._take(machine, stints)

    def _grant(self, machine: _Machine, stint: _Stint, until_utc: float) -> bool:
        pool_id = machine.spec.pool.id
        capacity = self.capacities.get(pool_id, ALWAYS)
        at_utc = stint.queued_utc
        if not capacity.up(at_utc):
            at_utc = first_tick_utc(capacity, at_utc, self.tick_s, up=True)
        if at_utc > until_utc:
            return False
        stint.granted_utc = at_utc
        machine.boot(at_utc + self.overheads[pool_id].lead_s, self.handover_s)
        machine.taken_utc = first_tick_utc(capacity, at_utc, self.tick_s, up=False)
        incarnation = len(self._stints[machine.spec.token])
        machine.news.append(PhaseSeen(at_utc, Phase.BOOTING, incarnation, machine.units_start))
        return True

    def _take(self, machine: _Machine, stints: list[_Stint]) -> None:
        """Back into the queue, with what was durable."""
        taken_utc = machine.taken_utc
        self._save(machine, self._units(machine, taken_utc), taken_utc)
        machine.units_start = machine.durable_units
        machine.ready_utc = machine.taken_utc = machine.trains_utc = math.inf
        stints.append(_Stint(taken_utc))
        machine.news.append(PhaseSeen(taken_utc, Phase.QUEUED, len(stints), machine.units_start))

    def _ended(self, machine: _Machine, end_utc: float) -> Ended:
        done = self._units(machine, end_utc) >= machine.spec.job.work.units * (1 - 1e-12)
        if done and machine.trains_utc < math.inf:
            artifact = "simulated" if machine.spec.job.training.artifact is not None else None
            return Ended(EndKind.SUCCEEDED, end_utc, 0, artifact)
        if all(stint.granted_utc == math.inf for stint in self._stints[machine.spec.token]):
            return Ended(EndKind.NO_CAPACITY, end_utc, detail=f"{machine.spec.pool.id} was never granted")
        return Ended(EndKind.STOPPED, end_utc)
