"""The guard: never late by choice. It stands outside every policy, and no policy can talk it out of anything.

    escape_s = stop_s(held) + refusal_s of the first k-1 on-demand pools, in file order
             + max over the first k of them of lead_s + left_s / speed
    a holding is allowed iff, in its worst case until the next wake, deadline - tail - now - reaction_s >= escape_s

`left_s` counts durable work only, so what an interruption now would lose is in it; notice is never counted on, a Pool without bounds
does not count. On ticks this is the exact net of "Can't Be Late" (NSDI '24) with the decision interval as reaction: holding nothing iff
L - g >= w + d; Spot iff what it does within the interval keeps that true. A PROBE is no progress: it may be held beside what trains while
a move to its Pool is allowed, and no longer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nightspot.model.attempt import Phase, Role
from nightspot.model.capacity import Bounds, Market, Pool, Sight
from nightspot.model.change import changed
from nightspot.model.decision import FOREVER_UTC, Decision, Observation, Want
from nightspot.policy.base import Policy, hold, keep, only_asked, spot_choice

# Sums of seconds since the epoch are exact to a fraction of this; a decision never hangs on less.
EPSILON_S = 1e-3
# Nobody reacts in no time: the wake at the trip itself comes a little after it.
REACTION_MIN_S = 10 * EPSILON_S
NO_BOUNDS = Bounds(0.0)
# When a policy whose decision is over at once is asked again.
AGAIN_S = 1.0


def counted(observation: Observation) -> tuple[Pool, ...]:
    """On-demand Pools the guard may plan with, in file order: bounds known, capacity not seen to be out.

    With capacity out everywhere, all of them: there is nothing better to plan with.
    """
    known = tuple([p for p in observation.pools if p.market is Market.ON_DEMAND and p.id in observation.bounds])
    there = tuple([p for p in known if observation.seen(p.id) is not Sight.DOWN])
    return there or known


def planned_with(observation: Observation) -> tuple[Pool, ...]:
    """The Pools that the way out may lead to: the first `guard_pools` in file order, and the first of those not seen to be out.

    One seen to be out is not left out: it may be back, be asked, and refuse, when the time comes.
    """
    known = tuple([p for p in observation.pools if p.market is Market.ON_DEMAND and p.id in observation.bounds])
    first = known[: observation.guard_pools]
    if len(first) == len(known):
        return first
    return first + tuple([p for p in counted(observation)[: observation.guard_pools] if p not in first])


def finish_s(observation: Observation, pool: Pool, left_s: float | None = None) -> float:
    """From asking that Pool to the end of the work, by its bounds."""
    left = observation.work.left_s if left_s is None else left_s
    return observation.lead_s(pool.id) + left / pool.speed


def escape_s(observation: Observation, target: Pool | None, left_s: float | None = None) -> float:
    """From now to the end of the work when capacity goes, or is let go, and on-demand must do the rest. inf without on-demand."""
    pools = planned_with(observation)
    if not pools:
        return math.inf
    refusals_s = sum([refused_after_s(observation, p) for p in pools[: observation.guard_pools - 1]])
    longest_s = max([finish_s(observation, p, left_s) for p in pools])
    return _stop_s(observation, target) + refusals_s + longest_s


def refused_after_s(observation: Observation, pool: Pool) -> float:
    """From asking that Pool until it is known to refuse, and rid of.

    A request in a queue has refused once it is overdue and the loop has come to see that; it must then be stopped.
    """
    bounds = observation.bounds.get(pool.id, NO_BOUNDS)
    if not observation.abilities[pool.id].queues:
        return bounds.refusal_s
    return max(bounds.refusal_s, bounds.lead_s) + observation.reaction_s + bounds.stop_s


def _stop_s(observation: Observation, target: Pool | None) -> float:
    """To be rid of what is held, a PROBE too, or of what would be held instead: they are stopped at once, and all awaited."""
    ids = [holding.pool_id for holding in observation.holdings]
    ids += [target.id] if target is not None else []
    return max([observation.bounds[id_].stop_s for id_ in ids if id_ in observation.bounds], default=0.0)


def slack_s(observation: Observation) -> float:
    """Deadline - now - time to finish from here on on-demand. An on-demand Attempt that trains need not start again."""
    held = observation.held
    if held is not None and held.market is Market.ON_DEMAND and not held.stopping:
        pool = observation.pool(held.pool_id)
        speed = pool.speed if pool is not None else 1.0
        return observation.left_s - held.pending_s - observation.work.left_s / speed
    return observation.left_s - escape_s(observation, None)


def latest_utc(observation: Observation, target: Pool | None) -> float:
    """The last instant at which holding `target` (None: nothing) is allowed: the trip. Before now, if it is not."""
    reaction_s = max(observation.reaction_s, REACTION_MIN_S)
    left_s = observation.work.left_s - _moved_s(observation, target)
    without_s = observation.left_s - reaction_s - escape_s(observation, target, left_s)
    latest = observation.now_utc + without_s
    gain_s = _assured_gain_s(observation, target)
    if target is None or gain_s <= 0.0:
        return latest
    if gain_s >= left_s:
        return FOREVER_UTC
    with_gain_s = observation.left_s - reaction_s - escape_s(observation, target, left_s - gain_s)
    if with_gain_s < -EPSILON_S:
        return latest
    # Capacity as fast as the guard's keeps slack constant; slower capacity is looked at again at the next wake.
    constant = all(target.speed >= p.speed for p in counted(observation)[: observation.guard_pools])
    return FOREVER_UTC if constant else max(latest, observation.now_utc)


def _moved_s(observation: Observation, target: Pool | None) -> float:
    """Work that is not durable yet, and will be before what is held is let go for `target`: on ticks, where a Checkpoint takes no time."""
    held = observation.held
    if held is None or not observation.work.continuous or (target is not None and held.pool_id == target.id):
        return 0.0
    return observation.work.undurable_s if observation.abilities[held.pool_id].assured_s > 0.0 else 0.0


def _assured_gain_s(observation: Observation, target: Pool | None) -> float:
    """Work that is certain to be durable at the next wake and is not yet: 0 outside a backtest on ticks; inf where all is done by then."""
    if target is None or not observation.work.continuous:
        return 0.0
    assured_s = min(observation.reaction_s, observation.abilities[target.id].assured_s)
    if assured_s <= 0.0 or not _there(observation, target):
        return 0.0
    done_s = (assured_s - _start_s(observation, target)) * target.speed
    held, work = observation.held, observation.work
    stays = held is not None and held.pool_id == target.id and not held.stopping
    ahead_s = work.undurable_s if stays else 0.0
    if done_s >= work.left_s - ahead_s - _moved_s(observation, target):
        return math.inf
    return done_s + ahead_s - work.redo_s


def _there(observation: Observation, target: Pool) -> bool:
    """Whether there is capacity now: it is seen, or had."""
    held = observation.holding(target.id)
    had = held is not None and held.phase in (Phase.BOOTING, Phase.READY, Phase.TRAINING)
    return had or observation.seen(target.id) is Sight.UP


def _start_s(observation: Observation, target: Pool) -> float:
    """Start-up still to come there. A PROBE has yet to be told `go`."""
    held = observation.holding(target.id)
    if held is None:
        return observation.lead_s(target.id)
    handover_s = observation.abilities[target.id].handover_s if held.role is Role.PROBE else 0.0
    return max(held.pending_s, handover_s)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A policy with the guard around it."""

    policy: Policy

    def decide(self, observation: Observation, /) -> Decision:
        """The policy's wish where it can be allowed, and until when; else the way out."""
        last = _nothing_to_launch(observation)
        if last is not None:
            return last
        wish = _beside(observation, self._wish(observation))
        pool_id = wish.train_pool_id
        target = observation.pool(pool_id) if pool_id is not None else None
        if target is not None and target.market is Market.ON_DEMAND:
            return _on_demand(observation, wish, target)
        latest = latest_utc(observation, target)
        allowed = observation.now_utc <= latest + EPSILON_S and not _last_launch(observation, target)
        if not allowed:
            return _until_it_finishes(observation, escape(observation), target)
        # The trip is the last moment of permission: wake just after it, and after now.
        until_utc = min(wish.until_utc, max(latest + 2 * EPSILON_S, observation.now_utc + EPSILON_S))
        return wish if until_utc == wish.until_utc else changed(wish, until_utc=until_utc)

    def _wish(self, observation: Observation) -> Decision:
        """What the policy says; what is held, where it raises, or names what does not exist or may not be held."""
        try:
            wish = self.policy.decide(observation)
            trains = [w for w in wish.wants if w.role is Role.TRAIN]
            each_once = len({w.pool_id for w in wish.wants}) == len(wish.wants)
            wants_ok = len(trains) <= 1 and each_once and all(observation.pool(w.pool_id) for w in wish.wants)
            until_ok = not math.isnan(wish.until_utc)
        except Exception as error:
            return changed(keep(observation, f"the policy failed: {error!r}"), by="guard")
        if not (wants_ok and until_ok):
            return changed(keep(observation, f"the policy asked for what cannot be: {wish!r}"), by="guard")
        if wish.until_utc <= observation.now_utc:  # asked again at once, it would say the same
            wish = changed(wish, until_utc=observation.now_utc + max(observation.reaction_s, AGAIN_S))
        return wish


