"""How an open Run stands, by the Journal and the clock alone: no backend is asked, so that looking disturbs nothing."""

from __future__ import annotations

from dataclasses import dataclass

from nightspot.cli.home import Home
from nightspot.cli.lock import controller_pid
from nightspot.cli.world import pace
from nightspot.model.capacity import Abilities
from nightspot.model.decision import Observation
from nightspot.model.facts import RunFacts
from nightspot.model.state import RunState
from nightspot.night.clock import POLL_S, POLL_SCALED_S
from nightspot.night.journal import MemoryJournal
from nightspot.night.night import Night
from nightspot.night.observe import observe
from nightspot.night.ports import Backend
from nightspot.policy.guard import slack_s
from nightspot.process.markettime import MarketTime
from nightspot.report.tables import Standing


@dataclass(frozen=True, slots=True)
class _Unasked:
    """No backend at all."""

    def __getitem__(self, name: str, /) -> Backend:
        raise KeyError(name)


def market_now_utc(state: RunState) -> float:
    """Market time of that Run, now."""
    return MarketTime(state.opened_utc, state.anchor_real_utc, state.job.time_scale).now_utc()


def standing(home: Home, facts: RunFacts, state: RunState) -> Standing:
    """That Run, now."""
    now_utc = market_now_utc(state)
    live = state.foremost
    return Standing(
        run_id=state.run_id,
        job=state.job.name,
        controller_pid=controller_pid(home, state.run_id),
        now_utc=now_utc,
        deadline_utc=state.deadline_utc,
        left_until_deadline_s=state.deadline_utc - now_utc,
        slack_s=_slack_s(state, now_utc) if now_utc >= state.start_utc else None,
        pool=live.pool_id if live else None,
        attempt=live.number if live else None,
        phase=live.phase.value if live else None,
        units_done=state.durable_units,
        units=state.job.work.units,
        unit=state.job.work.unit,
        cost_usd=facts.cost_usd,
        interruptions=facts.interruptions,
        decision=state.decision.why if facts.decisions else "",
        asked=state.asked,
        timezone=state.job.timezone,
        time_scale=state.job.time_scale,
    )


def _slack_s(state: RunState, now_utc: float) -> float:
    return slack_s(observed(state, now_utc))


def observed(state: RunState, now_utc: float) -> Observation:
    """What a policy would see of that Run then, by the Journal alone. Where a request has queued, that Pool's requests do."""
    scale = state.job.time_scale
    settings = pace(scale, POLL_SCALED_S if scale > 1 else POLL_S)
    abilities = {pool.id: _abilities(state, pool.id) for pool in state.job.pools}
    night = Night(MemoryJournal(), state, settings, abilities=abilities)
    return observe(night, _Unasked(), now_utc)


def _abilities(state: RunState, pool_id: str) -> Abilities:
    backend = state.job.pool(pool_id).backend
    queues = any(a.queued_utc is not None and state.job.pool(a.pool_id).backend == backend for a in state.attempts)
    beside = state.job.handover or (queues and state.job.second_request)
    return Abilities(queues=queues, restarts_inside=queues, beside=beside, handover=state.job.handover)
