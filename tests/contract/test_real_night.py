"""A whole night on real processes, by the loop that runs tonight: taken, gone on with elsewhere, published, and nothing left."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import pytest

from nightspot.backends.registry import BackendContext, InstalledBackends
from nightspot.model.attempt import AttemptOutcome, Phase, Role, RunOutcome
from nightspot.model.capacity import Market
from nightspot.model.decision import FOREVER_UTC, Decision, Observation, Want
from nightspot.model.events import RunOpened
from nightspot.model.state import RunState
from nightspot.night.clock import RealClock
from nightspot.night.journal import MemoryJournal
from nightspot.night.night import Night, Settings
from nightspot.night.step import play
from nightspot.policy.base import Policy
from nightspot.policy.baselines import Greedy
from nightspot.policy.guard import Guarded
from tests.contract.worlds import SCALE, START_UTC, LocalWorld

HOUR_S = 3600.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LocalWorld]:
    made = LocalWorld(tmp_path)
    try:
        yield made
    finally:
        made.close()


def played(world: LocalWorld, policy: Policy | None = None, units: float = 60.0, *, handover: bool = False) -> RunState:
    job = world.job(units=units, save_every=5.0)
    training = dataclasses.replace(job.training, publish=str(world.folder / "models/tonight.bin"))
    first = (
        dataclasses.replace(world.pool("steady"), id="stays", market=Market.SPOT) if handover else world.pool("brief")
    )
    pools = (first, world.pool("steady"))
    job = dataclasses.replace(job, training=training, pools=pools, extend_s=HOUR_S, handover=handover)
    anchor_real_utc = time.time()
    clock = RealClock(START_UTC, anchor_real_utc, SCALE, poll_s=0.1)
    backends = InstalledBackends(BackendContext(world.folder / "home", START_UTC, START_UTC, anchor_real_utc, SCALE))
    bounds = {pool.id: pool.bounds for pool in pools if pool.bounds is not None}
    opened = RunOpened(START_UTC, "night-1", "n", job, START_UTC, START_UTC + HOUR_S, anchor_real_utc, bounds)
    night = Night.begin(MemoryJournal(time.time), opened, Settings(reaction_s=30.0, sweep_s=60.0, retry_s=30.0))
    assert play(night, backends, Guarded(policy or Greedy()), clock) is RunOutcome.COMPLETED
    assert list(backends["local"].live("night-1")) == []
    clock.close()
    return night.state


@pytest.mark.slow
def test_a_night_whose_capacity_is_taken_ends_with_a_published_model(world: LocalWorld) -> None:
    state = played(world)
    first, last = state.attempts[0], state.attempts[-1]
    assert (first.pool_id, first.outcome) == ("brief", AttemptOutcome.INTERRUPTED)
    assert (last.pool_id, last.outcome) == ("steady", AttemptOutcome.COMPLETED)
    assert last.units_start > 0.0
    assert last.artifact_sha256 is not None
    assert state.durable_units == 60.0
    assert not state.late
    assert (world.folder / "models/tonight.bin").read_text() == "a model"


@dataclass(frozen=True)
class HandsOver:
    """On-demand at once; Spot boots beside it, and takes over once it is ready, and there is something to be saved first."""

    def decide(self, observation: Observation, /) -> Decision:
        held, probe = observation.held, observation.probe
        if held is not None and held.market is Market.SPOT:
            return Decision((Want("stays"),), FOREVER_UTC, "on Spot")
        safe = observation.work.left_s < observation.work.total_s and observation.work.undurable_s > 0.0
        if probe is not None and probe.phase is Phase.READY and (safe or held is None):
            return Decision((Want("stays"),), FOREVER_UTC, "Spot is ready")
        return Decision((Want("steady"), Want("stays", Role.PROBE)), observation.now_utc + 6.0, "both")


@pytest.mark.slow
def test_on_demand_hands_over_to_spot_that_booted_beside_it_and_loses_nothing(world: LocalWorld) -> None:
    state = played(world, HandsOver(), units=20.0, handover=True)
    first, last = state.attempts
    assert (first.pool_id, first.outcome) == ("steady", AttemptOutcome.RELEASED)
    assert (last.pool_id, last.outcome) == ("stays", AttemptOutcome.COMPLETED)
    assert last.gone_utc is not None
    assert first.ended_utc is not None
    assert last.requested_utc < first.ended_utc <= last.gone_utc < (last.trained_from_utc or 0.0)
    assert last.trained_from_units == last.units_start >= 5.0
    assert first.save_asked_utc is not None
    assert (state.durable_units, state.late) == (20.0, False)