def _nothing_to_launch(observation: Observation) -> Decision | None:
    """With no launch left, what lives is all there is: what trains, else a PROBE."""
    last = observation.held or observation.probe
    if observation.attempts_left > 0 or last is None:
        return None
    return Decision((Want(last.pool_id),), FOREVER_UTC, "the last launch there is: kept to the end", "guard")


def _beside(observation: Observation, wish: Decision) -> Decision:
    """One PROBE, where it may be held; asked again when it may not any more."""
    if len(wish.wants) == 1 and wish.wants[0].role is Role.TRAIN:
        return wish
    trains = [w for w in wish.wants if w.role is Role.TRAIN]
    probes = [w for w in wish.wants if w.role is Role.PROBE and trains and _probe_until(observation, w.pool_id)][:1]
    wants = (*trains, *probes)
    until_utc = min([wish.until_utc, *[_probe_until(observation, w.pool_id) or FOREVER_UTC for w in probes]])
    return (
        wish if (wants, until_utc) == (wish.wants, wish.until_utc) else changed(wish, wants=wants, until_utc=until_utc)
    )


def _probe_until(observation: Observation, pool_id: str) -> float | None:
    """Until when a PROBE may be held there: as long as slack would pay a move to it. None where it may not be.

    Without consent to a handover only while it waits in a queue, where it costs nothing.
    """
    pool, can, held = observation.pool(pool_id), observation.abilities[pool_id], observation.holding(pool_id)
    if pool is None or not can.beside or (held is None and observation.attempts_left <= 1):
        return None
    waits = can.queues and (held is None or held.phase in (Phase.REQUESTED, Phase.QUEUED))
    latest = latest_utc(observation, pool)
    if not (waits or can.handover) or observation.now_utc > latest + EPSILON_S:
        return None
    return max(latest + 2 * EPSILON_S, observation.now_utc + EPSILON_S)


