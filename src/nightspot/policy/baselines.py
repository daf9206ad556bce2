"""The policies people know, each a frozen dataclass with one method. The guard stands around every one of them."""

from __future__ import annotations

from dataclasses import dataclass

from nightspot.model.capacity import Pool
from nightspot.model.decision import FOREVER_UTC, Decision, Observation
from nightspot.policy.base import (
    hold,
    keep,
    on_demand_choice,
    on_on_demand,
    on_spot,
    only_asked,
    queue_until_utc,
    spot_choice,
)


@dataclass(frozen=True, slots=True)
class OnDemand:
    """On-demand from the first minute to the last."""

    def decide(self, observation: Observation, /) -> Decision:
        """Always the same."""
        return hold(on_demand_choice(observation), "on-demand throughout")


@dataclass(frozen=True, slots=True)
class SpotOnly:
    """Spot or nothing. Unguarded it is what teams fear, and late; guarded it is greedy that never goes back."""

    def decide(self, observation: Observation, /) -> Decision:
        """Spot where there is any; back to Spot never, once on on-demand."""
        if on_on_demand(observation):
            return keep(observation, "on-demand was needed; it stays")
        return _spot_or_nothing(observation)


@dataclass(frozen=True, slots=True)
class Greedy:
    """Spot whenever there is any, nothing otherwise, on-demand at the last moment (the guard's)."""

    def decide(self, observation: Observation, /) -> Decision:
        """Spot or nothing, from on-demand too."""
        return _spot_or_nothing(observation)


@dataclass(frozen=True, slots=True)
class TimedFallback:
    """The classic: wait up to `wait_s` in total for Spot, then on-demand for the rest."""

    wait_s: float = 3600.0

    def decide(self, observation: Observation, /) -> Decision:
        """Spot while it lasts; waiting is counted over the whole window."""
        if on_on_demand(observation):
            return keep(observation, "the waiting is over: on-demand for the rest")
        spot = spot_choice(observation)
        left_s = self.wait_s - observation.waited_s
        if spot is not None and (on_spot(observation) or left_s > 0):
            return _spot(observation, spot, observation.now_utc + left_s)
        if left_s > 0:
            return hold(None, "waiting for Spot", observation.now_utc + left_s)
        return hold(on_demand_choice(observation), f"waited {self.wait_s / 60:.0f} min in all for Spot")


@dataclass(frozen=True, slots=True)
class Reserve:
    """Greedy with a return ticket, in closed form (see docs/how-it-works.md for the derivation and a worked example).

    With L the time left, w the work left, d the on-demand start-up, g the reaction: without Spot wait while
    L - w >= d * (k0 + k1 * hours of w), else on-demand; from on-demand back to Spot iff L - w >= 2d + g and what stopping takes, twice.
    """

    k0: float | None = None
    k1: float | None = None

    def decide(self, observation: Observation, /) -> Decision:
        """Spot where it can be afforded, waiting while the reserve lasts, else on-demand."""
        on_demand = on_demand_choice(observation)
        d_s = observation.lead_s(on_demand.id) if on_demand is not None else 0.0
        spot = spot_choice(observation)
        if on_on_demand(observation):
            return self._back(observation, spot, d_s)
        if spot is not None and not only_asked(observation, spot):
            return hold(spot, "Spot is there")
        return self._wait(observation, on_demand, spot, d_s)

    def _back(self, observation: Observation, spot: Pool | None, d_s: float) -> Decision:
        spare_s = observation.left_s - observation.work.left_s
        if spot is not None and spare_s >= 2 * d_s + observation.reaction_s + self._stops_s(observation, spot):
            return hold(spot, "Spot is back, and slack pays the way there and back")
        return keep(observation, "on-demand goes on: no Spot that slack could pay for")

    def _stops_s(self, observation: Observation, spot: Pool) -> float:
        """To be rid of on-demand now, and of Spot when its time is up."""
        ids = [h.pool_id for h in observation.holdings] + [spot.id]
        return sum([observation.bounds[i].stop_s for i in ids if i in observation.bounds])

    def _wait(self, observation: Observation, on_demand: Pool | None, spot: Pool | None, d_s: float) -> Decision:
        k0, k1 = self.factors(d_s)
        work_h = observation.work.left_s / 3600.0
        spare_s = observation.left_s - observation.work.left_s - d_s * (k0 + k1 * work_h)
        until_utc = observation.now_utc + spare_s + 1e-3
        if spare_s >= 0 and spot is not None:
            return hold(spot, "Spot is asked for, within the reserve", queue_until_utc(observation, spot, until_utc))
        if spare_s >= 0:
            return hold(None, "waiting for Spot within the reserve", until_utc)
        return hold(on_demand, "the reserve for waiting is used up")

    def factors(self, d_s: float) -> tuple[float, float]:
        """(k0, k1): (3, 2) at 3 minutes of start-up, (1.5, 0.5) at 15, in between by proportion; as set, where set."""
        share = min(max((d_s - 180.0) / 720.0, 0.0), 1.0)
        k0 = 3.0 - 1.5 * share if self.k0 is None else self.k0
        k1 = 2.0 - 1.5 * share if self.k1 is None else self.k1
        return k0, k1


