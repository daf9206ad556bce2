"""From the state and the last looks to the Observation that a policy sees."""

from __future__ import annotations

from typing import Mapping

from nightspot.model.attempt import Attempt, Phase, Role
from nightspot.model.capacity import Abilities, Market, Offer, Sight
from nightspot.model.change import changed
from nightspot.model.decision import Holding, Observation, WorkLeft
from nightspot.model.job import Job
from nightspot.model.state import RunState
from nightspot.night.act import NOT_TRAINING, retry_utc
from nightspot.night.night import Night
from nightspot.night.ports import Backends
from nightspot.night.sight import last_seen


def observe(night: Night, backends: Backends, now_utc: float) -> Observation:
    """All that a policy may see, now."""
    state = night.state
    live, abilities = state.live, _abilities(night, backends)
    return Observation(
        now_utc=now_utc,
        start_utc=state.start_utc,
        deadline_utc=state.deadline_utc,
        reaction_s=night.settings.reaction_s,
        tail_s=state.job.tail_s,
        work=_work(night, live),
        holdings=tuple([_holding(night, a, now_utc, abilities) for a in live]),
        offers=_offers(night, now_utc),
        pools=state.job.pools,
        bounds=state.bounds,
        abilities=abilities,
        waited_s=waited_s(night, now_utc),
        spent_usd=spent_usd(night, now_utc),
        attempts_left=state.job.limits.attempts - state.launches,
        guard_pools=state.job.guard_pools,
    )


def _work(night: Night, live: tuple[Attempt, ...]) -> WorkLeft:
    state = night.state
    reported = [night.reports[a.number].units_done for a in live if a.role is Role.TRAIN and a.number in night.reports]
    undurable = max(0.0, max(reported, default=0.0) - state.durable_units)
    continuous = state.job.checkpoint.interval_s == 0.0
    redo_s = state.job.checkpoint.redo_s if continuous else _redo_s(state, live)
    return WorkLeft(state.left_s, state.job.work.units * state.unit_s, undurable * state.unit_s, continuous, redo_s)


def _redo_s(state: RunState, live: tuple[Attempt, ...]) -> float:
    """What an interruption costs on average: it falls anywhere between two Checkpoints, and the next one must first be written."""
    interval_s = state.save_gap_s if state.save_gap_s is not None else state.job.checkpoint.interval_s
    pool_id = next((a.pool_id for a in live if a.role is Role.TRAIN), None)
    bounds = state.bounds.get(pool_id) if pool_id is not None else None
    known = [b.save_s for b in state.bounds.values()]
    save_s = bounds.save_s if bounds is not None else max(known, default=0.0)
    speed = state.job.pool(pool_id).speed if pool_id is not None else 1.0
    return (interval_s / 2 + save_s) * speed


def _holding(night: Night, attempt: Attempt, now_utc: float, abilities: Mapping[str, Abilities]) -> Holding:
    pool = night.state.job.pool(attempt.pool_id)
    return Holding(
        number=attempt.number,
        pool_id=attempt.pool_id,
        market=pool.market,
        role=attempt.role,
        phase=attempt.phase,
        since_utc=attempt.requested_utc,
        pending_s=_pending_s(night, attempt, now_utc, abilities),
        stopping=attempt.told == "stop",
        phase_utc=attempt.phase_utc,
    )


def _pending_s(night: Night, attempt: Attempt, now_utc: float, abilities: Mapping[str, Abilities]) -> float:
    """Start-up still to come, by the bound. While out of sight, what it was before counts."""
    bounds = night.state.bounds.get(attempt.pool_id)
    if bounds is None or attempt.shown not in NOT_TRAINING:
        return 0.0
    booting_s = 0.0
    if attempt.shown is not Phase.READY:
        booting_s = max(0.0, _began_utc(night, attempt, now_utc) + bounds.lead_s - now_utc)
    if attempt.gone_utc is None or attempt.incarnation > 1:
        return booting_s
    return max(booting_s, attempt.gone_utc + abilities[attempt.pool_id].handover_s - now_utc)


def _began_utc(night: Night, attempt: Attempt, now_utc: float) -> float:
    """When the start-up that is bounded began. Of a queue for Spot nothing was promised; of one for on-demand its bound counts all."""
    if attempt.incarnation > 1:  # all of it is to come once more, from the phase that began with it
        return attempt.phase_utc
    if attempt.role is Role.TRAIN and night.state.job.pool(attempt.pool_id).market is Market.ON_DEMAND:
        return attempt.requested_utc
    if attempt.shown is Phase.QUEUED:
        return now_utc
    return attempt.granted_utc if attempt.granted_utc is not None else attempt.requested_utc


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
    """What can be done, where the job file consents to it."""
    if not night.abilities:
        can = {p.id: backends[p.backend].abilities(p) for p in night.state.job.pools}
        night.abilities = {pool_id: consented(night.state.job, abilities) for pool_id, abilities in can.items()}
    if not night.state.no_probe:
        return night.abilities
    without = {id_: changed(night.abilities[id_], beside=False, handover=False) for id_ in night.state.no_probe}
    return {**night.abilities, **without}


def consented(job: Job, can: Abilities) -> Abilities:
    """A second request is one that waits in a queue; a handover pays for two at once."""
    handover = can.beside and can.handover and job.handover
    beside = handover or (can.beside and can.queues and job.second_request)
    if (beside, handover) == (can.beside, can.handover):
        return can
    return changed(can, beside=beside, handover=handover)


def waited_s(night: Night, now_utc: float) -> float:
    """How long nothing has been held to train on since the window began. Neither a request in a queue nor a PROBE is."""
    since = max(night.state.start_utc, night.state.opened_utc)
    held_s = 0.0
    for attempt in night.state.attempts:
        if attempt.role is Role.TRAIN:
            end = attempt.ended_utc if attempt.ended_utc is not None else now_utc
            begun_utc = attempt.requested_utc if attempt.gone_utc is None else attempt.gone_utc
            held_s += end - begun_utc - (attempt.waited_s(end) - attempt.probed_s)
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
