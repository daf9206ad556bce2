"""Which Run a job file means, with a nightly deadline: the clock and the Journal decide."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from nightspot.cli.choose import Choice, choose
from nightspot.errors import JobFileError
from nightspot.jobfile import JobFile, load_job, plan_night
from nightspot.jobfile.plan import PlannedNight as Plan
from nightspot.model.attempt import RunOutcome
from nightspot.model.change import changed
from nightspot.model.events import RunOpened
from nightspot.model.state import RunState, open_run
from tests.cli.nights import SIMULATED

HOUR, DAY = 3600.0, 86400.0
EVENING = 1795550400.0  # 2026-11-24 20:00 UTC
MORNING = EVENING + 12 * HOUR


@dataclass
class Desk:
    """A job file with a deadline at 08:00 each day, work of 2 h (so a late training may go on until 10:00), and its nights so far."""

    job_file: JobFile

    def plan(self, suffix: str, now_utc: float) -> Plan:
        return plan_night(self.job_file, now_utc, suffix)

    def night(self, now_utc: float, outcome: RunOutcome | None = None, suffix: str = "", **job: object) -> RunState:
        plan = self.plan(suffix, now_utc)
        opened = RunOpened(
            now_utc, plan.run_id, "n", changed(plan.job, **job), plan.start_utc, plan.deadline_utc, now_utc, {}
        )
        return changed(open_run(opened), outcome=outcome)

    def choose(self, now_utc: float, *nights: RunState, fresh: bool = False) -> Choice:
        return choose(nights, self.job_file, self.plan, now_utc, fresh=fresh)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    path = tmp_path / "job.toml"
    path.write_text(SIMULATED.format(at='"08:00"', policy="greedy", more=""))
    return Desk(load_job(path))


def at_scale(desk: Desk, scale: float) -> Desk:
    return Desk(load_job(desk.job_file.path, [f"time_scale={scale}"]))


def test_without_any_night_a_new_one_is_opened(desk: Desk) -> None:
    choice = desk.choose(EVENING)
    assert (choice.plan.run_id, choice.resume, choice.closed) == ("sim-20261125T0800Z", None, None)


def test_an_open_night_goes_on_and_a_closed_one_is_reported(desk: Desk) -> None:
    night = desk.night(EVENING)
    assert desk.choose(EVENING + HOUR, night).resume == night
    over = desk.night(EVENING, RunOutcome.COMPLETED)
    assert desk.choose(EVENING + HOUR, over).closed == over


def test_after_the_deadline_the_next_night_begins_by_itself(desk: Desk) -> None:
    over = desk.night(EVENING, RunOutcome.COMPLETED)
    choice = desk.choose(MORNING + HOUR, over)
    assert (choice.plan.run_id, choice.resume, choice.closed) == ("sim-20261126T0800Z", None, None)


def test_a_training_that_is_late_goes_on_before_the_next_night_begins(desk: Desk) -> None:
    late = desk.night(EVENING)
    assert desk.choose(MORNING + HOUR, late).resume == late


def test_a_night_whose_time_is_up_is_closed_first_and_the_next_begins(desk: Desk) -> None:
    forgotten = desk.night(EVENING)
    choice = desk.choose(MORNING + 12 * HOUR, forgotten)
    assert (choice.overdue, choice.resume) == ((forgotten,), None)
    assert choice.plan.run_id == "sim-20261126T0800Z"


def test_an_open_night_with_another_deadline_ahead_is_not_paid_for_beside_this_one(desk: Desk) -> None:
    other = changed(desk.night(EVENING), run_id="sim-20261125T0900Z", deadline_utc=MORNING + HOUR)
    with pytest.raises(JobFileError, match="nightspot stop sim-20261125T0900Z"):
        desk.choose(EVENING, other)
    assert desk.choose(EVENING, other, fresh=True).beside == (other,)


def test_fresh_takes_the_first_free_number(desk: Desk) -> None:
    nights = [desk.night(EVENING, RunOutcome.COMPLETED, suffix) for suffix in ("", "-2")]
    assert desk.choose(EVENING, *nights, fresh=True).plan.run_id == "sim-20261125T0800Z-3"


def test_an_open_night_goes_on_though_a_later_one_of_the_same_deadline_is_closed(desk: Desk) -> None:
    first, second = desk.night(EVENING), desk.night(EVENING, RunOutcome.COMPLETED, "-2")
    assert desk.choose(EVENING, first, second).resume == first


def test_compressed_the_latest_open_night_goes_on_whatever_its_deadline(desk: Desk) -> None:
    fast = at_scale(desk, 600)
    days_ago = fast.night(EVENING - 3 * DAY)
    assert fast.choose(EVENING, days_ago).resume == days_ago
    over = fast.night(EVENING, RunOutcome.COMPLETED)
    assert fast.choose(EVENING, over).closed == over


def test_a_compressed_night_is_none_of_the_real_ones(desk: Desk) -> None:
    fast = at_scale(desk, 600)
    choice = desk.choose(EVENING, fast.night(EVENING, RunOutcome.COMPLETED))
    assert (choice.resume, choice.closed) == (None, None)
    assert choice.plan.run_id == "sim-20261125T0800Z-2", "a try the same evening has taken the name"
    with pytest.raises(JobFileError, match="time_scale = 600"):
        at_scale(desk, 60).choose(EVENING, fast.night(EVENING))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("training.hyperparameters={rate=0.1}", "training.hyperparameters"),
        ("command=cat", "command"),
        ("pools.spot.world_size=2", "training.code"),
    ],
)
def test_what_changed_is_named_where_a_night_cannot_go_on(desk: Desk, change: str, named: str) -> None:
    other = Desk(load_job(desk.job_file.path, [change]))
    with pytest.raises(JobFileError, match="as it began, or not at all") as refused:
        other.choose(EVENING, desk.night(EVENING))
    assert refused.value.field == named


def test_prices_and_policy_may_change_and_the_night_goes_on_as_it_began(desk: Desk) -> None:
    other = Desk(load_job(desk.job_file.path, ["pools.spot.price=7", "policy=on-demand"]))
    resumed = other.choose(EVENING, desk.night(EVENING)).resume
    assert resumed is not None
    assert resumed.job.policy.name == "greedy"