@dataclass(frozen=True, slots=True)
class UniformProgress:
    """Keep to the straight line from nothing at the window's start to all at the deadline ("Can't Be Late", NSDI '24).

    Behind the line and no Spot: on-demand, until two start-ups ahead of it. Ahead: wait. Spot is taken whenever it is there.
    """

    def decide(self, observation: Observation, /) -> Decision:
        """Compare work done with the line."""
        spot = spot_choice(observation)
        if spot is not None and not only_asked(observation, spot):
            return hold(spot, "Spot is there")
        ahead_s = self._ahead_s(observation)
        on_demand = on_demand_choice(observation)
        d_s = observation.lead_s(on_demand.id) if on_demand is not None else 0.0
        if on_on_demand(observation) and ahead_s < 2 * d_s:
            until_utc = self._is_ahead_utc(observation, ahead_s, 2 * d_s)
            return hold(on_demand, "behind the line, or not two start-ups ahead of it", until_utc)
        if ahead_s < 0:
            until_utc = self._is_ahead_utc(observation, ahead_s, 2 * d_s)
            return hold(on_demand, "behind the line of uniform progress", until_utc)
        meets_utc = self._meets_line_utc(observation, ahead_s)
        if spot is not None:
            return hold(spot, "ahead of the line: Spot is asked for", queue_until_utc(observation, spot, meets_utc))
        return hold(None, "ahead of the line: waiting for Spot", meets_utc)

    def _ahead_s(self, observation: Observation) -> float:
        """Seconds of work done beyond the line."""
        done_s = observation.work.total_s - observation.work.left_s + observation.work.undurable_s
        return done_s - observation.work.total_s * self._share(observation)

    def _share(self, observation: Observation) -> float:
        window_s = observation.deadline_utc - observation.tail_s - observation.start_utc
        return (observation.now_utc - observation.start_utc) / window_s if window_s > 0 else 1.0

    def _meets_line_utc(self, observation: Observation, ahead_s: float) -> float:
        window_s = observation.deadline_utc - observation.tail_s - observation.start_utc
        if observation.work.total_s <= 0:
            return FOREVER_UTC
        return observation.now_utc + ahead_s * window_s / observation.work.total_s + 1e-3

    def _is_ahead_utc(self, observation: Observation, ahead_s: float, by_s: float) -> float:
        """When it is so far ahead of the line at the earliest, training all the time; not before a minute has passed."""
        soon_utc = observation.now_utc + max(60.0, observation.reaction_s)
        window_s = observation.deadline_utc - observation.tail_s - observation.start_utc
        held = observation.held
        pool = observation.pool(held.pool_id) if held is not None else None
        gains = (pool.speed if pool is not None else 1.0) - observation.work.total_s / window_s if window_s > 0 else 0.0
        if held is None or gains <= 0:
            return soon_utc
        return max(soon_utc, observation.now_utc + held.pending_s + (by_s - ahead_s) / gains - 1e-3)


def _spot_or_nothing(observation: Observation) -> Decision:
    spot = spot_choice(observation)
    return _spot(observation, spot) if spot is not None else hold(None, "no Spot: waiting for it")


def _spot(observation: Observation, spot: Pool, until_utc: float = FOREVER_UTC) -> Decision:
    """That Spot Pool: held, or waited for in its queue until then."""
    if not only_asked(observation, spot):
        return hold(spot, "Spot is there")
    return hold(spot, "Spot is asked for", queue_until_utc(observation, spot, until_utc))
