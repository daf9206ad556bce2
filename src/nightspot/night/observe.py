"""From the state and the last looks to the Observation that a policy sees."""

from __future__ import annotations

from typing import Mapping

from nightspot.model.attempt import Attempt, Phase
from nightspot.model.capacity import Abilities, Offer, Sight
from nightspot.model.change import changed
from nightspot.model.decision import Holding, Observation, WorkLeft
from nightspot.night.act import retry_utc
from nightspot.night.night import Night
from nightspot.night.ports import Backends
from nightspot.night.sight import last_seen

NOT_TRAINING = (Phase.REQUESTED, Phase.QUEUED, Phase.BOOTING, Phase.READY)


def observe(night: Night, backends: Backends, now_utc: float) -> Observation:
    """All that a policy may see, now."""
    state = night.state
    live = state.live
    return Observation(
        now_utc=now_utc,
        start_utc=state.start_utc,
        deadline_utc=state.deadline_utc,
        reaction_s=night.settings.reaction_s,
        tail_s=state.job.tail_s,
        work=_work(night, live),
        holdings=tuple([_holding(night, a, now_utc) for a in live]),
        offers=_offers(night, now_utc),
        pools=state.job.pools,
        bounds=state.bounds,
        abilities=_abilities(night, backends),
        waited_s=waited_s(night, now_utc),
        spent_usd=spent_usd(night, now_utc),
        attempts_left=state.job.limits.attempts - state.launches,
        guard_pools=state.job.guard_pools,
    )


def _work(night: Night, live: tuple[Attempt, ...]) -> WorkLeft:
    state = night.state
    reported = [night.reports[a.number].units_done for a in live if a.number in night.reports]
    undurable = max(0.0, max(reported, default=0.0) - state.durable_units)
    continuous = state.job.checkpoint.interval_s == 0.0
    return WorkLeft(state.left_s, state.job.work.units * state.unit_s, undurable * state.unit_s, continuous)


def _holding(night: Night, attempt: Attempt, now_utc: float) -> Holding:
    pool = night.state.job.pool(attempt.pool_id)
    return Holding(
        number=attempt.number,
        pool_id=attempt.pool_id,
        market=pool.market,
        role=attempt.role,
        phase=attempt.phase,
        since_utc=attempt.requested_utc,
        pending_s=_pending_s(night, attempt, now_utc),
        stopping=attempt.told == "stop",
        phase_utc=attempt.phase_utc,
    )


def _pending_s(night: Night, attempt: Attempt, now_utc: float) -> float:
    """Start-up still to come, by the bound. While out of sight, what it was before counts."""
    bounds = night.state.bounds.get(attempt.pool_id)
    if bounds is None or attempt.shown not in NOT_TRAINING:
        return 0.0
    # Started again inside, it has all of its start-up before it once more, from the phase that began with it.
    began_utc = attempt.requested_utc if attempt.incarnation == 1 else attempt.phase_utc
    return max(0.0, began_utc + bounds.lead_s - now_utc)


def _offers(night: Night, now_utc: float) -> Mapping[str, Offer]:
    """What was seen; a Pool that refused a moment ago counts as down until it may be asked again.

    Of one that cannot be seen at all it is known when it refused last: UNKNOWN since then; and what a request showed of it.
    """
    state = night.state
    unseen = [p.id for p in state.job.pools if _unseen(state.offers.get(p.id))]
    if not state.refused_utc and not unseen:
        return state.offers
    offers = dict(state.offers)
    for pool_id, refused_utc in state.refused_utc.items():
        if now_utc < retry_utc(night, pool_id):
            offers[pool_id] = Offer(pool_id, Sight.DOWN, refused_utc)
        elif pool_id in unseen:
            offers[pool_id] = Offer(pool_id, Sight.UNKNOWN, refused_utc)
    for pool_id in unseen:
        last = last_seen(state, pool_id, now_utc)
        if last is not None:
            offer = offers.get(pool_id) or Offer(pool_id, Sight.UNKNOWN, float("-inf"))
            told = {"last": last.sight, "last_utc": last.until_utc, "last_since_utc": last.since_utc}
            offers[pool_id] = changed(offer, **told)
    return offers


def _unseen(offer: Offer | None) -> bool:
    return offer is None or offer.seen is Sight.UNKNOWN


def _abilities(night: Night, backends: Backends) -> Mapping[str, Abilities]:
    if not night.abilities:
        night.abilities = {p.id: backends[p.backend].abilities(p) for p in night.state.job.pools}
    return night.abilities


def waited_s(night: Night, now_utc: float) -> float:
    """How long nothing has been held since the window began. A request in a queue holds nothing."""
    since = max(night.state.start_utc, night.state.opened_utc)
    held_s = 0.0
    for attempt in night.state.attempts:
        end = attempt.ended_utc if attempt.ended_utc is not None else now_utc
        held_s += end - attempt.requested_utc - attempt.waited_s(end)
    return max(0.0, now_utc - since - held_s)


def spent_usd(night: Night, now_utc: float) -> float:
    """What ended Attempts cost, and what live ones have run up so far, at their Pools' prices."""
    spent = 0.0
    for attempt in night.state.attempts:
        if attempt.outcome is None:
            held_s = max(0.0, now_utc - attempt.requested_utc - attempt.waited_s(now_utc))
            spent += held_s / 3600.0 * night.state.job.pool(attempt.pool_id).price_usd_per_hour
        else:
            spent += attempt.cost_usd
    return spent
