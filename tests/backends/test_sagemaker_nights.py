"""Nights by the very step that runs tonight, on a real emulator, behind a network and credentials that fail."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from nightspot.backends.registry import BackendContext, InstalledBackends
from nightspot.emulator.orders import NOTICE, Orders
from nightspot.model.attempt import AttemptOutcome, Phase, RunOutcome
from nightspot.model.capacity import Bounds, Market, Pool
from nightspot.model.events import CheckpointSeen, Event, PhaseChanged, RunOpened, SightLost, SightRegained, Warned
from nightspot.model.job import Limits
from nightspot.night.clock import RealClock
from nightspot.night.journal import MemoryJournal
from nightspot.night.night import Night, Settings
from nightspot.night.step import step
from nightspot.policy.baselines import Greedy
from nightspot.policy.guard import Guarded
from nightspot.process.surroundings import sandbox_works
from tests.backends.emulated import QUICK, Emulation, packed, template
from tests.backends.gate import Gate
from tests.backends.specs import HOUR_S, job, pool

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sandbox_works(), reason="bubblewrap is missing or not allowed here"),
]
RUN_ID, SCALE, UNITS = "night-20261125T0700Z", 300.0, 30.0
UNIT_REAL_S, PATIENCE_REAL_S = 0.4, 120.0


class Stage:
    """One night behind a gate; `controller` makes a new one, as after a restart."""

    def __init__(self, folder: Path, options: tuple[str, ...] = ()) -> None:
        self.folder, self.interval_s = folder, 300.0
        self.pattern: str | None = None
        self.request = template(**{"units": str(UNITS), "unit-s": repr(UNIT_REAL_S)})
        self.options: dict[str, Any] = {"progress": "manifests", "wrapper": True}
        self.emulation = Emulation(folder, (*QUICK, *options), scale=SCALE)
        self.gate = Gate(self.emulation.url)
        os.environ["AWS_ENDPOINT_URL"] = self.gate.url
        self.start_utc = self.emulation.market_utc
        self.clock = RealClock(self.start_utc, self.emulation.real_utc, SCALE, poll_s=0.1)
        self.journal = MemoryJournal(time.time)
        self.settings = Settings(reaction_s=60.0, sweep_s=60.0, retry_s=60.0)

    def pools(self) -> tuple[Pool, ...]:
        more: dict[str, Any] = {"options": self.options, "bounds": Bounds(HOUR_S, 1800.0, 600.0, 60.0)}
        spot = pool(self.request, price=0.3, **more)
        return spot, pool(self.request, Market.ON_DEMAND, price=1.0, **more)

    def open(self) -> Night:
        pace: dict[str, Any] = {"unit_s": UNIT_REAL_S * SCALE, "interval_s": self.interval_s, "pattern": self.pattern}
        of = job(*self.pools(), units=UNITS, artifact="model.bin", **pace)
        of = dataclasses.replace(of, time_scale=SCALE, limits=Limits(attempts=20), extend_s=HOUR_S)
        bounds = {one.id: one.bounds for one in of.pools if one.bounds is not None}
        now_utc = self.clock.now_utc()
        deadline_utc = now_utc + 120 * HOUR_S  # no guard steps in because a busy machine is slow
        opened = RunOpened(now_utc, RUN_ID, "abcdef01", of, now_utc, deadline_utc, time.time(), bounds)
        self.night = Night.begin(self.journal, opened, self.settings)
        self.controller()
        return self.night

    def controller(self) -> None:
        context = BackendContext(self.folder / "home", self.start_utc, self.start_utc, self.emulation.real_utc, SCALE)
        self.backends = InstalledBackends(context)

    def until(self, reached: Callable[[], bool]) -> None:
        """Step until then. At any time no more than one job may be alive."""
        end_s = time.monotonic() + PATIENCE_REAL_S
        while not reached():
            assert time.monotonic() < end_s, [r.event for r in self.journal.read(RUN_ID)][-8:]
            result = step(self.night, self.backends, Guarded(Greedy()), self.clock)
            assert len(self.alive()) <= 1
            if not isinstance(result, RunOutcome):
                self.clock.sleep_until(min(result.at_utc, self.clock.now_utc() + 0.1 * SCALE))

    def to_the_end(self) -> None:
        self.until(lambda: self.night.state.outcome is not None)

    def trains(self) -> bool:
        return any(a.phase is Phase.TRAINING for a in self.night.state.attempts)

    def out_of_sight(self) -> bool:
        return any(a.phase is Phase.UNKNOWN for a in self.night.state.attempts)

    def alive(self) -> list[str]:
        return [name for name, status in self.emulation.jobs().items() if status in ("InProgress", "Stopping")]

    def events(self, kind: type[Event]) -> list[Any]:
        return [r.event for r in self.journal.read(RUN_ID) if isinstance(r.event, kind)]

    def taken(self) -> None:
        """The instance of the job that trains is ordered away."""
        (name,) = self.alive()
        Orders(self.folder / "emulator/orders").give(name, NOTICE)

    def close(self) -> None:
        self.gate.close()
        self.clock.close()
        self.emulation.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    try:
        yield made
    finally:
        made.close()


def done_once(stage: Stage) -> None:
    """One job from beginning to end, and the model is there."""
    (attempt,) = stage.night.state.attempts
    assert (stage.night.state.outcome, attempt.outcome) == (RunOutcome.COMPLETED, AttemptOutcome.COMPLETED)
    assert dict(stage.emulation.jobs()) == {attempt.token: "Completed"}
    assert attempt.artifact_sha256 is not None
    seen = stage.emulation.client("sagemaker").describe_training_job(TrainingJobName=attempt.token)
    assert 0 < attempt.billable_s == seen["BillableTimeInSeconds"] < 0.5 * seen["TrainingTimeInSeconds"]
    assert attempt.cost_usd == pytest.approx(attempt.billable_s / 3600.0 * stage.pools()[1].price_usd_per_hour)


def test_an_hour_without_network_loses_sight_and_relaunches_nothing(stage: Stage) -> None:
    stage.open()
    stage.until(stage.trains)
    stage.gate.down = True
    stage.until(stage.out_of_sight)
    dark_utc = stage.clock.now_utc()
    stage.until(lambda: stage.clock.now_utc() > dark_utc + HOUR_S)
    assert stage.out_of_sight()
    stage.gate.down = False
    stage.to_the_end()
    done_once(stage)
    assert len(stage.events(SightLost)) == len(stage.events(SightRegained)) >= 1


def test_credentials_that_expire_in_mid_night_are_found_anew_once_refreshed(stage: Stage) -> None:
    stage.open()
    stage.until(stage.trains)
    stage.gate.expired.add(os.environ["AWS_ACCESS_KEY_ID"])
    stage.until(stage.out_of_sight)
    os.environ["AWS_ACCESS_KEY_ID"] = "refreshed"
    stage.to_the_end()
    done_once(stage)
    assert "credentials" in stage.events(SightLost)[0].message


def test_a_launch_whose_every_answer_is_lost_is_adopted_and_not_repeated(stage: Stage) -> None:
    stage.gate.loses.add("CreateTrainingJob")
    stage.open()
    stage.until(lambda: bool(stage.night.state.attempts) and stage.night.state.attempts[0].seen)
    assert stage.gate.passed.count("CreateTrainingJob") > 1
    stage.gate.loses.clear()
    stage.to_the_end()
    done_once(stage)


def test_a_controller_that_comes_anew_goes_on_from_home_and_journal(stage: Stage) -> None:
    stage.open()
    stage.until(lambda: stage.night.state.durable_units > 0)
    stage.night = Night.resume(stage.journal, RUN_ID, stage.settings)
    stage.controller()
    stage.to_the_end()
    done_once(stage)
    phases = [(e.incarnation, e.phase) for e in stage.events(PhaseChanged)]
    assert len(phases) == len(set(phases))


# Knows nothing of nightspot: writes ckpt-0007.pt into SageMaker's folder, and goes on from the newest by itself.
CLASSIC = """
    import glob, os, sys, time

    given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    saved = sorted(glob.glob("/opt/ml/checkpoints/ckpt-*.pt"))
    done = int(saved[-1][-7:-3]) if saved else 0
    print(f"goes on from {done}", flush=True)
    while done < float(given["--units"]):
        time.sleep(float(given["--unit-s"]))
        done += 1
        with open(f"/opt/ml/checkpoints/ckpt-{done:04d}.pt", "w") as file:
            file.write("weights")
    with open(os.path.join(os.environ["SM_MODEL_DIR"], "model.bin"), "w") as model:
        model.write("a model")