def _until_it_finishes(observation: Observation, way_out: Decision, target: Pool | None) -> Decision:
    """On ticks, what is refused now is allowed once it could finish the work within a tick: ask again no later than that."""
    assured_s = observation.abilities[target.id].assured_s if target is not None else 0.0
    if target is None or assured_s <= 0.0:
        return way_out
    left_s = observation.work.left_s - observation.work.undurable_s
    wait_s = max(assured_s, left_s / target.speed - assured_s)
    return changed(way_out, until_utc=min(way_out.until_utc, observation.now_utc + wait_s))


def _last_launch(observation: Observation, target: Pool | None) -> bool:
    """Whether taking `target` would leave no launch for on-demand."""
    held = observation.held
    if target is None or (held is not None and held.pool_id == target.id):
        return False
    return observation.attempts_left <= (0 if observation.holding(target.id) is not None else 1)


def _on_demand(observation: Observation, wish: Decision, target: Pool) -> Decision:
    """On-demand that is held is the way out itself; one to be asked for may refuse."""
    held = observation.held
    if held is not None and held.pool_id == target.id and not held.stopping:
        return _unless_overdue(observation, wish)
    # Asking a Pool that may refuse is like holding nothing: allowed until its refusal could still be followed by the way out.
    latest = latest_utc(observation, None) - refused_after_s(observation, target)
    if _fits(observation, target) and observation.now_utc <= latest + EPSILON_S:
        until_utc = max(latest + 2 * EPSILON_S, observation.now_utc + EPSILON_S)
        return _asked(observation, changed(wish, until_utc=min(wish.until_utc, until_utc)), target)
    return escape(observation)


