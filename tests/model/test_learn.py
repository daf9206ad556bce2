"""What one Event of tonight teaches."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nightspot.model.attempt import Attempt, AttemptOutcome, Phase, Role
from nightspot.model.capacity import Bounds, Market, Pool
from nightspot.model.events import AttemptEnded, CheckpointSeen, PhaseChanged
from nightspot.model.job import Job, PolicyChoice, Training, Work
from nightspot.model.learn import as_good_as_refused, firm_unit_s, slower_lead, slower_unit_s

POOL = Pool("fast", "local", Market.ON_DEMAND, 1.0, speed=2.0)
JOB = Job("job", Training(("true",)), Work(20.0, "epoch", 60.0), (POOL,), PolicyChoice("greedy"))
ATTEMPT = Attempt(1, "token", "fast", Role.TRAIN, 1000.0, 9000.0, 0.0, trained_from_utc=1100.0)
BOUNDS = Bounds(lead_s=120.0)


def test_a_start_up_slower_than_its_bound_is_the_new_bound() -> None:
    assert slower_lead(POOL, BOUNDS, ATTEMPT, PhaseChanged(1150.0, 1, Phase.TRAINING)) == Bounds(lead_s=150.0)
    assert slower_lead(POOL, BOUNDS, ATTEMPT, PhaseChanged(1110.0, 1, Phase.TRAINING)) is None


def test_waiting_in_a_queue_is_start_up_on_demand_and_none_for_spot() -> None:
    waited = replace(ATTEMPT, queued_s=600.0)
    trains = PhaseChanged(1700.0, 1, Phase.TRAINING)
    assert slower_lead(POOL, BOUNDS, waited, trains) == Bounds(lead_s=700.0)
    assert slower_lead(replace(POOL, market=Market.SPOT), BOUNDS, waited, trains) is None


def test_a_restart_inside_an_attempt_says_nothing_of_start_up() -> None:
    again = replace(ATTEMPT, incarnation=2)
    assert slower_lead(POOL, BOUNDS, again, PhaseChanged(5000.0, 1, Phase.TRAINING, 2)) is None


@pytest.mark.parametrize(("took_s", "expected"), [(60.0, 120.0), (30.3, 60.0), (20.0, 60.0)])
def test_a_unit_is_learned_at_speed_1_and_only_where_it_is_slower(took_s: float, expected: float) -> None:
    event = CheckpointSeen(1100.0 + 2 * took_s, 1, 2.0)
    assert slower_unit_s(JOB, 60.0, ATTEMPT, event) == pytest.approx(expected)


def test_two_checkpoints_of_one_incarnation_are_compared_with_each_other() -> None:
    attempt = replace(ATTEMPT, first_saved_utc=1500.0, first_saved_units=2.0)  # seen 340 s late
    assert slower_unit_s(JOB, 60.0, ATTEMPT, CheckpointSeen(1500.0, 1, 2.0)) == 400.0
    assert firm_unit_s(JOB, 60.0, ATTEMPT, CheckpointSeen(1500.0, 1, 2.0)) is None
    assert firm_unit_s(JOB, 60.0, attempt, CheckpointSeen(1560.0, 1, 4.0)) == 60.0
    assert firm_unit_s(JOB, 60.0, attempt, CheckpointSeen(1600.0, 1, 4.0)) == 100.0
    assert firm_unit_s(JOB, 60.0, attempt, CheckpointSeen(1510.0, 1, 2.2)) is None


def test_less_than_a_unit_teaches_nothing() -> None:
    assert slower_unit_s(JOB, 60.0, ATTEMPT, CheckpointSeen(1900.0, 1, 0.5)) == 60.0


@pytest.mark.parametrize(
    ("outcome", "stop_utc", "trained_utc", "refused"),
    [
        (AttemptOutcome.NO_CAPACITY, None, None, True),
        (AttemptOutcome.RELEASED, 1200.0, None, True),
        (AttemptOutcome.RELEASED, 1100.0, None, False),  # let go before it was overdue
        (AttemptOutcome.RELEASED, 1200.0, 1150.0, False),  # late, but it came
        (AttemptOutcome.FAILED, 1200.0, None, False),
    ],
)
def test_a_request_let_go_because_it_was_overdue_has_as_good_as_refused(
    outcome: AttemptOutcome, stop_utc: float | None, trained_utc: float | None, refused: bool
) -> None:
    attempt = replace(ATTEMPT, stop_utc=stop_utc, trained_from_utc=trained_utc)
    event = AttemptEnded(1300.0, 1, outcome, 0.0, 0.0, 0.0)
    assert as_good_as_refused(BOUNDS, attempt, event) is refused
