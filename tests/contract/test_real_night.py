"""A whole night on real processes, by the loop that runs tonight: taken, gone on with elsewhere, published, and nothing left."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Iterator

import pytest

from nightspot.backends.registry import BackendContext, InstalledBackends
from nightspot.model.attempt import AttemptOutcome, RunOutcome
from nightspot.model.events import RunOpened
from nightspot.model.state import RunState
from nightspot.night.clock import RealClock
from nightspot.night.journal import MemoryJournal
from nightspot.night.night import Night, Settings
from nightspot.night.step import play
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


def played(world: LocalWorld) -> RunState:
    job = world.job(units=60.0, save_every=5.0)
    training = dataclasses.replace(job.training, publish=str(world.folder / "models/tonight.bin"))
    pools = (world.pool("brief"), world.pool("steady"))
    job = dataclasses.replace(job, training=training, pools=pools, extend_s=HOUR_S)
    anchor_real_utc = time.time()
    clock = RealClock(START_UTC, anchor_real_utc, SCALE, poll_s=0.1)
    backends = InstalledBackends(BackendContext(world.folder / "home", START_UTC, START_UTC, anchor_real_utc, SCALE))
    bounds = {pool.id: pool.bounds for pool in pools if pool.bounds is not None}
    opened = RunOpened(START_UTC, "night-1", "n", job, START_UTC, START_UTC + HOUR_S, anchor_real_utc, bounds)
    night = Night.begin(MemoryJournal(time.time), opened, Settings(reaction_s=30.0, sweep_s=60.0, retry_s=30.0))
    assert play(night, backends, Guarded(Greedy()), clock) is RunOutcome.COMPLETED
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