"""


def test_an_interruption_inside_is_the_same_attempt_and_an_unmodified_script_goes_on_from_its_files(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, ("--start-delay", "10min"))
    try:
        stage.emulation.put("code/classic.tar.gz", packed(CLASSIC))
        stage.request["HyperParameters"]["sagemaker_submit_directory"] = json.dumps("s3://bkt/code/classic.tar.gz")
        stage.options, stage.pattern = {"progress": "files"}, "ckpt-*.pt"
        stage.open()
        stage.until(lambda: bool(stage.events(CheckpointSeen)))
        stage.taken()
        stage.to_the_end()
        done_once(stage)
        phases = [(event.incarnation, event.phase) for event in stage.events(PhaseChanged)]
        expected = [(n, phase) for n in (1, 2) for phase in (Phase.QUEUED, Phase.BOOTING, Phase.TRAINING)]
        assert [one for one in phases if one[1] is not Phase.STOPPING] == expected
        second = next(e for e in stage.events(PhaseChanged) if (e.incarnation, e.phase) == (2, Phase.TRAINING))
        assert 0 < second.units_done < UNITS
        assert not any(saved.verified for saved in stage.events(CheckpointSeen))
    finally:
        stage.close()


def test_checkpoints_that_stop_arriving_while_it_trains_are_said(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ("--faults", "no-sync=3"))
    try:
        stage.interval_s = 60.0
        stage.open()
        said = "nothing new has come to s3://bkt/ck"  # the last one may be there in part: that is said as well
        stage.until(lambda: any(said in warned.message for warned in stage.events(Warned)))
        assert stage.trains()
    finally:
        stage.close()