def _asked(observation: Observation, decision: Decision, pool: Pool) -> Decision:
    """A request in a queue gives no news: look at it when it is overdue. What is still held must end first, and that is news."""
    if observation.held is not None or not observation.abilities[pool.id].queues:
        return decision
    bounds = observation.bounds.get(pool.id, NO_BOUNDS)
    overdue_utc = observation.now_utc + max(bounds.lead_s, bounds.refusal_s) + EPSILON_S
    return changed(decision, until_utc=min(decision.until_utc, overdue_utc))


def _held_on_demand(observation: Observation) -> bool:
    held = observation.held
    return held is not None and held.market is Market.ON_DEMAND and not held.stopping


def _fits(observation: Observation, pool: Pool) -> bool:
    """Whether that Pool, asked for now, finishes in time by its bounds."""
    if pool.id not in observation.bounds:
        return False
    need_s = _stop_s(observation, None) + finish_s(observation, pool)
    return observation.left_s - need_s >= -EPSILON_S


def _unless_overdue(observation: Observation, wish: Decision) -> Decision:
    """An overdue on-demand request is kept, unless another on-demand Pool still fits."""
    held = observation.held
    if held is None or held.phase not in (Phase.REQUESTED, Phase.QUEUED, Phase.BOOTING):
        return wish
    bounds = observation.bounds.get(held.pool_id, NO_BOUNDS)
    refused_utc = held.since_utc + bounds.refusal_s
    if held.pending_s > 0 or observation.now_utc <= refused_utc:
        overdue_utc = max(observation.now_utc + held.pending_s, refused_utc)
        return changed(wish, until_utc=min(wish.until_utc, overdue_utc + EPSILON_S))
    for pool in counted(observation):
        if pool.id != held.pool_id and _fits(observation, pool) and observation.attempts_left > 0:
            why = f"{held.pool_id} is overdue, {pool.id} still fits"
            return _asked(observation, changed(hold(pool, why), by="guard"), pool)
    return wish


def escape(observation: Observation) -> Decision:
    """The way out: on-demand, the first Pool in file order that makes it; where none can be had, any capacity that is there."""
    if _held_on_demand(observation):
        return _unless_overdue(
            observation, changed(keep(observation, "on-demand until the end: no slack to spare"), by="guard")
        )
    pool = _way_out(observation)
    if pool is None:
        return changed(keep(observation, "no on-demand pool can be planned with"), by="guard")
    if pool.market is Market.SPOT:
        return Decision((Want(pool.id),), FOREVER_UTC, "no on-demand capacity: Spot is better than nothing", "guard")
    why = "slack is spent: on-demand must start now to be done in time"
    return _asked(observation, Decision((Want(pool.id),), FOREVER_UTC, why, "guard"), pool)


def _way_out(observation: Observation) -> Pool | None:
    pools = counted(observation)
    there = [p for p in pools if observation.seen(p.id) is not Sight.DOWN]
    if there:
        fitting = [p for p in there if _fits(observation, p)]
        return fitting[0] if fitting else min(there, key=lambda p: finish_s(observation, p))
    spot = spot_choice(observation)
    # A request in a queue would have to be stopped first when on-demand may be asked again: only where that would be late anyway.
    in_time = any(_fits(observation, pool) for pool in pools)
    if spot is not None and not (in_time and only_asked(observation, spot)):
        return spot
    return pools[0] if pools else next((p for p in observation.pools if p.market is Market.ON_DEMAND), None)
